"""Reading of NIfTI files with one slice; nibabel is optional."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bayesr.errors import InvalidArgument, NotAnImage

_MAX_BANDS = 8
"""Largest number of bands; a longer third axis holds slices."""


def read_slice(path: Path) -> NDArray[np.float32]:
    """Read the bands of a NIfTI file, `band x y x x`, in its units.

    Axes of length 1 are dropped. A third axis holds bands and is the first or the last.

    Raises
    ------
    InvalidArgument
        If nibabel is not installed.
    NotAnImage
        If the file cannot be read, or has more than one slice or values that are not finite.
    """
    try:
        import nibabel  # optional package
    except ImportError as error:
        raise InvalidArgument(f"Reading {path.name} needs nibabel: pip install 'bayesr[medical]'.") from error
    try:
        values = np.asarray(nibabel.load(path).dataobj, np.float32)  # type: ignore[attr-defined]
    except Exception as error:  # readers of damaged files raise nearly anything
        raise NotAnImage(f"{path} cannot be read as NIfTI ({error}).") from error
    values = values.reshape([size for size in values.shape if size > 1] or [1])
    if values.ndim == 3:
        band_axis = int(np.argmin(values.shape))
        if values.shape[band_axis] > _MAX_BANDS:
            raise NotAnImage(f"{path} has the shape {values.shape}: cut it into images of one slice first.")
        values = np.moveaxis(values, band_axis, 0)
    elif values.ndim == 2:
        values = values[None]
    if values.ndim != 3 or not np.isfinite(values).all():
        raise NotAnImage(f"{path} is not an image of one slice with finite values; its shape is {values.shape}.")
    return np.ascontiguousarray(values.transpose(0, 2, 1))
