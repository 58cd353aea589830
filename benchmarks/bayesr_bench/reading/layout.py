"""What a layout of files is: how one is written, and what another reader than bayesr says of it."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import PIL.Image
from numpy.typing import NDArray

import bayesr

Values = NDArray[np.float64]
Bounds = tuple[float, float, float, float]
Point = tuple[float, float, float, float]

PIXELS = "in pixels of the input"
"""The end of the names of coordinates where a file says nothing of where its image lies."""


@dataclass(frozen=True)
class Expected:
    """What an independent reader says of a file.

    Attributes
    ----------
    values : ndarray of float64
        `band x y x x`, with scale and offset; NaN where the file says that data is missing.
    shown : ndarray of float64
        The same for models of several bands, for which a pixel is missing only where all bands are.
    bounds : tuple of float or None
        The outer edges of the first column, last row, last column and first row: left, bottom, right, top. None for
        rotated images and those that lie at ground control points.
    transform : tuple of float or None
        The six numbers ``a b c d e f`` of a rotated or sheared image.
    gcps : tuple of tuples
        Ground control points: row, column, x, y.
    crs : str or None
        As well-known text.
    units : tuple of str
        Units of the values by band, "" where there are none.
    coordinate_units : str or None
        Units of y and x: a length in UDUNITS' spelling, `PIXELS`, or None if they are not compared.
    slack : float
        Largest error of bounds, in pixels. Coordinates of few decimals need more.
    """

    values: Values
    bounds: Bounds | None
    shown: Values = field(default_factory=lambda: np.empty(0))
    transform: tuple[float, ...] | None = None
    gcps: tuple[Point, ...] = ()
    crs: str | None = None
    units: tuple[str, ...] = ()
    coordinate_units: str | None = None
    slack: float = 1e-6

    def __post_init__(self) -> None:
        if not self.shown.size:
            object.__setattr__(self, "shown", self.values)


@dataclass(frozen=True)
class Layout:
    """A kind of file.

    Attributes
    ----------
    name : str
        Unique among all layouts.
    suffix : str
        Suffix of the file, with the dot.
    write : callable
        Writes the file, or the folder, at a path.
    written_by : str
        The library that writes it.
    read : callable or None
        Returns what an independent reader says of the file; None if the file must be refused.
    read_by : str
        The independent reader.
    refused : str
        Why the file must be refused; if there is `read`, too, why it may be refused or read.
    says : str
        A regular expression that the message of a refusal must match.
    model : str
        The model to sample with.
    needs : tuple of str
        Modules without which the file cannot be written or checked.
    """

    name: str
    suffix: str
    write: Callable[[Path], None]
    written_by: str
    read: Callable[[Path], Expected] | None = None
    read_by: str = "–"
    refused: str = ""
    says: str = ""
    model: str = "fluorescence-x4"
    needs: tuple[str, ...] = ()

    @property
    def expected(self) -> str:
        """What is right: ``equal``, ``refused``, or either."""
        if self.read is None:
            return "refused"
        return "equal or refused" if self.refused else "equal"

    @property
    def lacking(self) -> tuple[str, ...]:
        """Modules that are needed and not installed."""
        return tuple(name for name in self.needs if find_spec(name) is None)

    def to_refuse(self, why: str, says: str = "") -> Layout:
        """Return the layout as one that must be refused."""
        return replace(self, read=None, read_by="–", refused=why, says=says)

    def or_refuse(self, why: str, says: str = "") -> Layout:
        """Return the layout as one that may be refused, or be read right."""
        return replace(self, refused=why, says=says)

    def written(self, folder: Path) -> Path:
        """Write the file in a folder of its own, since other files may lie beside it, and return its path."""
        place = folder / re.sub(r"\W+", "-", self.name).strip("-")
        place.mkdir(parents=True)
        path = place / f"image{self.suffix}"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what is unusual on purpose
            self.write(path)
        return path

    def said(self, path: Path) -> Expected | None:
        """Return what the independent reader says of the file; None if it must be refused."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what is unusual on purpose
            return self.read(path) if self.read else None


# -- pixels to write -----------------------------------------------------------------------------


def _crop(name: str, top: int, left: int) -> NDArray[np.uint8]:
    """Return 20 x 24 pixels of an example: not square, and equal to none of its mirror images."""
    with PIL.Image.open(Path(bayesr.__file__).parent / "examples" / name) as picture:
        return np.asarray(picture)[top : top + 20, left : left + 24].copy()


GREY = _crop("nuclei-x4.png", 24, 20)
"""Nuclei, `y x x`, uint8."""
COLOUR = _crop("coffee-x4.png", 20, 40) // 2 + np.uint8(48)
"""A cup of coffee, `y x x x band`, uint8; far from 0 and 255, to which members are clipped."""
BANDS = np.ascontiguousarray(np.moveaxis(COLOUR, -1, 0))
"""The same, `band x y x x`."""
COUNTS = GREY.astype(np.uint16) * 257 + np.arange(24, dtype=np.uint16)
"""The nuclei in 16 bits, with low bytes of their own."""
PALETTE = tuple((20 + i * 3 // 4, 230 - i * 3 // 4, 60 + i // 2) for i in range(256))
"""Colours for indices."""
HOLE = np.zeros(GREY.shape, bool)
HOLE[3:7, 4:9] = HOLE[15, 20] = HOLE[0, 23] = True
"""Missing pixels, `y x x`: a rectangle, one pixel, and a corner."""


FLOAT = GREY / np.float32(7)
"""The nuclei as float32."""


def pixel_bounds(values: NDArray[np.float64]) -> Bounds:
    """Return the bounds of an image that lies nowhere, in pixels."""
    height, width = values.shape[-2:]
    return 0.0, float(height), float(width), 0.0


def edges(centres: NDArray[np.float64]) -> tuple[float, float]:
    """Return the outer edges of the first and the last of several equal pixels."""
    half = (centres[-1] - centres[0]) / (len(centres) - 1) / 2
    return float(centres[0] - half), float(centres[-1] + half)


def grown(bounds: Bounds, y: float, x: float, at: tuple[float, float] = (0.0, 0.0)) -> Bounds:
    """Return bounds in pixels of sizes y and x, moved to an origin `at`, also as y and x."""
    left, bottom, right, top = bounds
    return left * x + at[1], bottom * y + at[0], right * x + at[1], top * y + at[0]
