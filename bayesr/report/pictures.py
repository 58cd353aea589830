"""Members of the page of a product, as lossy pictures that fit a budget of bytes."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import PIL.Image
from numpy.typing import NDArray

Array = NDArray[Any]

_QUALITIES = (92, 85, 75, 60)  # of WebP
_STILL = 512
"""Largest side of the picture that is shown where scripts are off, in pixels."""


def encode_members(
    draw: Callable[[int], Array], numbers: Iterable[int], low: float, high: float, budget: int
) -> dict[str, Any]:
    """Encode members as lossy pictures, with the quality and number that the budget in bytes allows.

    `draw` returns the member `band x y x x` of one of the `numbers`. Codes 0 and 255 are the values `low` and `high`.
    """
    wanted, images, errors = list(numbers), list[str](), list[float]()
    first = to_codes(draw(wanted[0]), low, high)
    sizes = {quality: len(encode_picture(first, quality)) for quality in _QUALITIES}
    fitting = (q for q in _QUALITIES if sizes[q] * len(wanted) <= budget)
    enough = (q for q in _QUALITIES if sizes[q] * 8 <= budget)  # else fewer members, but at least eight
    quality = next(fitting, None) or next(enough, _QUALITIES[-1])
    spent = 0
    for i in wanted:
        codes = first if i == wanted[0] else to_codes(draw(i), low, high)
        picture = encode_picture(codes, quality)
        if images and spent + len(picture) > budget:
            break
        spent += len(picture)
        images.append(base64.b64encode(picture).decode("ascii"))
        errors.append(float(np.mean((decode_picture(picture, codes.shape).astype(float) - codes) ** 2)))
    return {
        "numbers": wanted[: len(images)],
        "low": low,
        "high": high,
        "error": float(np.sqrt(np.mean(errors)) * (high - low) / 255),
        "images": images,
    }


def to_codes(values: Array, low: float, high: float) -> NDArray[np.uint8]:
    """Return values as codes, where `low` is 0 and `high` is 255; missing values are 0."""
    scaled = np.nan_to_num((values - low) / (high - low) * 255)
    return np.rint(np.clip(scaled, 0, 255)).astype(np.uint8)


def encode_picture(codes: NDArray[np.uint8], quality: int) -> bytes:
    """Encode three bands as one colour picture, others as grey pictures one after the other along their shorter side.

    Along the shorter side, because WebP holds no more than 16383 pixels along either.
    """
    bands, height, width = codes.shape
    if bands == 3:
        pixels = np.moveaxis(codes, 0, -1)
    else:
        pixels = codes.reshape(-1, width) if height <= width else np.concatenate(codes, 1)
    out = io.BytesIO()
    PIL.Image.fromarray(np.ascontiguousarray(pixels)).save(out, "WEBP", quality=quality, method=4)
    return out.getvalue()


def still(mean: Array, low: float, high: float) -> str:
    """Return the mean `band x y x x` as a small picture, a data URI: its colours, or its first band in grey.

    It is what readers see whose browser runs no scripts.
    """
    step = -(-max(mean.shape[-2:]) // _STILL)
    shown = mean[:, ::step, ::step] if len(mean) == 3 else mean[:1, ::step, ::step]
    return "data:image/webp;base64," + base64.b64encode(encode_picture(to_codes(shown, low, high), 80)).decode("ascii")


def decode_picture(picture: bytes, shape: tuple[int, ...]) -> Array:
    """Decode the result of `encode_picture` to codes `band x y x x` of this shape."""
    pixels = np.asarray(PIL.Image.open(io.BytesIO(picture)).convert("RGB"))
    bands, height, width = shape
    if bands == 3:
        return np.moveaxis(pixels, -1, 0)
    grey = pixels[..., 0]
    return grey.reshape(shape) if height <= width else grey.reshape(height, bands, width).swapaxes(0, 1)
