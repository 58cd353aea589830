"""Decoders warn about damaged and unusual files, in words that name no remedy: their warnings are not shown."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

_MODULES = (
    r"(PIL|tifffile|imagecodecs|zarr|numcodecs|xarray|rioxarray|rasterio|affine|pyproj|netCDF4|h5netcdf|h5py|numpy"
    r"|asyncio|concurrent|bayesr\.images)(\.|$)"
)
"""Modules whose warnings are not shown: decoders, what they call, and what zarr runs in.

Warnings of bayesr itself are issued at the line of its caller.
"""

_LOGGERS = ("tifffile", "rasterio", "rasterio._env", "rasterio._err", "rasterio._base", "rasterio._io", "PIL", "xarray")
"""Loggers of decoders; filters of a logger do not apply to those below it."""


class _Quiet:
    """Ignore warnings of decoders as long as one thread reads.

    Filters of warnings belong to the process. If every thread saved and restored them, one could restore what another
    had set. So the first thread that enters sets them, and the last one that leaves restores them.
    """

    def __init__(self) -> None:
        self._lock, self._depth = Lock(), 0
        self._filters: Any = None

    def enter(self) -> None:
        with self._lock:
            self._depth += 1
            if self._depth > 1:
                return
            self._filters = warnings.catch_warnings()
            self._filters.__enter__()
            warnings.filterwarnings("ignore", module=_MODULES)
            for name in _LOGGERS:
                logging.getLogger(name).addFilter(_nothing)

    def leave(self) -> None:
        with self._lock:
            self._depth -= 1
            if self._depth:
                return
            self._filters.__exit__(None, None, None)
            for name in _LOGGERS:
                logging.getLogger(name).removeFilter(_nothing)


def _nothing(record: logging.LogRecord) -> bool:
    return False


_QUIET = _Quiet()


@contextmanager
def quiet() -> Iterator[None]:
    """Ignore warnings and log messages of decoders in a ``with`` statement; those of others are shown as always."""
    _QUIET.enter()
    try:
        yield
    finally:
        _QUIET.leave()
