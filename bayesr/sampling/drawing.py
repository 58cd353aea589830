"""The work on the tiles of a job, as workers do it: draw a tile, then write it to its target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from bayesr.grid import Tile
from bayesr.product import Arrays
from bayesr.progress import Advance
from bayesr.sampling.job import Job


class Target(Protocol):
    """Where tiles are written. It is pickled when a cluster draws."""

    def is_done(self, tile: Tile, n: int) -> bool:
        """Whether a tile that describes `n` members is written."""

    def write(self, tile: Tile, arrays: Arrays, n: int) -> None:
        """Write a tile that describes `n` members, and mark it done."""


@dataclass(frozen=True)
class Drawing:
    """Draw the tiles of a job and write them to a target; see `bayesr.workers.Work`."""

    job: Job
    target: Target

    @property
    def cost(self) -> float:
        """The number of members to draw for a tile."""
        return self.job.cost

    def is_done(self, tile: Tile) -> bool:
        """Whether a tile is written with all its members."""
        return self.target.is_done(tile, self.job.plan.n)

    def draw(self, tile: Tile, advance: Advance) -> Arrays:
        """Return the variables on a tile."""
        return self.job.draw(tile, advance)

    def write(self, tile: Tile, drawn: Arrays) -> None:
        """Write a tile, and mark it done."""
        self.target.write(tile, drawn, self.job.plan.n)
