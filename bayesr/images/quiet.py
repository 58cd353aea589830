"""Hide the warnings of decoders, which warn about damaged and unusual files without naming a remedy."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Lock
from typing import Any, cast

_MODULES = (
    r"(PIL|tifffile|imagecodecs|zarr|numcodecs|xarray|rioxarray|rasterio|affine|pyproj|netCDF4|h5netcdf|h5py|numpy"
    r"|asyncio|concurrent|bayesr\.images)(\.|$)"
)
"""Modules whose warnings are not shown: decoders, what they call, and what zarr runs in.

Warnings of bayesr itself are issued at the line of its caller.
"""

_LOGGERS = ("tifffile", "rasterio", "rasterio._env", "rasterio._err", "rasterio._base", "rasterio._io", "PIL", "xarray")
"""Loggers of decoders; filters of a logger do not apply to those below it."""


_IGNORED: Any = ("ignore", None, Warning, re.compile(_MODULES), 0)
"""A filter of warnings."""


class _Quiet:
    """Ignore warnings of decoders as long as one thread reads.

    Filters of warnings belong to the process. A thread that saved and restored all of them, as
    `warnings.catch_warnings` does, could restore what another had set meanwhile, such as a caller that an error has
    ended while threads still read. So the first thread that enters adds one filter, and the last one that leaves
    removes it, also from the list to which it was added, which a caller may restore later.
    """

    def __init__(self) -> None:
        self._lock, self._depth = Lock(), 0
        self._filters: list[Any] = []

    def enter(self) -> None:
        with self._lock:
            self._depth += 1
            if self._depth > 1:
                return
            self._filters = cast("list[Any]", warnings.filters)
            self._filters.insert(0, _IGNORED)
            for name in _LOGGERS:
                logging.getLogger(name).addFilter(_hide_record)

    def leave(self) -> None:
        with self._lock:
            self._depth -= 1
            if self._depth:
                return
            for filters in (self._filters, cast("list[Any]", warnings.filters)):
                with suppress(ValueError):  # a caller may have restored the list of before
                    filters.remove(_IGNORED)
            self._filters = []
            for name in _LOGGERS:
                logging.getLogger(name).removeFilter(_hide_record)


def _hide_record(record: logging.LogRecord) -> bool:
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
