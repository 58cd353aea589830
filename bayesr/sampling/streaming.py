"""A product in a store: the image read once, then tile after tile, by this process or by many."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

import xarray as xr

from bayesr import images, workers
from bayesr.errors import InvalidArgument
from bayesr.grid import Tile
from bayesr.progress import Advance
from bayesr.progress import progress as show_progress
from bayesr.sampling.job import MASK_MEANS, Arrays, Job
from bayesr.sampling.request import Request
from bayesr.store import places
from bayesr.store.layout import Store
from bayesr.store.locking import lock


@dataclass(frozen=True)
class Drawing:
    """Tiles of a job that are drawn into a store: what every worker is given."""

    job: Job
    target: Store

    @property
    def cost(self) -> float:
        """The members of a tile that are drawn."""
        return self.job.cost

    def is_done(self, tile: Tile) -> bool:
        """Whether a tile is written with all its members."""
        return self.target.is_done(tile, self.job.plan.n)


class Filling(Drawing):
    """Tiles that are not there yet."""

    def draw(self, tile: Tile, advance: Advance) -> Arrays:
        """The variables on a tile."""
        return self.job.draw(tile, advance)

    def write(self, tile: Tile, drawn: Arrays) -> None:
        """A tile, and that it is done."""
        self.target.write(tile, drawn, self.job.plan.n)


def in_store(
    asked: Request,
    place: str,
    overwrite: bool,
    resume: bool,
    keepbits: int | None,
    cluster: Any,
    progress: bool | None,
) -> xr.Dataset:
    """What `bayesr.sample` does where a store is named: its options, checked but for the place."""
    if overwrite and places.same(asked.array.encoding.get("source"), place):
        raise InvalidArgument(f"{place} is the image itself: write the product to another store.")
    places.check(place, asked.bytes, overwrite=overwrite, resume=resume)
    target = Store(place)
    with lock(place):
        if resume:
            target.tidy()
        if resume and target.declared:
            image = _read(asked, None, progress)
            metadata = _metadata(asked, image, keepbits)
            target.compare(asked.attributes(image), metadata, list(asked.variables))
        else:
            if overwrite:  # what is there goes only once the image is known to be one
                _read(asked, None, progress)
            try:
                target.begin(asked.array)
                image = _read(asked, target, progress)
                attributes, metadata = asked.attributes(image), _metadata(asked, image, keepbits)
                mask_means = asked.plan.masks - 1 if MASK_MEANS in asked.variables else 0
                target.declare(asked.template(attributes), metadata, mask_means)
            except BaseException:
                target.clear()
                raise
        fill(asked.job(replace(image, data=target.input())), target, cluster, progress)
        return target.finish()


def _read(asked: Request, target: Store | None, progress: bool | None) -> images.Image:
    """One pass over the image, which is copied to the store where there is one."""
    with show_progress("reading", asked.array.size, progress) as advance:
        keep = None if target is None else target.keep
        return images.survey(asked.array, **asked.reading, keep=keep, advance=advance)


def _metadata(asked: Request, image: images.Image, keepbits: int | None) -> dict[str, Any]:
    return {"tile": asked.plan.tile, "nodata": json.dumps(image.nodata), "keepbits": keepbits}


def fill(job: Job, target: Store, cluster: Any, progress: bool | None) -> None:
    """Draw every tile that is not done."""
    done = target.finished()
    missing = [tile for tile in job.tiles() if not done[target.at(tile)]]
    total = job.cost * done.size
    with show_progress("sampling", total, progress) as advance:
        advance(total - job.cost * len(missing))
        if missing:
            workers.run(Filling(job, target), missing, job.cost * len(missing), advance, cluster)
