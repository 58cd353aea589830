"""CHASE_DB1: retinal images of 14 children, both eyes, with the vessels drawn by two annotators."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesr.errors import InvalidArgument
from bayesr.segmentation.cases import Case, folders

FACTOR = 2
"""Factor by which images are downsampled, so that training on two processor cores takes minutes."""
GREEN = 1
"""The band in which vessels have the highest contrast; the only one that networks take."""

Array = NDArray[Any]


def colour_cases(data: Path) -> list[Case]:
    """Read the images of CHASE_DB1 from a folder of data: all bands, in full size, each with two masks."""
    folder = data / "chase_db1"
    return folders(folder / "hr", folder / "vessel_1st", folder / "vessel_2nd")


def retina(data: Path) -> list[Case]:
    """Read the images of CHASE_DB1 from a folder of data: the green band, downsampled. Each child is a group."""
    cases = [downsampled(replace(case, image=case.image[GREEN : GREEN + 1]), FACTOR) for case in colour_cases(data)]
    return [replace(case, group=re.sub(r"\D", "", case.name) or case.name) for case in cases]


def downsampled(case: Case, factor: int) -> Case:
    """Return a case downsampled by a factor.

    Pixels of images become means of ``factor x factor`` pixels. Pixels of masks are marked if at least half of those
    are, so that vessels of one pixel, which mostly cover two of four, do not vanish. Rows and columns that remain at
    the lower and the right border are cut off.

    Raises
    ------
    InvalidArgument
        If the image is smaller than the factor.
    """
    height, width = (size // factor for size in case.image.shape[1:])
    if not height or not width:
        raise InvalidArgument(f"{case.name} is too small to downsample by {factor}: its shape is {case.image.shape}.")

    def means(pixels: Array) -> Array:
        cut = pixels[:, : height * factor, : width * factor].astype(np.float32)
        found: Array = cut.reshape(len(cut), height, factor, width, factor).mean((2, 4))
        return found

    weight = None if case.weight is None else means(case.weight[None])[0]
    return replace(case, image=means(case.image), masks=(means(case.masks > 0) >= 0.5).astype(np.int32), weight=weight)
