"""Photometry and orientation: inverted grey, palettes, alpha channels, and the order of stored rows and columns."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayesr.errors import NotAnImage
from bayesr.images import lazy

_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _YCBCR = 0, 1, 2, 3, 6
_LINEAR = (34892, 51177, 52527)
"""Raw sensor values, depth maps and semantic maps: plain numbers."""
_COLOURS = {5: "CMYK", 6: "YCbCr", 8: "Lab", 9: "Lab", 10: "Lab", 32803: "a colour filter array", 4: "a mask"}
_JPEG = (6, 7, 34892, 33003, 33004, 33005, 34712)
"""Compressions whose decoders return RGB for YCbCr."""
_ALPHA, _ORIENTATION = (1, 2), 274


def with_photometry(path: Any, page: Any, array: xr.DataArray) -> xr.DataArray:
    """Return the image of a TIFF page, ``(y, x)`` or with ``band``, as it is to be seen.

    Parameters
    ----------
    path : path
        For messages.
    page : tifffile.TiffPage
    array : DataArray

    Raises
    ------
    NotAnImage
        When the page has colours other than grey, RGB and a palette.
    """
    kind = int(page.photometric)
    if kind == _PALETTE:
        if array.ndim != 2:
            raise NotAnImage(f"{path} has a palette and {array.ndim} axes: save each plane as RGB.")
        array = with_palette(array, np.asarray(page.colormap).T)
    elif kind == _WHITE_IS_ZERO:
        array = invert_grey(array, path, bits=int(np.max(page.bitspersample)))
    elif kind not in (_BLACK_IS_ZERO, _RGB, *_LINEAR) and not (kind == _YCBCR and int(page.compression) in _JPEG):
        raise NotAnImage(f"{path} stores {_COLOURS.get(kind, f'photometric interpretation {kind}')}: save it as RGB.")
    extra = [int(sample) for sample in page.extrasamples]
    if any(sample in _ALPHA for sample in extra) and array.sizes.get("band") == page.samplesperpixel:
        first = next(place for place, sample in enumerate(extra) if sample in _ALPHA)
        array.encoding["alpha_band"] = page.samplesperpixel - len(extra) + first
    return upright(array, int(page.tags.valueof(_ORIENTATION, 1)))


def invert_grey(array: xr.DataArray, name: Any, bits: int | None = None) -> xr.DataArray:
    """Return grey values for which 0 is white, as values for which 0 is black: the largest value minus them.

    Raises
    ------
    NotAnImage
        When the values have no largest one.
    """
    if array.dtype.kind != "u":
        raise NotAnImage(f"{name} has values of type {array.dtype} with white at 0: save it with black at 0.")
    largest = 2 ** (8 * array.dtype.itemsize if bits is None else bits) - 1
    return lazy.elementwise(array, partial(np.subtract, array.dtype.type(largest)), array.dtype)


def with_palette(array: xr.DataArray, table: NDArray[Any]) -> xr.DataArray:
    """Return the colours of an image of indices ``(y, x)``: ``(y, x, band)``, or ``(y, x)`` if all are grey.

    Parameters
    ----------
    array : DataArray
    table : ndarray
        Colours, ``index x channel``, of 8 bits, or of 16 bits as in TIFF. These become 8 bits where nothing is lost:
        where the low byte repeats the high one, or is always 0, as older programs write it.
    """
    table = np.asarray(table)
    if table.max(initial=0) > 255 and ((table % 257 == 0).all() or (table % 256 == 0).all()):
        table = table >> 8
    table = table.astype(np.uint8 if table.max(initial=0) <= 255 else np.uint16)
    if (table == table[:, :1]).all():
        return lazy.elementwise(array, partial(np.take, table[:, 0]), table.dtype)
    result = lazy.windowed(_Colours(array.variable, table), (*map(str, array.dims), "band"))
    chunks = array.encoding.get("preferred_chunks")
    result.encoding = {**array.encoding, **({"preferred_chunks": {**chunks, "band": len(table.T)}} if chunks else {})}
    return result.assign_coords(array.coords).assign_attrs(array.attrs)


class _Colours:
    def __init__(self, indices: xr.Variable, table: NDArray[Any]) -> None:
        self.indices, self.table = indices, table
        self.shape, self.dtype = (*indices.shape, table.shape[1]), table.dtype

    def __getitem__(self, key: Any, /) -> Any:
        return self.table[self.indices[key[:-1]].to_numpy()][..., key[-1]]


def upright(array: xr.DataArray, orientation: int) -> xr.DataArray:
    """Return an image ``(y, x)``, with ``band`` or not, and its mask, upright.

    `orientation` is that of TIFF and EXIF, 1 to 8.
    """
    mask = array.encoding.get("mask")
    if orientation in (5, 6, 7, 8):
        chunks = array.encoding.get("preferred_chunks")
        array = array.rename({"y": "x", "x": "y"})
        if chunks:
            array.encoding["preferred_chunks"] = {{"y": "x", "x": "y"}.get(dim, dim): n for dim, n in chunks.items()}
    back = slice(None, None, -1)
    flips = {2: "x", 3: "yx", 4: "y", 6: "x", 7: "yx", 8: "y"}.get(orientation, "")
    array = array.isel(dict.fromkeys(flips, back))
    if mask is not None:
        upright_mask = upright(xr.DataArray(mask, dims=("y", "x")), orientation)
        array.encoding = {**array.encoding, "mask": upright_mask.transpose("y", "x").to_numpy()}
    return array
