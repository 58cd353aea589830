"""`extend`: more members for a finished store. Every tile is replaced by one with all members."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import xarray as xr

from bayesr import workers
from bayesr.errors import InvalidArgument, InvalidProduct, StoreFailed
from bayesr.grid import Tile
from bayesr.isolation import isolated
from bayesr.model.model import Model
from bayesr.product import MAPS, MASK_MEANS, Arrays, arguments
from bayesr.progress import Advance
from bayesr.progress import progress as show_progress
from bayesr.sampling.job import Job
from bayesr.sampling.moments import MOMENT_VARIABLES, moments_of
from bayesr.sampling.replaying import job_of
from bayesr.store import integrity, structure
from bayesr.store.journal import Journal
from bayesr.store.layout import Store
from bayesr.store.places import place_of
from bayesr.store.replacing import recover, writing

if TYPE_CHECKING:
    from distributed import Client
    from distributed.deploy.cluster import Cluster

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Extending:
    """Add members to the tiles of a store; see `bayesr.workers.Work`."""

    job: Job
    store: Store

    @property
    def cost(self) -> float:
        return self.job.cost

    def is_done(self, tile: Tile) -> bool:
        return self.store.is_done(tile, self.job.plan.n)

    def draw(self, tile: Tile, advance: Advance) -> Arrays | None:
        """Return the variables of all members; None where an interrupted replacement is pending."""
        if Journal(self.store).pending(self.store.tile_index(tile), self.job.plan.n):
            advance(self.cost)
            return None
        plan = self.job.plan
        names = (*MOMENT_VARIABLES, MASK_MEANS) if plan.masks > 1 else MOMENT_VARIABLES
        earlier = moments_of(self.store.read(tile, names), plan.first, plan.masks, self.job.image.value_range)
        return self.job.draw(tile, advance, earlier)

    def write(self, tile: Tile, drawn: Arrays | None) -> None:
        """Replace a tile."""
        if drawn is None:
            Journal(self.store).resume(tile, self.job.plan.n)
        else:
            Journal(self.store).replace(tile, drawn, self.job.plan.n, self.job.plan.first)


@isolated
def extend(
    store: str | os.PathLike[str],
    n: int,
    *,
    model: str | Path | Model | None = None,
    device: str | None = None,
    cluster: int | str | Client | Cluster | None = None,
    progress: bool | None = None,
) -> xr.Dataset:
    """Add members to a finished store, and update all variables, without drawing the existing members again.

    With ``m``, ``S`` the mean and the sum of squared deviations of a mask's L members, and ``m'``, ``S'`` of its L' new
    ones: ``S + S' + L L' / (L + L') (m' - m)^2`` is the sum of all. The product is that of
    ``sample(..., n=n, masks=...)`` with the store's masks, to 1e-5 of the value range. The attribute ``n`` changes at
    the end. An interrupted extension continues when it is called again. Before anything changes, the store is compared
    with its checksums (see `bayesr.check`).

    Parameters
    ----------
    store : path or URL
        As written by `bayesr.sample`, with all variables.
    n : int
        Members in the end: more than the store has, and a multiple of its ``masks``. A call is repeated without
        effect.
    model : str, Path or Model, optional
        The model, if it is neither bundled nor found under its recorded name.
    device : str, optional
        As in `bayesr.sample`; by default the recorded one.
    cluster, progress
        As in `bayesr.sample`.

    Returns
    -------
    Dataset
        The product, opened lazily.

    Raises
    ------
    InvalidArgument
        When `n` is too small, or no multiple of the masks; or when an argument is of another kind.
    InvalidProduct
        When the store is damaged or lacks variables, or the model is another one.
    StoreFailed
        When the store is not finished, another process writes to it, or writing fails; finished tiles stay.

    References
    ----------
    T. F. Chan, G. H. Golub, R. J. LeVeque, "Updating formulae and a pairwise algorithm for computing sample
    variances", 1979, Stanford STAN-CS-79-773.
    """
    options = {"store": store, "n": n, "model": model, "device": device, "cluster": cluster, "progress": progress}
    checked = arguments.check(options, optional=("model", "device"))
    n, device, cluster, progress = (checked[name] for name in ("n", "device", "cluster", "progress"))
    place = place_of(arguments.place("store", store))
    target = Store(place)
    recover(place)
    target.require()
    with writing(place):
        if _is_extended(target, n):
            return target.finish()
        structure.require(target)
        masks = _check(target, n)
        integrity.require_sound(target, progress)
        done = target.done()
        job = job_of(target, model, device, n, first=int(done.min()))
        journal = Journal(target)
        journal.open(n, masks)
        tiles = [tile for tile in job.tiles() if done[target.tile_index(tile)] < n]
        _log.info("adding members %d to %d to %d of %d tiles", job.plan.first, n - 1, len(tiles), done.size)
        with show_progress("extending", job.cost * done.size, progress) as advance:
            advance(job.cost * (done.size - len(tiles)))
            if tiles:
                workers.run(Extending(job, target), tiles, job.cost * len(tiles), advance, cluster)
        journal.close(n)
        return target.finish()


def _is_extended(target: Store, n: int) -> bool:
    """Whether an earlier call, which may have been killed at its end, extended the store to `n` members."""
    provenance = target.provenance
    last = provenance.history.rpartition("\n")[2]
    return Journal(target).members is None and provenance.n == n and last.endswith(f": extend(n={n})")


def _check(target: Store, n: int) -> int:
    """Check that a store can have `n` members in the end; return its number of dropout masks."""
    place, masks, present = target.place, target.provenance.masks, target.provenance.n
    interrupted = Journal(target).members
    if interrupted not in (None, n):
        raise InvalidArgument(
            f"{place} is being extended to {interrupted} members: finish that first, with n={interrupted}."
        )
    if interrupted is None and n <= present:
        raise InvalidArgument(f"{place} has {present} members: n must be more, and is {n}.")
    if n % masks:
        raise InvalidArgument(f"n={n} must be a multiple of the {masks} masks of the store.")
    needed = {*MAPS, MASK_MEANS} if masks > 1 else {*MAPS}
    if missing := needed - set(target.variables):
        raise InvalidProduct(
            f"{place} was written without {', '.join(sorted(missing))}, which more members cannot be added to: "
            "sample again, without variables=."
        )
    unfinished = int((~target.finished()).sum())
    if unfinished:
        finish = "sample(..., resume=True)" if interrupted is None else "check(store, repair=True)"
        raise StoreFailed(f"{place} lacks {unfinished} tiles: finish it first, with {finish}.")
    return masks
