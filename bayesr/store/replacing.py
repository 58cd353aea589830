"""How one product replaces another: it is written inside the older one's folder, and takes its place when complete.

One of the two products is complete at every moment. The name of the folder tells how far the replacement is:

- ``.bayesr-new``: the new product is being written, and the old one is in its place;
- ``.bayesr-complete``: the new product is complete, and the old one, beside the folder, moves to ``.bayesr-old``;
- ``.bayesr-moving``: the old product has left its place, and the new one moves there.

A product on an object store, which cannot move folders, is removed before the new one is written.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bayesr.errors import StoreFailed
from bayesr.store import places
from bayesr.store.locking import lock
from bayesr.store.places import COMPLETE, INCOMPLETE, MOVING, OLD


def new_place(place: str) -> str:
    """Return the folder of the new product inside `place`; on an object store, `place` itself."""
    return place if "://" in place else str(Path(place) / INCOMPLETE)


def write_place(place: str, *, overwrite: bool) -> str:
    """Return where a product is written: inside the folder of an older one until it is complete, or at `place`."""
    return new_place(place) if is_being_replaced(place) or (overwrite and places.names(place)) else place


def discard(place: str) -> None:
    """Remove an incomplete product: its folder inside that of an older product, or the content of its own folder."""
    if Path(place).name == INCOMPLETE:
        places.remove(place)
    else:
        places.clear(place)


def is_being_replaced(place: str) -> bool:
    """Whether a new product is being written while the older one is in its place."""
    return "://" not in place and (Path(place) / INCOMPLETE).exists()


@contextmanager
def writing(place: str) -> Iterator[None]:
    """Lock a store for writing, and remove what killed processes left, except for an incomplete new product.

    Raises
    ------
    StoreBusy, StoreFailed
        See `bayesr.store.locking.lock`; also when symbolic links lead out of the store.
    """
    with lock(place):
        places.refuse_links(place)
        finish_replacement(place)
        places.remove_partial_files(place)
        yield


def recover(place: str) -> None:
    """Finish a replacement whose process ended, if there is one.

    Raises
    ------
    StoreBusy, StoreFailed
        See `writing`.
    """
    if "://" not in place and any((Path(place) / name).exists() for name in (COMPLETE, MOVING)):
        with writing(place):
            return


def finish_replacement(place: str) -> None:
    """Finish a replacement whose process ended, with the store locked.

    Raises
    ------
    StoreFailed
        When the files cannot be moved.
    """
    if "://" in place:
        return
    folder = Path(place)
    try:
        if (folder / COMPLETE).exists():
            (folder / OLD).mkdir(exist_ok=True)
            entries = [entry for entry in _metadata_last(folder) if entry.name not in (COMPLETE, OLD)]
            _move(reversed(entries), folder / OLD)  # without its metadata, the old product is no store
            (folder / COMPLETE).rename(folder / MOVING)
        if (folder / MOVING).exists():
            _move(_metadata_last(folder / MOVING), folder)
            (folder / MOVING).rmdir()
        places.remove(str(folder / OLD))
    except OSError as error:
        raise _not_replaced(place, error) from error


def commit(place: str) -> None:
    """Let the new product, which is complete, take its place.

    Raises
    ------
    StoreFailed
        When the files cannot be moved.
    """
    if is_being_replaced(place):
        try:
            (Path(place) / INCOMPLETE).rename(Path(place) / COMPLETE)
        except OSError as error:
            raise _not_replaced(place, error) from error
        finish_replacement(place)


def _not_replaced(place: str, error: OSError) -> StoreFailed:
    return StoreFailed(f"{place} could not be replaced ({error}): mend the cause, then use resume=True.")


def _metadata_last(folder: Path) -> list[Path]:
    """Return the entries of a folder, with the metadata of the product at the end."""
    return sorted(folder.iterdir(), key=lambda path: path.name == "zarr.json")


def _move(entries: Iterable[Path], target: Path) -> None:
    for entry in entries:
        entry.rename(target / entry.name)
