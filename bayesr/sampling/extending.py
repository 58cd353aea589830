"""More members for a finished store: every tile replaced by one that describes them too, and nothing lost meanwhile."""

from __future__ import annotations

import datetime
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
import zarr

import bayesr
from bayesr import product, workers
from bayesr.errors import InvalidArgument, InvalidProduct, StoreFailed
from bayesr.grid import Tile
from bayesr.product import DIMS
from bayesr.progress import Advance
from bayesr.progress import progress as show_progress
from bayesr.sampling import replaying
from bayesr.sampling.job import ALL, MASK_MEANS, NEEDED, Arrays, before
from bayesr.sampling.streaming import Drawing
from bayesr.store.layout import NEXT, Store
from bayesr.store.locking import lock
from bayesr.store.places import place_of

if TYPE_CHECKING:
    from distributed import Client
    from distributed.deploy.cluster import Cluster

    from bayesr.model.model import Model


@dataclass(frozen=True)
class Journal:
    """What is about to replace the tiles of a store, written beside them first.

    What is old is needed until all that is new is written, so at no moment does a store lack both.

    Attributes
    ----------
    target : Store
    """

    target: Store

    @property
    def members(self) -> int | None:
        """How many members there will be; None where none are being added."""
        found = self.target.metadata.get(NEXT)
        return None if found is None else int(found)

    def open(self, n: int, masks: int) -> None:
        """Make ready for `n` members."""
        if self.members is not None:
            return
        target = self.target
        try:
            shape, maps = target.array("mean").shape, sum(self._maps().values())
            target.progress.create_array(
                NEXT, shape=(maps, *shape), chunks=(maps, shape[0], target.side, target.side), dtype="float32",
                fill_value=np.nan, dimension_names=("map", *DIMS), compressors=None, overwrite=True,
            )  # fmt: skip
            if "samples" in target.variables:
                target.array("samples").resize((n, *shape))
                for name, values in product.realizations(n, masks).items():
                    target.array(name).resize(values.shape)
                    target.array(name)[:] = values.to_numpy()
            target.progress.attrs[NEXT] = n
        except OSError as error:
            raise target.failed(error) from error

    def replace(self, tile: Tile, arrays: Arrays, n: int, first: int) -> None:
        """Write a tile that describes `n` members; ``samples`` begin with the member `first`."""
        target = self.target
        try:
            crc = target.put_members(tile, arrays, first, target.recorded(target.at(tile)).get("samples", 0))
            parts = [arrays[name] if name == MASK_MEANS else arrays[name][None] for name in self._maps()]
            self._tiles[(..., *target.region(tile))] = np.concatenate(parts)
            self._finish_tile(tile, arrays, n, crc)
        except OSError as error:
            raise target.failed(error) from error

    def pending(self, tile: Tile) -> bool:
        """Whether the replacement of a tile was interrupted when all that is new was written."""
        return not np.isnan(self._tiles[(..., *self.target.region(tile))]).all()

    def resume(self, tile: Tile, n: int) -> None:
        """Go on with a replacement that is pending."""
        target, maps = self.target, self._maps()
        try:
            stack = np.asarray(self._tiles[(..., *target.region(tile))], np.float32)
            parts = dict(zip(maps, np.split(stack, np.cumsum(list(maps.values()))[:-1]), strict=True))
            arrays = {name: part if name == MASK_MEANS else part[0] for name, part in parts.items()}
            self._finish_tile(
                tile, arrays, n, target.crc("samples", target.at(tile)) if "samples" in target.variables else 0
            )
        except OSError as error:
            raise target.failed(error) from error

    def close(self, n: int) -> None:
        """All tiles describe all members: say so in the attributes."""
        target = self.target
        now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        line = f"{now} bayesr {bayesr.__version__}: extend(n={n})"
        try:
            known = target.attributes
            if known["n"] != n:
                target.root.attrs.update({"n": n, "history": f"{known['history']}\n{line}"})
            metadata = target.metadata
            del metadata[NEXT]
            target.progress.attrs.put(metadata)
            del target.progress[NEXT]
        except OSError as error:
            raise target.failed(error) from error

    @property
    def _tiles(self) -> zarr.Array[Any]:
        return self.target.array(NEXT)

    def _finish_tile(self, tile: Tile, arrays: Arrays, n: int, crc: int) -> None:
        self.target.finish_tile(tile, arrays, n, crc)
        self._tiles[(..., *self.target.region(tile))] = np.nan  # which removes it

    def _maps(self) -> dict[str, int]:
        """How many maps a band has of what is replaced."""
        masks = self.target.array(MASK_MEANS).shape[0] if MASK_MEANS in self.target.variables else 0
        return {name: masks if name == MASK_MEANS else 1 for name in self.target.variables if name != "samples"}


class Extending(Drawing):
    """Tiles that are there, with more members."""

    def draw(self, tile: Tile, advance: Advance) -> Arrays | None:
        """The variables of all members, from the new ones and what is stored; None where that was done before."""
        if Journal(self.target).pending(tile):
            advance(self.cost)
            return None
        names = (*NEEDED, *((MASK_MEANS,) if self.job.plan.masks > 1 else ()))
        known = before(self.job, self.target.read(tile, names), self.job.plan.first)
        return self.job.draw(tile, advance, known)

    def write(self, tile: Tile, drawn: Arrays | None) -> None:
        """A tile, in place of what is there."""
        if drawn is None:
            Journal(self.target).resume(tile, self.job.plan.n)
        else:
            Journal(self.target).replace(tile, drawn, self.job.plan.n, self.job.plan.first)


def extend(
    store: str | os.PathLike[str],
    n: int,
    *,
    model: str | Path | Model | None = None,
    device: str | None = None,
    cluster: int | str | Client | Cluster | None = None,
    progress: bool | None = None,
) -> xr.Dataset:
    r"""Add members to a finished store and bring every variable up to date; those that are there are not drawn again.

    With ``m``, ``S`` the mean and the sum of squared deviations of a mask's L members, and ``m'``,
    ``S'`` of its L' new ones: ``S + S' + L L' / (L + L') (m' - m)^2`` is the sum of all. The product is
    that of ``sample(..., n=n, masks=...)`` with the masks of the store, to 1e-5 of the value range.

    An extension that was interrupted goes on when it is called again; until it is finished, the attribute ``n``
    stays what it was.

    Parameters
    ----------
    store : path or URL
        As written by `bayesr.sample`, with all variables.
    n : int
        Members in the end, more than there are, and a multiple of the store's ``masks``.
    model : str, Path or Model, optional
        Where the model lies, if not under its recorded name.
    device : str, optional
        As of `bayesr.sample`; by default the recorded one.
    cluster, progress
        As of `bayesr.sample`.

    Returns
    -------
    Dataset
        The product, opened lazily.

    Raises
    ------
    InvalidArgument
        When `n` is not more, or no multiple of the masks.
    InvalidProduct
        When the store does not hold what is needed, or the model is another one.
    StoreFailed
        When the store is not finished, another process writes to it, or writing fails; what was finished stays.

    References
    ----------
    T. F. Chan, G. H. Golub, R. J. LeVeque, "Updating formulae and a pairwise algorithm for computing sample
    variances", 1979, Stanford STAN-CS-79-773.
    """
    place = place_of(store)
    target = Store(place)
    target.require()
    with lock(place):
        attributes, journal = target.attributes, Journal(target)
        masks, there, begun = int(attributes["masks"]), int(attributes["n"]), journal.members
        if begun not in (None, n):
            raise InvalidArgument(f"{place} is being extended to {begun} members: finish that first, with n={begun}.")
        if begun is None and n <= there:
            raise InvalidArgument(f"{place} has {there} members: n must be more, and is {n}.")
        if n % masks:
            raise InvalidArgument(f"n={n} must be a multiple of the {masks} masks of the store.")
        lacking = {*ALL, *((MASK_MEANS,) if masks > 1 else ())} - set(target.variables)
        if lacking:
            raise InvalidProduct(
                f"{place} was written without {', '.join(sorted(lacking))}, which more members cannot be added to: "
                "sample again, without variables=."
            )
        done = target.done()
        unfinished = int((done == 0).sum())
        if unfinished:
            raise StoreFailed(f"{place} lacks {unfinished} tiles: finish it first, with sample(..., resume=True).")
        job = replaying.job_of(target, model, device, n, first=int(done.min()))
        journal.open(n, masks)
        tiles = [tile for tile in job.tiles() if done[target.at(tile)] < n]
        with show_progress("extending", job.cost * done.size, progress) as advance:
            advance(job.cost * (done.size - len(tiles)))
            if tiles:
                workers.run(Extending(job, target), tiles, job.cost * len(tiles), advance, cluster)
        journal.close(n)
        return target.finish()
