"""The tiles of one image, drawn and written by this process or by the workers of a dask.distributed cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Protocol

from bayesr.grid import Tile
from bayesr.progress import Advance
from bayesr.workers import pipeline

if TYPE_CHECKING:
    from distributed import Client
    from distributed.deploy.cluster import Cluster


class Work(Protocol):
    """What there is to do on a tile. It can be pickled, and one object does many tiles."""

    @property
    def cost(self) -> float:
        """What the amounts given to `advance` sum up to for one tile."""

    def is_done(self, tile: Tile) -> bool:
        """Whether the tile is written already: asked on clusters alone, where a task may be run a second time."""

    def draw(self, tile: Tile, advance: Callable[[float], None]) -> Any:
        """Compute a tile; never called twice at once in a process. What `advance` raises has to pass through."""

    def write(self, tile: Tile, drawn: Any) -> None:
        """Write what was drawn and mark the tile done; called while another tile is drawn in another thread."""


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
    from bayesr.workers import clusters, dispatch  # distributed takes a second to import

    with clusters.connected(cluster) as (client, tend):
        dispatch.run(client, work, tiles, total, advance, tend)
