"""Return of free memory to the system, so that the memory of a process does not grow with the number of tiles."""

from __future__ import annotations

import ctypes
from functools import lru_cache
from typing import Any

_EVERY = 16
"""Number of tiles between releases: small enough to bound memory, large enough to make the cost negligible."""


class MemoryReleaser:
    """Counts tiles and returns free memory to the system after every sixteenth.

    The C library of Linux retains memory that each thread has freed, a little more with every tile.
    """

    def __init__(self) -> None:
        self._tiles = 0

    def tile_done(self) -> None:
        """Count a tile, and release memory if it is due."""
        self._tiles += 1
        trim = _trim()
        if trim is not None and self._tiles % _EVERY == 0:
            trim(0)


@lru_cache(maxsize=1)
def _trim() -> Any:
    """Return ``malloc_trim`` of the C library, or None if it has no such function."""
    try:
        return getattr(ctypes.CDLL(None), "malloc_trim", None)
    except (OSError, TypeError):  # not on Windows
        return None
