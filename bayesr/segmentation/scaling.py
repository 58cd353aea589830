"""Scaling of an image for a segmentation network."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

SCALINGS = ("range", "percentiles", "roots")
_PERCENTILES = (1.0, 99.8)


def scaled(
    image: NDArray[Any],
    value_range: tuple[float, float],
    scaling: str,
    inputs: tuple[str, ...] = ("member",),
) -> NDArray[np.float32]:
    """Scale an image `band x y x x` to about [0, 1], without clipping.

    With ``"range"``, the bands of the input ``"std"`` are divided by the width of the range, so that 0 stays 0. With
    ``"percentiles"`` and ``"roots"``, constant bands become 0, because they have no contrast to stretch. Roots keep the
    sign.
    """
    dtype = np.result_type(image.dtype, np.float32)  # an offset may need double precision, and is subtracted first
    if scaling == "range":
        low, high = value_range
        lowest = np.repeat([0.0 if name == "std" else low for name in inputs], len(image) // len(inputs))
        in_range: NDArray[np.float32] = (image - lowest.astype(dtype)[:, None, None]).astype(np.float32)
        return in_range / np.float32(high - low)
    ends = np.percentile(image, _PERCENTILES, axis=(1, 2)).astype(dtype)[..., None, None]
    contrast = ends[1] - ends[0]
    x: NDArray[np.float32] = (image - ends[0]).astype(np.float32)
    x *= np.where(contrast > 0, 1 / np.where(contrast > 0, contrast, 1), 0).astype(np.float32)
    if scaling == "roots":
        np.copysign(np.sqrt(np.abs(x)), x, out=x)
    return x
