"""Free memory given back, so that what a process holds does not grow with the number of its tiles."""

from __future__ import annotations

import ctypes
from functools import lru_cache
from typing import Any

_EVERY = 16
"""Tiles: often enough for a level that stays, and so seldom that taking memory anew costs nothing to speak of."""


class Releasing:
    """Counts tiles, and after every sixteenth gives free memory back to the system.

    The C library of Linux keeps what each of many threads has freed, a little more with every tile.
    """

    def __init__(self) -> None:
        self._tiles = 0

    def tile(self) -> None:
        """A tile is done."""
        self._tiles += 1
        trim = _trim()
        if trim is not None and self._tiles % _EVERY == 0:
            trim(0)


@lru_cache(maxsize=1)
def _trim() -> Any:
    """``malloc_trim`` of the C library, where it has that."""
    try:
        return getattr(ctypes.CDLL(None), "malloc_trim", None)
    except (OSError, TypeError):  # not on Windows
        return None
