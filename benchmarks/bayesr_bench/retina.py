"""CHASE_DB1: retina vessels of 14 children, both eyes, each drawn by two annotators."""

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
"""Images are taken at half their size, which two processor cores can train on."""
GREEN = 1
"""The band in which vessels stand out most; the only one that networks see."""

Array = NDArray[Any]


def retina(data: Path) -> list[Case]:
    """The images of CHASE_DB1 in a folder of data: reduced, in green, with two masks; a child is a group."""
    folder = data / "chase_db1"
    cases = folders(folder / "hr", folder / "vessel_1st", folder / "vessel_2nd")
    small = [reduced(replace(case, image=case.image[GREEN : GREEN + 1]), FACTOR) for case in cases]
    return [replace(case, group=re.sub(r"\D", "", case.name) or case.name) for case in small]


def reduced(case: Case, factor: int) -> Case:
    """A case at a fraction of its size: means of `factor x factor` pixels; a mask where at least half are marked.

    Ties are marked, so that vessels of one pixel, which mostly lie in two of four, do not vanish. What is left over
    at the lower and the right border is cut off.
    """
    height, width = (size // factor for size in case.image.shape[1:])
    if not height or not width:
        raise InvalidArgument(f"{case.name} is too small to be reduced by {factor}: its shape is {case.image.shape}.")

    def means(pixels: Array) -> Array:
        cut = pixels[:, : height * factor, : width * factor].astype(np.float32)
        found: Array = cut.reshape(len(cut), height, factor, width, factor).mean((2, 4))
        return found

    weight = None if case.weight is None else means(case.weight[None])[0]
    return replace(case, image=means(case.image), masks=(means(case.masks > 0) >= 0.5).astype(np.int32), weight=weight)
