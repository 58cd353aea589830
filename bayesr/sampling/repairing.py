"""`check`: whether a store is as it was written, and the repair of damaged tiles."""

from __future__ import annotations

import logging
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayesr import images, workers
from bayesr.errors import InvalidProduct
from bayesr.isolation import isolated
from bayesr.model.model import Model
from bayesr.product import arguments
from bayesr.progress import progress as show_progress
from bayesr.sampling.drawing import Drawing
from bayesr.sampling.replaying import image_of, job_of
from bayesr.store.integrity import IntegrityReport, image_damage, inspect
from bayesr.store.journal import Journal
from bayesr.store.layout import Store
from bayesr.store.places import place_of
from bayesr.store.replacing import recover, writing

if TYPE_CHECKING:
    from distributed import Client
    from distributed.deploy.cluster import Cluster

_log = logging.getLogger(__name__)


@isolated
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
    """Compare every tile of a store with its checksums, and draw damaged and missing tiles again on request.

    A store may be checked and repaired at any time, also while members are added or after an interrupt.

    Parameters
    ----------
    store : path or URL
        As written by `bayesr.sample`.
    repair : bool
        Draw the tiles again that are damaged, and those that are not drawn yet, and no others.
    img : path, ndarray, Tensor, PIL image or DataArray, optional
        The image that was sampled; only needed to repair its copy in the store.
    model, device, cluster, progress
        As in `bayesr.extend`.

    Returns
    -------
    IntegrityReport
        The state before any repair: ``sound``, ``damaged``, ``unfinished``, ``image``, ``metadata``, ``repaired``.
        ``print`` shows it as text.

    Raises
    ------
    InvalidArgument
        When an argument is of another kind.
    InvalidProduct
        When the damage cannot be repaired: without the image, with this model, or because attributes are damaged.
    StoreFailed
        When there is no such store, its creation was interrupted, or, for repairs, another process writes to it.
    """
    options = {"model": model, "device": device, "cluster": cluster, "progress": progress}
    checked = arguments.check(options, optional=("model", "device"))
    device, cluster, progress = (checked[name] for name in ("device", "cluster", "progress"))
    repair = arguments.flag("repair", repair)
    place = place_of(arguments.place("store", store))
    recover(place)
    if not repair:
        return _inspect(Store(place), progress)
    Store(place).require()
    with writing(place):
        target = Store(place)
        report = _inspect(target, progress)
        if report.metadata:
            raise InvalidProduct(report.metadata)
        if report.image:
            _restore_image(target, report.image, img)
        # While members are added, as few as before: `extend` then adds the others, as to all tiles.
        job = job_of(target, model, device, target.provenance.n)
        missing = ~target.finished()
        indices = ((tile, target.tile_index(tile)) for tile in job.tiles())
        tiles = [tile for tile, index in indices if index in report.damaged or missing[index]]
        _log.info("drawing %d of %d damaged or missing tiles again", len(tiles), report.tiles)
        for tile in tiles:  # after an interruption, these tiles are missing and need not be checked again
            _log.debug("tile %s: %s", target.tile_index(tile), report.damaged.get(target.tile_index(tile), "missing"))
            target.remove_tile(tile)
        with show_progress("repairing", job.cost * len(tiles), progress) as advance:
            workers.run(Drawing(job, target), tiles, job.cost * len(tiles), advance, cluster)
        if not (Journal(target).members or target.consolidated):  # tiles were missing
            target.consolidate()
    return replace(report, repaired=len(tiles))


def _inspect(target: Store, progress: bool | None) -> IntegrityReport:
    try:
        target.require()
    except InvalidProduct as error:
        return IntegrityReport(target.place, 0, 0, metadata=str(error))
    return inspect(target, progress)


def _restore_image(target: Store, damage: str, img: Any) -> None:
    """Write the store's copy of the image again."""
    if img is None:
        raise InvalidProduct(f"The store's copy of the image {damage}: give the image as img=.")
    original = image_of(target.provenance, img)
    target.remove_input()
    images.survey(original.data, nodata=original.nodata, value_range=original.value_range, keep=target.write_input)
    if still := image_damage(target):
        raise InvalidProduct(f"The store's copy of the image {still}, and cannot be restored: use overwrite=True.")
