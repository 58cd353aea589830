"""How one product replaces another: it is written inside the older one's folder, and takes its place when complete.

At every moment one of both is whole. The name of the folder tells how far the replacement is:

- ``.bayesr-new``: the new product is being written, and the old one is in its place;
- ``.bayesr-complete``: the new product is whole, and what is beside the folder, the old one, moves to ``.bayesr-old``;
- ``.bayesr-moving``: the old product is gone from its place, and the new one moves there.

A product on an object store, which cannot move folders, is removed before the new one is written.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bayesr.errors import StoreFailed
from bayesr.store import places
from bayesr.store.locking import lock
from bayesr.store.places import BEGUN, COMPLETE, MOVING, OLD


def beside(place: str) -> str:
    """Return the place of the new product; an object store has none."""
    return place if "://" in place else str(Path(place) / BEGUN)


def target(place: str, *, overwrite: bool) -> str:
    """Return where a product is written: beside an older one, which stays until it is whole, or in its place."""
    return beside(place) if begun(place) or (overwrite and places.names(place)) else place


def drop(place: str) -> None:
    """Remove what was begun at a place: the folder beside an older product, or all that is in its own."""
    if Path(place).name == BEGUN:
        places.remove(place)
    else:
        places.clear(place)


def begun(place: str) -> bool:
    """Whether a new product was begun, and the older one is in its place."""
    return "://" not in place and (Path(place) / BEGUN).exists()


@contextmanager
def writing(place: str) -> Iterator[None]:
    """Lock a store for writing, and clear up what killed processes left; a new product that is not whole is left.

    Raises
    ------
    StoreBusy, StoreFailed
        See `bayesr.store.locking.lock`; also when symbolic links lead out of the store.
    """
    with lock(place):
        places.refuse_links(place)
        settle(place)
        places.tidy(place)
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


def settle(place: str) -> None:
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
            _move(folder, folder / OLD, {COMPLETE, OLD})
            (folder / COMPLETE).rename(folder / MOVING)
        if (folder / MOVING).exists():
            _move(folder / MOVING, folder, set())
            (folder / MOVING).rmdir()
        places.remove(str(folder / OLD))
    except OSError as error:
        raise StoreFailed(f"{place} could not be replaced ({error}): mend the cause, then use resume=True.") from error


def commit(place: str) -> None:
    """Let the new product, which is complete, take its place.

    Raises
    ------
    StoreFailed
        When the files cannot be moved.
    """
    if begun(place):
        try:
            (Path(place) / BEGUN).rename(Path(place) / COMPLETE)
        except OSError as error:
            raise StoreFailed(f"{place} could not be replaced ({error}): mend the cause, then resume=True.") from error
        settle(place)


def _move(folder: Path, target: Path, kept: set[str]) -> None:
    """Move all entries of a folder. The metadata go first from the old product and come last to the new one."""
    entries = sorted((p for p in folder.iterdir() if p.name not in kept), key=lambda p: p.name == "zarr.json")
    for entry in reversed(entries) if kept else entries:
        entry.rename(target / entry.name)
