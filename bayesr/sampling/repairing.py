"""`check`: whether a store is as it was written, and the repair of damaged tiles."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayesr import images, workers
from bayesr.errors import InvalidProduct, StoreFailed
from bayesr.isolation import isolated
from bayesr.model.model import Model
from bayesr.product import Provenance, arguments
from bayesr.progress import progress as show_progress
from bayesr.sampling.drawing import Drawing
from bayesr.sampling.replaying import image_of, job_of
from bayesr.store.integrity import IntegrityReport, inspect
from bayesr.store.journal import Journal
from bayesr.store.layout import Store
from bayesr.store.locking import lock
from bayesr.store.places import place_of

if TYPE_CHECKING:
    from distributed import Client
    from distributed.deploy.cluster import Cluster


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
    """Compare every shard of a store with its checksum, and draw damaged tiles again on request.

    Parameters
    ----------
    store : path or URL
        As written by `bayesr.sample`.
    repair : bool
        Draw the damaged tiles again, and no others.
    img : path, ndarray, Tensor, PIL image or DataArray, optional
        The image that was sampled; only needed to repair its copy in the store.
    model, device, cluster, progress
        As in `bayesr.extend`.

    Returns
    -------
    IntegrityReport
        The state before any repair: ``sound``, ``damaged``, ``unfinished``, ``repaired``. ``print`` shows it as text.

    Raises
    ------
    InvalidArgument
        When an argument is of another kind.
    InvalidProduct
        When the damage cannot be repaired without the image or with this model.
    StoreFailed
        When there is no such store, it is being extended, or another process writes to it.
    """
    given = {"model": model, "device": device, "cluster": cluster, "progress": progress}
    checked = arguments.check(given, optional=("model", "device"))
    device, cluster, progress = (checked[name] for name in ("device", "cluster", "progress"))
    repair = arguments.flag("repair", repair)
    place = place_of(arguments.place("store", store))
    target = Store(place)
    target.require()
    if members := Journal(target).members:
        raise StoreFailed(f"{place} is being extended: finish that first, with bayesr.extend({place!r}, {members}).")
    report = inspect(target, progress)
    if not repair or not (report.damaged or report.image):
        return report
    with lock(place):
        provenance = Provenance.from_attrs(target.attributes)
        if report.image:
            if img is None:
                raise InvalidProduct(f"The store's copy of the image {report.image}: give the image as img=.")
            original = image_of(provenance, img)
            target.undo_input()
            images.survey(original.data, nodata=original.nodata, value_range=original.value_range, keep=target.keep)
        job = job_of(target, model, device, provenance.n)
        tiles = [tile for tile in job.tiles() if target.at(tile) in report.damaged]
        for tile in tiles:  # an interrupted repair leaves tiles to draw, not damage to find again
            target.undo(tile)
        with show_progress("repairing", job.cost * len(tiles), progress) as advance:
            workers.run(Drawing(job, target), tiles, job.cost * len(tiles), advance, cluster)
    return replace(report, repaired=len(tiles))
