"""Return free memory to the system, so that memory does not grow with the number of tiles."""

from __future__ import annotations

import ctypes
from functools import lru_cache
from typing import Any

_EVERY = 16
"""Tiles between releases: few enough to bound memory, and so many that the cost is negligible."""


class MemoryReleaser:
    """Count tiles, and return free memory to the system after every sixteenth.

    The C library of Linux retains memory freed by each thread, a little more with every tile.
    """

    def __init__(self) -> None:
        self._tiles = 0

    def tile_done(self) -> None:
        self._tiles += 1
        trim = _trim()
        if trim is not None and self._tiles % _EVERY == 0:
            trim(0)


@lru_cache(maxsize=1)
def _trim() -> Any:
    """Return ``malloc_trim`` of the C library, if it has one."""
    try:
        return getattr(ctypes.CDLL(None), "malloc_trim", None)
    except (OSError, TypeError):  # not on Windows
        return None
