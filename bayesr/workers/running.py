"""Draw and write the tiles of an image, in this process or on the workers of a dask.distributed cluster."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from bayesr.grid import Tile
from bayesr.progress import Advance
from bayesr.workers import pipeline
from bayesr.workers.work import Work

if TYPE_CHECKING:
    from distributed import Client
    from distributed.deploy.cluster import Cluster


def run(
    work: Work,
    tiles: Iterable[Tile],
    total: float,
    advance: Advance,
    cluster: int | str | Client | Cluster | None = None,
) -> None:
    """Draw and write every tile.

    Parameters
    ----------
    work : Work
        On a cluster it is sent to every worker process once, late ones and restarted ones too.
    tiles : iterable of Tile
        Taken one by one, never listed.
    total : float
        What the tiles cost together, `work.cost` each.
    advance : callable
        Called with the amount of work just done, of `total`.
    cluster : int, str, Client, LocalCluster or None
        None: this process, in which a tile is written while the next one is drawn, and no more than one drawn tile
        waits. An integer: as many processes of one thread each, which end with the call. The address of a scheduler,
        a `distributed.Client` or a dask cluster object: its workers, and it is left as it was. A worker draws one tile
        at a time with as many threads as it has, and writes it while it draws the next one if it has more than one.

    Raises
    ------
    BayesrError
        The first that drawing or writing a tile raised, as it is.
    InvalidArgument
        When the cluster cannot be reached, or `cluster` is none.
    WorkersFailed
        When workers raised something else three times on one tile, died time and again, or never came.

    Notes
    -----
    An interrupt (Ctrl-C) stops all workers: tiles whose writing has begun are finished, those being drawn are dropped.
    """
    if cluster is None:
        pipeline.run(work, tiles, advance)
        return
    from bayesr.workers import clusters, dispatch  # start-up time: distributed takes a second to import

    with clusters.connected(cluster) as (client, tend):
        dispatch.run(client, work, tiles, total, advance, tend)
