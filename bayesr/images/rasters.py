"""Reader of georeferenced rasters through GDAL: GeoTIFF, JPEG 2000, and pictures with a world file or ``.aux.xml``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import xarray as xr

from bayesr.errors import NotAnImage, NotUsed, warn
from bayesr.images import lazy, limits, photometry
from bayesr.images.readers import Reader, by_suffix

_GDAL_CACHE = 2**24
"""Bytes of GDAL's cache. GDAL decodes every tile and strip of a window once even without a cache."""

_GDAL = Lock()
"""Held while GDAL's configuration, global to the process, differs from the user's."""

_STATEMENTS = ("<SRS", "<GeoTransform", "<GCPList", "<NoDataValue", "<Scale>", "<Offset>", "<UnitType")
"""What an ``.aux.xml`` file may state beside statistics, which every program that shows an image writes."""

_LARGEST_AUX_XML = 2**26
"""Most bytes of an ``.aux.xml`` file."""

_JPEG_2000 = (b"\x00\x00\x00\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51")
"""The first bytes of a JPEG 2000 file, and of a stream without a container."""


@contextmanager
def _small_cache() -> Iterator[None]:
    """Limit GDAL's cache, whose default takes 5% of the machine's memory, and have its messages logged, not printed.

    GDAL's own threads, which decode JPEG 2000, print messages in any case.
    """
    from rasterio.env import Env, get_gdal_config, set_gdal_config  # optional

    with _GDAL, Env(GDAL_NUM_THREADS=1):
        usual = get_gdal_config("GDAL_CACHEMAX")
        set_gdal_config("GDAL_CACHEMAX", _GDAL_CACHE)
        try:
            yield
        finally:
            set_gdal_config("GDAL_CACHEMAX", usual)


class _Raster:
    """A lazy variable of rioxarray, read with a small cache."""

    def __init__(self, variable: xr.Variable) -> None:
        self.variable, self.shape, self.dtype = variable, variable.shape, variable.dtype

    def __getitem__(self, key: Any, /) -> Any:
        with _small_cache():
            return self.variable[key].to_numpy()


class _Mask:
    """The mask of a dataset, ``(y, x)``: 0 where pixels are missing."""

    def __init__(self, path: Path, shape: tuple[int, int]) -> None:
        self.path, self.shape, self.dtype = path, shape, np.dtype(np.uint8)

    def __getitem__(self, key: Any, /) -> Any:
        import rasterio  # optional

        (top, bottom, _), (left, right, _) = (k.indices(n) for k, n in zip(key, self.shape, strict=True))
        with _small_cache(), rasterio.open(self.path) as file:
            return file.read_masks(1, window=((top, bottom), (left, right)))


def sidecars(path: Path) -> list[Path]:
    """Return the files beside an image that place it on Earth, or say which of its pixels are missing."""
    ending = path.suffix[1:]
    endings = {f".{ending[:1]}{ending[-1:]}w", f".{ending}w", ".wld"} if ending else {".wld"}
    folder = path.parent
    files = [
        entry for entry in folder.glob(f"{_escaped(path.stem)}.*")
        if entry.suffix.lower() in {ending.lower() for ending in endings} | {".rpb"}
    ]  # fmt: skip
    files += [
        folder / name
        for name in (f"{path.name}.msk", f"{path.stem}_RPC.TXT", f"{path.stem}_rpc.txt")
        if (folder / name).is_file()
    ]
    notes = folder / f"{path.name}.aux.xml"
    if notes.is_file() and notes.stat().st_size > _LARGEST_AUX_XML:
        raise NotAnImage(f"{notes} is too long for notes on an image: move it away.")
    if notes.is_file() and any(tag in notes.read_text(encoding="utf-8", errors="replace") for tag in _STATEMENTS):
        files.append(notes)
    return sorted(files)


def _escaped(name: str) -> str:
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)


def from_raster(path: Path) -> xr.DataArray:
    """Open a raster with coordinates, reference system, scale, units and missing pixels, as GDAL reads them.

    Raises
    ------
    NotAnImage
        When rioxarray is not installed, the file holds several images, or it is placed by RPCs alone.
    """
    try:
        import rasterio  # optional
        import rioxarray  # optional
    except ImportError as error:
        raise NotAnImage(
            f"{path} is a GeoTIFF, or another raster with a place on Earth or a mask; reading it needs rioxarray: "
            "pip install 'bayesr[geo]'."
        ) from error
    _check_neighbours(path)
    with rasterio.Env():  # otherwise GDAL prints messages of this thread
        with rasterio.open(path) as file:
            _check(path, file)
            metadata = _metadata(file)
        array = rioxarray.open_rasterio(path, cache=False)
    if not isinstance(array, xr.DataArray):
        raise NotAnImage(f"{path} contains several images: open it with rioxarray and give the one you mean.")
    array = lazy.with_reader(array, _Raster(array.variable))
    array = array.drop_vars([name for name, coord in array.coords.items() if set(coord.dims) == {"y", "x"}])
    array.attrs = {key: value for key, value in array.attrs.items() if key not in ("_FillValue", "long_name")}
    for name in ("scale_factor", "add_offset", "units", "nodatavals"):
        array.attrs[name] = [value for band, value in enumerate(metadata[name]) if band != metadata["alpha"]]
    if metadata["bare"]:  # rioxarray numbers the pixels then
        array = array.drop_vars(["y", "x", "spatial_ref"], errors="ignore")
        array.attrs.pop("grid_mapping", None)
        array.encoding.pop("grid_mapping", None)
    if metadata["bare"] and any(found.suffix.lower().endswith("w") for found in sidecars(path)):
        warn(f"{path} has a world file that GDAL does not read, so the product is not georeferenced.", NotUsed)
    return _with_photometry(path, array, metadata)


def _check_neighbours(path: Path) -> None:
    """Check that GDAL, which looks for files beside an image, finds none that would block it."""
    for entry in path.parent.glob(f"{_escaped(path.stem)}*"):
        if not entry.is_dir() and entry.exists():
            limits.existing(entry)


def from_jpeg2000(path: Path) -> xr.DataArray:
    """Open a JPEG 2000 file with GDAL.

    Raises
    ------
    NotAnImage
        When it is none: GDAL recognises files by their content, and in other formats they refer to further files and
        addresses.
    """
    with open(path, "rb") as file:
        start = file.read(12)
    if not start.startswith(_JPEG_2000):
        raise NotAnImage(f"{path} is no JPEG 2000 file, although it is named like one: check that the file is whole.")
    return from_raster(path)


def _check(path: Path, file: Any) -> None:
    if file.subdatasets and not file.count:
        raise NotAnImage(
            f"{path} contains several images ({', '.join(file.subdatasets[:4])}): open one with rioxarray and give it."
        )
    placed = file.crs is not None or not file.transform.is_identity or file.gcps[0]
    if file.rpcs is not None and not placed:
        raise NotAnImage(
            f"{path} is placed by rational polynomial coefficients, which a product cannot hold: rectify it first "
            "(gdalwarp -rpc), or give its pixels, rasterio.open(path).read(), to leave the place out."
        )


def _metadata(file: Any) -> dict[str, Any]:
    """Return what rioxarray leaves out, or states for the first band only."""
    from rasterio.enums import ColorInterp, MaskFlags  # optional

    palette = None
    if file.colorinterp[0] is ColorInterp.palette:
        palette = np.array([colour for _, colour in sorted(file.colormap(1).items())])
    alpha = [place for place, kind in enumerate(file.colorinterp) if kind is ColorInterp.alpha]
    flags = file.mask_flag_enums[0]
    return {
        "palette": palette,
        "alpha": alpha[-1] if alpha else None,
        "mask": MaskFlags.per_dataset in flags and MaskFlags.alpha not in flags,
        "white": file.tags(ns="IMAGE_STRUCTURE").get("MINISWHITE") == "YES",
        "scale_factor": file.scales,
        "add_offset": file.offsets,
        "units": file.units,
        "nodatavals": file.nodatavals,
        "bare": file.crs is None and file.transform.is_identity and not file.gcps[0],
    }


def _with_photometry(path: Path, array: xr.DataArray, metadata: dict[str, Any]) -> xr.DataArray:
    """Apply photometry, and pass on the mask."""
    encoding = dict(array.encoding)
    if metadata["white"]:
        largest = 2 ** (8 * array.dtype.itemsize) - 1
        array = photometry.invert_grey(array, path)
        array.attrs["nodatavals"] = [None if value is None else largest - value for value in metadata["nodatavals"]]
    if metadata["palette"] is not None:
        indices, nodata = array.isel(band=0), metadata["nodatavals"][0]
        opaque = metadata["palette"][:, 3] == 255
        if nodata is not None:
            encoding["mask"] = lazy.elementwise(indices, partial(np.not_equal, nodata), np.dtype(bool))
        elif not opaque.all():
            raise NotAnImage(f"{path} has a palette with transparent colours: save it as RGBA.")
        array = photometry.with_palette(indices.drop_vars("band"), metadata["palette"][:, :3])
        array.attrs = {key: value for key, value in array.attrs.items() if key != "nodatavals"}
        encoding["preferred_chunks"] = {**encoding.get("preferred_chunks", {}), "band": array.sizes.get("band", 1)}
    if metadata["mask"]:
        encoding["mask"] = _Mask(path, (array.sizes["y"], array.sizes["x"]))
    elif metadata["alpha"] is not None:
        encoding["alpha_band"] = metadata["alpha"]
    array.encoding = encoding
    return array


RASTER = Reader("JPEG 2000 file", by_suffix(".jp2", ".j2k", ".jpx", ".j2c"), from_jpeg2000)
