"""Folders of a run: undamaged files, the folder of one case, and that of temporary files."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from random import Random
from typing import Any

import xarray as xr

MODEL = "fluorescence-x4"
"""The bundled model that most cases sample with: it is small, and takes any number of bands."""


@dataclass(frozen=True)
class Place:
    """The folders of a run below `root`."""

    root: Path

    @property
    def seeds(self) -> Path:
        """Undamaged files, see `tests.fuzz.seeds`."""
        return self.root / "seeds"

    @property
    def work(self) -> Path:
        """The folder of one case, empty at its start: all that it reads and writes."""
        return self.root / "work"

    @property
    def temporary(self) -> Path:
        """The folder of temporary files, empty after every case."""
        return self.root / "temporary"

    @cached_property
    def product(self) -> xr.Dataset:
        """The product of `seeds`, in memory."""
        return xr.open_zarr(self.seeds / "product.zarr").load()

    def prepare(self) -> None:
        """Make the folders, and make them those of this process."""
        for folder in (self.seeds, self.work, self.temporary):
            folder.mkdir(parents=True, exist_ok=True)
        os.environ["TMPDIR"] = tempfile.tempdir = str(self.temporary)

    def clear(self) -> None:
        """Empty the folders of the case before."""
        shutil.rmtree(self.work, ignore_errors=True)
        self.work.mkdir()
        for left in self.temporary.iterdir():
            shutil.rmtree(left) if left.is_dir() else left.unlink()


@dataclass(frozen=True)
class Case:
    """One input: what is called with it, and a description in a line."""

    what: str
    call: Callable[[], Any]


Kind = Callable[[Random, Place], Case]
"""Makes a case from random numbers alone, so that its number in a run with a seed names it."""
