"""The interface of work on tiles."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from bayesr.grid import Tile


class Work(Protocol):
    """Work on each tile of an image. It can be pickled, and one object does many tiles."""

    @property
    def cost(self) -> float:
        """The sum of what one tile passes to `advance`."""

    def is_done(self, tile: Tile) -> bool:
        """Whether the tile is written; only clusters ask, where a task may run a second time."""

    def draw(self, tile: Tile, advance: Callable[[float], None]) -> Any:
        """Compute a tile, one at a time in a process. Exceptions raised by `advance` must propagate."""

    def write(self, tile: Tile, drawn: Any) -> None:
        """Write a drawn tile and mark it done; another thread may draw meanwhile."""
