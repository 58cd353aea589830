"""Draw and write the tiles of an image, in this process or on a dask.distributed cluster."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from bayesr.grid import Tile
from bayesr.progress import Advance
from bayesr.workers import pipeline
from bayesr.workers.pipeline import Work

if TYPE_CHECKING:
    from distributed import Client
    from distributed.deploy.cluster import Cluster


def run(
    work: Work,
    tiles: Iterable[Tile | None],
    total: float,
    advance: Advance,
    cluster: int | str | Client | Cluster | None = None,
) -> None:
    """Draw and write every tile.

    Parameters
    ----------
    work : Work
        The work on each tile. A cluster gets it once per worker process, including late and restarted ones.
    tiles : iterable of Tile or None
        They are consumed one by one, in this thread, and never collected in a list. None says, after a short wait, that
        the next tile cannot be drawn yet. An error of the iterable ends the run.
    total : float
        The cost of all tiles, `work.cost` each.
    advance : callable
        Called with the amount of work just done, out of `total`.
    cluster : int, str, Client, LocalCluster or None
        None uses this process: a tile is written while the next one is drawn, and at most one drawn tile waits. An
        integer starts that number of processes with one thread each, which end with the call. The address of a
        scheduler, a `distributed.Client` or a dask cluster object uses its workers and leaves it unchanged. A worker
        draws one tile at a time with all its threads, and with several threads writes a tile while it draws the next.

    Raises
    ------
    BayesrError
        The first such error of drawing or writing a tile, unchanged.
    InvalidArgument
        If the cluster cannot be reached, or `cluster` is not a cluster.
    WorkersFailed
        If workers raised other errors three times on one tile, died repeatedly, or never appeared.

    Notes
    -----
    An interrupt (Ctrl-C) stops all workers: tiles being written are finished, tiles being drawn are dropped.
    """
    if cluster is None:
        pipeline.run(work, tiles, advance)
        return
    from bayesr.workers import clusters, dispatch  # start-up time: distributed takes a second to import

    with clusters.connected(cluster) as (client, replace_dead_workers):
        dispatch.run(client, work, tiles, total, advance, replace_dead_workers)
