"""The work on the tiles of a job: draw a tile, then write it to its target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from bayesr.grid import Tile
from bayesr.product import Arrays
from bayesr.progress import Advance
from bayesr.sampling.job import Job


class Target(Protocol):
    """Where tiles are written. Clusters pickle it."""

    def is_done(self, tile: Tile, n: int) -> bool:
        """Whether a tile with `n` members is written."""

    def write(self, tile: Tile, arrays: Arrays, n: int) -> None:
        """Write a tile with `n` members, and mark it done."""


@dataclass(frozen=True)
class Drawing:
    """Draw the tiles of a job and write them to a target; see `bayesr.workers.Work`."""

    job: Job
    target: Target

    @property
    def cost(self) -> float:
        return self.job.cost

    def is_done(self, tile: Tile) -> bool:
        return self.target.is_done(tile, self.job.plan.n)

    def draw(self, tile: Tile, advance: Advance) -> Arrays:
        return self.job.draw(tile, advance)

    def write(self, tile: Tile, drawn: Arrays) -> None:
        self.target.write(tile, drawn, self.job.plan.n)
