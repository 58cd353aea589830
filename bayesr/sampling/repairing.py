"""Whether stores are as they were written: damage found by checksums, and repaired."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from bayesr import images, workers
from bayesr.errors import BayesrError, InvalidProduct, StoreFailed
from bayesr.progress import progress as show_progress
from bayesr.sampling import replaying
from bayesr.sampling.extending import Journal
from bayesr.sampling.streaming import Filling
from bayesr.store.layout import Store
from bayesr.store.locking import lock
from bayesr.store.places import place_of

if TYPE_CHECKING:
    from distributed import Client
    from distributed.deploy.cluster import Cluster

    from bayesr.model.model import Model


@dataclass(frozen=True)
class IntegrityReport:
    """What `check` found.

    Attributes
    ----------
    place : str
        The store.
    tiles, unfinished : int
        All tiles, and those that are not drawn yet.
    damaged : mapping
        For the row and column of every damaged tile, its damaged variables and why.
    image : str
        What is wrong with the store's copy of the image; empty where nothing is.
    repaired : int
        Tiles that were drawn again.
    """

    place: str
    tiles: int
    unfinished: int
    damaged: Mapping[tuple[int, int], Mapping[str, str]] = field(default_factory=dict)
    image: str = ""
    repaired: int = 0

    @property
    def sound(self) -> bool:
        """Whether all tiles are there and as they were written."""
        return not (self.unfinished or self.damaged or self.image)

    def __str__(self) -> str:
        lines = [f"{self.place}: {self.tiles} tiles, {len(self.damaged)} damaged, {self.unfinished} not drawn yet"]
        lines += [
            f"tile {row}, {column}: {name} (shard {name}/c/.../{row}/{column}) {why}"
            for (row, column), of in self.damaged.items()
            for name, why in of.items()
        ]
        lines += [f"the copy of the image: {self.image}"] if self.image else []
        lines += [f"{self.repaired} tiles were drawn again"] if self.repaired else []
        return "\n".join(lines)


def check(
    store: str | os.PathLike[str],
    *,
    repair: bool = False,
    img: Any = None,
    model: str | Path | Model | None = None,
    device: str | None = None,
    cluster: int | str | Client | Cluster | None = None,
    progress: bool | None = None,
) -> IntegrityReport:
    """Compare every shard of a store with the checksum that was written after it, and draw damaged ones again.

    Parameters
    ----------
    store : path or URL
        As written by `bayesr.sample`.
    repair : bool
        Draw the damaged tiles again, and just these.
    img : path, ndarray, Tensor, PIL image or DataArray, optional
        The image that was sampled; only needed to repair the store's own copy of it.
    model, device, cluster, progress
        As of `bayesr.extend`.

    Returns
    -------
    Condition
        What was found, before any repair: ``sound``, ``damaged``, ``unfinished``, ``repaired``. It prints well.

    Raises
    ------
    InvalidProduct
        When the damage cannot be repaired with what is at hand.
    StoreFailed
        When there is no such store, it is being extended, or another process writes to it.
    """
    place = place_of(store)
    target = Store(place)
    target.require()
    if members := Journal(target).members:
        raise StoreFailed(f"{place} is being extended: finish that first, with bayesr.extend({place!r}, {members}).")
    found = _integrity_report(target, progress)
    if not repair or not (found.damaged or found.image):
        return found
    with lock(place):
        if found.image:
            if img is None:
                raise InvalidProduct(f"The store's copy of the image {found.image}: give the image as img=.")
            original = replaying.image_of(xr.Dataset(attrs=target.attributes), img)
            target.undo_input()
            images.survey(original.data, nodata=original.nodata, value_range=original.value_range, keep=target.keep)
        job = replaying.job_of(target, model, device, int(target.attributes["n"]))
        tiles = [tile for tile in job.tiles() if target.at(tile) in found.damaged]
        for tile in tiles:  # an interrupted repair leaves tiles to draw, not damage to look for once more
            target.undo(tile)
        with show_progress("repairing", job.cost * len(tiles), progress) as advance:
            workers.run(Filling(job, target), tiles, job.cost * len(tiles), advance, cluster)
    return replace(found, repaired=len(tiles))


def _integrity_report(target: Store, progress: bool | None) -> IntegrityReport:
    finished = target.finished()
    tiles = [(int(row), int(column)) for row, column in np.argwhere(finished)]
    damaged = {}
    with show_progress("checking", len(tiles), progress) as advance, ThreadPoolExecutor() as threads:
        for tile, of in zip(tiles, threads.map(target.damage, tiles), strict=True):
            if of:
                damaged[tile] = of
            advance(1)
    return IntegrityReport(target.place, finished.size, int((~finished).sum()), damaged, _image_damage(target))


def _image_damage(target: Store) -> str:
    """What is wrong with the store's copy of the image."""
    attributes = target.attributes
    value_range = (float(attributes["value_range"][0]), float(attributes["value_range"][1]))
    try:
        image = images.survey(target.input(), nodata=json.loads(target.metadata["nodata"]), value_range=value_range)
    except BayesrError:
        return "holds other values than it did"
    except Exception as error:  # codecs raise nearly anything on damaged bytes
        return f"cannot be read ({type(error).__name__}: {error})"
    return "" if image.sha256 == attributes["input_sha256"] else "does not have its recorded checksum"
