"""The meaning of stored numbers: scale and offset, units, alpha bands, masks, and markers of missing pixels.

Readers pass on what a file states, in the attributes ``scale_factor``, ``add_offset``, ``units`` and those of
`bayesr.images.nodata.NAMES`, and in the encoding: ``alpha_band`` is the number of a band that is an alpha channel, and
``mask`` is an array ``(y, x)`` that is 0 where pixels are missing. `decoded` applies all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayesr.errors import InvalidPixels, NotAnImage
from bayesr.images import lazy, stacks
from bayesr.images.nodata import NAMES, Markers, declared, equals

PIXEL_TYPE = "pixel_type"
"""Key of the encoding: the type of pixels in the source, where `decoded` had to choose another one."""

_WIDER = {"u1": "i2", "i1": "i2", "u2": "i4", "i2": "i4", "u4": "i8", "i4": "i8"}
"""Types that hold all values of an integer type, and one more for missing pixels."""


def decoded(array: xr.DataArray) -> xr.DataArray:
    """Return an image ``(band, y, x)`` with its values in ``units``, and one marker of missing pixels.

    The marker is the attribute ``_FillValue``. Lazy arrays stay lazy. An array that is decoded already is returned
    unchanged.

    - Alpha bands and masks become missing pixels: NaN in floats; a value outside the integer type, in a wider type.
    - ``scale_factor`` and ``add_offset`` are applied as xarray applies those of NetCDF files: values are float32, or
      float64 if the numbers have more than 16 bits or an offset.
    - Bands with different units keep them as the coordinate ``band_units``.

    Raises
    ------
    NotAnImage
        When a mask belongs to 64-bit integers, which no type can hold together with a marker.
    """
    bands = array.sizes["band"] - ("alpha_band" in array.encoding)
    array = _with_units(array, bands)
    markers = declared(array, bands)
    encoding = dict(array.encoding)
    alpha, mask = encoding.pop("alpha_band", None), encoding.pop("mask", None)
    result = array.copy(deep=False)
    result.encoding = encoding
    if alpha is not None or mask is not None or len(markers) > 1 or any(len(of_band) > 1 for of_band in markers):
        result = _with_mask(result, alpha, mask, () if mask is not None else markers)
        markers = ((result.attrs["_FillValue"],),)
    factor, offset = _number_per_band(result, "scale_factor", 1.0), _number_per_band(result, "add_offset", 0.0)
    attrs = {key: value for key, value in result.attrs.items() if key not in ("scale_factor", "add_offset", *NAMES)}
    if markers and markers[0]:
        attrs["_FillValue"] = markers[0][0]
    result.attrs = attrs
    if (factor == 1).all() and (offset == 0).all():
        return result
    return _with_scale(result, factor, offset)


def with_further_nodata(array: xr.DataArray, nodata: float) -> xr.DataArray:
    """Return an image from `decoded` in which pixels that are stored as `nodata` are missing, too.

    Only images that `decoded` has changed need this; the others have no other marker.
    """
    marker = array.attrs.get("_FillValue", np.nan)
    if "scale_factor" in array.encoding:
        factor, offset = array.encoding["scale_factor"], array.encoding["add_offset"]
        nodata = float(_scale_and_offset(np.asarray([[[nodata]]]), factor[:1], offset[:1], array.dtype).item())
    result = lazy.computed(array, partial(_mark_nodata, nodata, marker), array.sizes["band"], array.dtype)
    return result.assign_attrs(_FillValue=marker)


def with_nodata(array: xr.DataArray, nodata: float | None) -> tuple[xr.DataArray, float | None]:
    """Return an image or a stack in which pixels stored as `nodata` are missing; and the value of missing ones, if any.

    Without `nodata`, this is the value that the source declares.
    """
    if nodata is not None and is_decoded(array):
        array, nodata = stacks.apply_to_slices(array, partial(with_further_nodata, nodata=float(nodata))), None
    nodata = array.attrs.get("_FillValue") if nodata is None else nodata
    return array, None if nodata is None else float(nodata)


def is_decoded(array: xr.DataArray) -> bool:
    """Whether `decoded` has changed the type of pixels or their values."""
    return PIXEL_TYPE in array.encoding


def pixel_type(array: xr.DataArray) -> np.dtype[Any]:
    """Return the type of pixels in the source of an image from `decoded`; a float type if they were scaled."""
    kind: np.dtype[Any] = np.dtype(array.encoding.get(PIXEL_TYPE, array.dtype))
    return kind


def quantisation_step(array: xr.DataArray) -> float:
    """Return the difference of neighbouring values of an image from `decoded`; 0 for floats, and if bands differ."""
    if pixel_type(array).kind in "ui":
        return 1.0
    if np.dtype(array.encoding.get("dtype", float)).kind not in "ui":
        return 0.0
    steps = np.unique(np.abs(np.asarray(array.encoding.get("scale_factor", 1.0), float)))
    return float(steps[0]) if steps.size == 1 else 0.0


def _with_units(array: xr.DataArray, bands: int) -> xr.DataArray:
    given = array.attrs.get("units")
    units = [given] if given is None or isinstance(given, str | bytes) else np.ravel(np.asarray(given, object)).tolist()
    units = [u.decode(errors="replace") if isinstance(u, bytes) else None if u is None else str(u) for u in units]
    same = len(set(units)) == 1
    attrs = {key: value for key, value in array.attrs.items() if key != "units"}
    if same and units[0] is not None and units[0].strip():
        attrs["units"] = units[0].strip()
    result = array.copy(deep=False)
    result.attrs = attrs
    if not same and len(units) == bands == array.sizes["band"]:
        result = result.assign_coords(band_units=("band", np.array([u or "" for u in units])))
    return result


def _number_per_band(array: xr.DataArray, name: str, default: float) -> NDArray[np.float64]:
    """Return an attribute's number for every band, `band x 1 x 1`."""
    given = np.ravel(np.asarray(array.attrs.get(name, default)))
    try:
        numbers = np.broadcast_to(given.astype(np.float64), (array.sizes["band"],))
    except (TypeError, ValueError) as error:
        raise NotAnImage(
            f"The attribute {name!r} must be a number, or one for every band, not {array.attrs[name]!r}: correct it, "
            "or remove it to use the stored numbers."
        ) from error
    if not np.isfinite(numbers).all():
        raise NotAnImage(f"The attribute {name!r} is {array.attrs[name]!r}: correct it, or remove it.")
    return numbers[:, None, None]


def _with_marker(kind: np.dtype[Any]) -> tuple[np.dtype[Any], float]:
    """Return a type that holds all values of a type and a marker of missing pixels, and the marker.

    Raises
    ------
    NotAnImage
        For 64-bit integers.
    """
    if kind.kind == "f":
        return kind.newbyteorder("="), np.nan
    if kind.str[1:] not in _WIDER:
        raise NotAnImage(
            f"Pixels of type {kind} with a mask are not supported, since no type holds them and a marker of missing "
            "pixels: convert them to float64, with NaN for missing pixels."
        )
    wide = np.dtype(_WIDER[kind.str[1:]])
    return wide, -1.0 if kind.kind == "u" else float(np.iinfo(wide).min)


def from_masked(masked: np.ma.MaskedArray[Any, Any]) -> xr.DataArray:
    """Return a masked array of NumPy, whose axes have no names, with a marker of missing pixels."""
    kind, absent = masked.dtype.newbyteorder("="), np.ma.getmaskarray(masked)
    if kind.kind not in "uif" or not absent.any():
        return xr.DataArray(np.ma.getdata(masked))
    wide, marker = _with_marker(kind)
    pixels = np.ma.getdata(masked).astype(wide)
    pixels[absent] = marker
    array = xr.DataArray(pixels, attrs={"_FillValue": marker})
    if kind.kind != "f":
        array.encoding[PIXEL_TYPE] = str(kind)
    return array


def _with_mask(array: xr.DataArray, alpha: int | None, mask: lazy.Readable | None, markers: Markers) -> xr.DataArray:
    kind = array.dtype.newbyteorder("=")
    wide, marker = _with_marker(kind)
    bands = [band for band in range(array.sizes["band"]) if band != alpha]
    if not bands:
        raise NotAnImage("The only band of the image is an alpha channel: there is nothing to sample.")
    function = partial(_mask_window, tuple(bands), alpha, mask, markers, marker, wide)
    result = lazy.computed(array, function, len(bands), wide)
    coords = {name: coord.isel(band=bands) for name, coord in array.coords.items() if coord.dims == ("band",)}
    result = result.assign_coords(coords).assign_attrs(_FillValue=marker)
    if kind.kind != "f":
        result.encoding[PIXEL_TYPE] = str(kind)
    return result


def _mask_window(
    bands: Sequence[int],
    alpha: int | None,
    mask: lazy.Readable | None,
    markers: Markers,
    marker: float,
    wide: np.dtype[Any],
    pixels: NDArray[Any],
    rows: slice,
    columns: slice,
) -> NDArray[Any]:
    values = pixels[list(bands)].astype(wide)
    absent = np.zeros(values.shape, bool)
    if markers:
        for place, band in enumerate(bands):
            for value in markers[place if len(markers) > 1 else 0]:
                absent[place] |= equals(pixels[band], value)
    if alpha is not None:
        absent |= _transparent(pixels[alpha])
    if mask is not None:
        absent |= np.asarray(mask[rows, columns]) == 0
    if wide.kind == "f" and not markers and np.isnan(values[~absent]).any():
        raise InvalidPixels(
            "Pixels that the mask declares valid are NaN: give nodata=float('nan') if they are missing, too, or "
            "repair the image."
        )
    values[absent] = marker
    return values


def _transparent(alpha: NDArray[Any]) -> NDArray[np.bool_]:
    """Return where an alpha channel is 0.

    Raises
    ------
    InvalidPixels
        Where it is neither 0 nor opaque, so that pixels are mixtures with an unknown background.
    """
    opaque = (1, 255) if alpha.dtype.kind == "f" else (np.iinfo(alpha.dtype).max,)
    absent: NDArray[np.bool_] = alpha == 0
    if not (absent | np.isin(alpha, opaque)).all():
        raise InvalidPixels(
            "The image has partly transparent pixels, which are mixtures with an unknown background: flatten it, or "
            "make every pixel opaque or transparent. If its last channel is data, and no alpha channel as the file "
            "says, give the pixels as an array."
        )
    return absent


def _with_scale(array: xr.DataArray, factor: NDArray[np.float64], offset: NDArray[np.float64]) -> xr.DataArray:
    kind, marker = array.dtype, array.attrs.get("_FillValue")
    source = pixel_type(array)
    exact = source.itemsize <= 2 or (source.kind == "f" and source.itemsize <= 4)
    dtype = np.dtype(np.float32 if exact and (offset == 0).all() else np.float64)
    result = lazy.computed(array, partial(_scale_window, factor, offset, marker, dtype), array.sizes["band"], dtype)
    if marker is not None:
        result = result.assign_attrs(_FillValue=np.nan)
    recorded = {"dtype": str(source if source.kind in "ui" else kind), "scale_factor": factor, "add_offset": offset}
    result.encoding |= recorded | {PIXEL_TYPE: str(dtype)}
    return result


def _scale_window(
    factor: NDArray[np.float64],
    offset: NDArray[np.float64],
    marker: float | None,
    dtype: np.dtype[Any],
    pixels: NDArray[Any],
    rows: slice,
    columns: slice,
) -> NDArray[Any]:
    values = _scale_and_offset(pixels, factor, offset, dtype)
    if marker is not None:
        values[equals(pixels, marker)] = np.nan
    return values


def _scale_and_offset(
    pixels: NDArray[Any], factor: NDArray[np.float64], offset: NDArray[np.float64], dtype: np.dtype[Any]
) -> NDArray[Any]:
    values: NDArray[Any] = pixels.astype(dtype) * factor.astype(dtype) + offset.astype(dtype)
    return values


def _mark_nodata(nodata: float, marker: float, pixels: NDArray[Any], rows: slice, columns: slice) -> NDArray[Any]:
    values = pixels.copy()
    values[equals(pixels, nodata)] = marker
    return values
