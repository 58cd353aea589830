"""Small images that are part of the package, for examples and first steps.

Each function returns the path of a file, which every function of bayesr reads: ``bayesr.sample(examples.coffee())``.
"""

from __future__ import annotations

from pathlib import Path

_FOLDER = Path(__file__).parent

__all__ = ["aerial", "coffee", "nuclei"]


def aerial() -> Path:
    """Return the path of an aerial photograph with coordinates, 64 x 64 pixels of 2.4 m, for ``aerial-x4``.

    A GeoTIFF of 3 bands of 8 bits, reduced by 4 from a NAIP photograph of Claremont, California. Its place is
    approximate. From the Urban Tree Detection Data of J. Ventura et al., CC BY 4.0.
    """
    return _FOLDER / "aerial-x4.tif"


def coffee() -> Path:
    """Return the path of a photograph, 100 x 150 pixels, for ``natural-x4``.

    A PNG file of 8-bit colours, reduced by 4 from `skimage.data.coffee`, which is its truth. CC0.
    """
    return _FOLDER / "coffee-x4.png"


def nuclei() -> Path:
    """Return the path of a fluorescence image of nuclei, 64 x 64 pixels, for ``fluorescence-x4``.

    A PNG file of one 8-bit band, reduced by 4 from an image of the Data Science Bowl 2018 (BBBC038), CC0.
    """
    return _FOLDER / "nuclei-x4.png"
