"""Operations on stores that are killed, each with the command that the documentation names to go on.

Every operation works on the store ``a.zarr`` of a folder, and logs what it computes.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import bayesr
from bayesr import workers
from bayesr.sampling import job
from bayesr.store.layout import Store
from bayesr.store.places import COMPLETE, INCOMPLETE, MOVING
from bayesr.workers import running
from tests.conftest import make_model

STORE, LOG = "a.zarr", "log"
N, MORE = 4, 8
HOW = dict(tile=8, seed=3, keep_samples=True)
_TILES = {"(0, 6, 0, 8)", "(0, 6, 8, 12)"}
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


def image(seed: int = 0) -> Any:
    return np.random.default_rng(seed).integers(0, 255, (6, 12), dtype=np.uint8)


@dataclass(frozen=True)
class Operation:
    """What is killed, what comes before it, and the command that goes on, given the folder of the store.

    `finished` returns what need not be computed again, as the log names it.
    """

    run: Callable[[Path], Any]
    again: Callable[[Path], Any]
    prepare: Callable[[Path], Any] = field(default=lambda folder: None)
    finished: Callable[[Path], set[str]] = field(default=lambda folder: set())


def logged(folder: Path) -> None:
    """Log every tile that is drawn from now on in this process."""
    draw = job.draw

    def drawn(*args: Any, **options: Any) -> Any:
        with (folder / LOG).open("a") as log:
            log.write(f"{args[3].core}\n")
        return draw(*args, **options)

    job.draw = drawn


def _sample(folder: Path, n: int = N, seed: int = 0, **how: Any) -> Any:
    return make_model(bands=1).sample(image(seed), n, store=folder / STORE, **(HOW | how))


def _resumed(folder: Path) -> Any:
    return _sample(folder, resume=(folder / STORE).exists())


def _sample_beside(folder: Path, **how: Any) -> Any:
    """Sample as with a cluster, beside the first pass; the cluster is this process."""
    run = running.run
    workers.run = lambda work, tiles, total, advance, cluster: run(work, tiles, total, advance)
    return _sample(folder, cluster=1, **how)


def _settled(folder: Path) -> set[str]:
    """Return the finished tiles of a store whose first pass has ended."""
    begun = (folder / STORE / "progress" / "done" / "zarr.json").exists()
    return _finished(folder / STORE, N) if begun and Store(str(folder / STORE)).declared else set()


def _extend(folder: Path) -> Any:
    return bayesr.extend(folder / STORE, MORE, model=make_model(bands=1))


def _repair(folder: Path) -> Any:
    return bayesr.check(folder / STORE, repair=True, model=make_model(bands=1))


def _damaged(folder: Path) -> None:
    _sample(folder)
    for name in ("mean/c/0/0/0", "samples/c/1/0/0/0"):
        path = folder / STORE / name
        path.write_bytes(path.read_bytes()[:-9])


def _other(folder: Path) -> None:
    _sample(folder, n=2, seed=1)


def _replace(folder: Path) -> Any:
    return _sample(folder, overwrite=True)


def _replace_resumed(folder: Path) -> Any:
    """Go on, where the new product was begun."""
    begun = any(folder.glob(f"{STORE}/.bayesr-*")) or len(_finished(folder / STORE, N)) == 2
    return _sample(folder, **{"resume" if begun else "overwrite": True})


def _replaced(folder: Path) -> set[str]:
    moving = any((folder / STORE / name).exists() for name in (COMPLETE, MOVING))
    return _TILES if moving else _finished(folder / STORE / INCOMPLETE, N)


def _grown_and_damaged(folder: Path) -> None:
    """A store whose extension ended before its last tile, and of which one tile is damaged."""
    _sample(folder)
    store, draw = folder / STORE, job.draw

    def stopped(*args: Any, **options: Any) -> Any:
        if args[3].core[2]:
            raise KeyboardInterrupt
        return draw(*args, **options)

    job.draw = stopped
    try:
        _extend(folder)
    except KeyboardInterrupt:
        job.draw = draw
    for name in ("std/c/0/0/0", "mean/c/0/0/1"):
        (store / name).write_bytes(b"nothing")


def bright(pixels: Any) -> Any:
    with Path(str(bright.log)).open("a") as log:  # type: ignore[attr-defined]
        log.write(f"{float(pixels.mean()):.9g}\n")
    return pixels[0] > 100


def _product(folder: Path) -> None:
    make_model(bands=1).sample(image(), N, store=folder.parent / "product.zarr", **(HOW | {"overwrite": True}))


def _segment(folder: Path, seed: int = 0, **how: Any) -> Any:
    bright.log = folder / LOG  # type: ignore[attr-defined]
    ds = make_model(bands=1).sample(image(seed), N, seed=3)
    return bayesr.segment(ds, bright, store=folder / STORE, **how)


def _finished(store: Path, n: int) -> set[str]:
    """Return the tiles that are done and whole, as the log names them."""
    if not (store / "progress" / "done" / "zarr.json").exists():
        return set()
    done = Store(str(store)).array("done")[:]
    return {str((0, 6, 8 * at, min(8 * at + 8, 12))) for at in np.flatnonzero(done[0] == n)}


def _sound(folder: Path) -> set[str]:
    found = bayesr.check(folder / STORE)
    done = {0, 1} - {at[1] for at in found.damaged}
    return {name for name in _finished(folder / STORE, N) if any(name.startswith(f"(0, 6, {8 * at},") for at in done)}


def _segmented(folder: Path) -> set[str]:
    inside = folder / STORE / INCOMPLETE if (folder / STORE / INCOMPLETE).exists() else folder / STORE
    done = (inside / "progress" / "done" / "c").glob("?")
    members = make_model(bands=1).sample(image(), N, seed=3)["samples"]
    return {f"{float(members[int(path.name)].mean()):.9g}" for path in done}


OPERATIONS = {
    "sample": Operation(_sample, _resumed, finished=lambda folder: _finished(folder / STORE, N)),
    "sample beside the first pass": Operation(
        _sample_beside, lambda folder: _sample_beside(folder, resume=(folder / STORE).exists()), finished=_settled
    ),
    "extend": Operation(_extend, _extend, _sample, lambda folder: _finished(folder / STORE, MORE)),
    "repair": Operation(_repair, _repair, _damaged, _sound),
    "repair and extend": Operation(
        lambda folder: (_repair(folder), _extend(folder)), lambda folder: (_repair(folder), _extend(folder)),
        _grown_and_damaged,
    ),
    "overwrite": Operation(_replace, _replace, _other),
    "overwrite, resumed": Operation(
        _replace, _replace_resumed, _other, _replaced
    ),
    "segment": Operation(
        _segment, lambda folder: _segment(folder, resume=(folder / STORE).exists()), finished=_segmented
    ),
    "segment again": Operation(
        lambda folder: _segment(folder, overwrite=True), lambda folder: _segment(folder, overwrite=True),
        lambda folder: _segment(folder, seed=1),
    ),
}  # fmt: skip


def contents(folder: Path) -> dict[str, Any]:
    """Return all files of a store, and the metadata without times."""
    found: dict[str, Any] = {}
    for path in sorted((folder / STORE).rglob("*")):
        if path.is_dir():
            continue
        raw = path.read_bytes()
        found[path.relative_to(folder).as_posix()] = (
            json.loads(_TIME.sub("", raw.decode())) if path.name == "zarr.json" else raw
        )
    return found


def folders(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in (folder / STORE).rglob("*") if path.is_dir()}


def copied(source: Path, target: Path) -> Path:
    shutil.copytree(source, target)
    return target
