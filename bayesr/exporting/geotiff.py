"""Cloud-optimised GeoTIFF by GDAL, with band names, reference system, nodata and overviews."""

from __future__ import annotations

import json
import math
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from bayesr.errors import InvalidArgument, StoreFailed
from bayesr.exporting.selection import Selection
from bayesr.files import failures_of
from bayesr.product.georeference import REFERENCE, transform_of

_ROWS = 1024


def write(chosen: Selection, path: Path) -> None:
    """Write a selection as a GeoTIFF, whole or not at all: a plain file first, of which GDAL makes the final one.

    Raises
    ------
    InvalidArgument
        When rasterio is not installed.
    StoreFailed
        When the file cannot be written.
    """
    try:
        import rasterio  # optional package
        from rasterio.errors import NotGeoreferencedWarning, RasterioError  # optional package
        from rasterio.shutil import copy  # optional package
    except ImportError as error:
        raise InvalidArgument("A GeoTIFF needs rasterio: pip install 'bayesr[geo]'.") from error
    bands = chosen.bands()
    height, width = bands[0][1].shape
    profile: dict[str, Any] = {
        "driver": "GTiff", "height": height, "width": width, "count": len(bands), "dtype": bands[0][1].dtype.name,
        "nodata": math.nan, "tiled": True, "BIGTIFF": "IF_SAFER",
    }  # fmt: skip
    profile |= _place(chosen.ds[REFERENCE]) if REFERENCE in chosen.ds.coords else {}
    with failures_of(path), warnings.catch_warnings(), tempfile.TemporaryDirectory(dir=path.parent) as folder:
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        plain, final = Path(folder) / "plain.tif", Path(folder) / "final.tif"
        try:
            with rasterio.open(plain, "w", **profile) as file:
                for number, (title, values) in enumerate(bands, 1):
                    file.set_band_description(number, title)
                    for top in range(0, height, _ROWS):
                        rows = slice(top, min(top + _ROWS, height))
                        window = ((rows.start, rows.stop), (0, width))
                        file.write(np.asarray(values[rows]), number, window=window)
                file.update_tags(**{name: str(value) for name, value in chosen.ds.attrs.items()})
            copy(plain, final, driver="COG", COMPRESS="DEFLATE", PREDICTOR="YES", OVERVIEWS="AUTO")
        except RasterioError as error:
            raise StoreFailed(f"{path} cannot be written ({error}).") from error
        final.replace(path)


def _place(reference: xr.DataArray) -> dict[str, Any]:
    """Return reference system, and transform or ground control points, as far as the grid mapping has them."""
    from rasterio.control import GroundControlPoint  # optional package
    from rasterio.crs import CRS  # optional package
    from rasterio.transform import Affine  # optional package

    attrs = reference.attrs
    found: dict[str, Any] = {}
    if wkt := attrs.get("crs_wkt") or attrs.get("spatial_ref"):
        found["crs"] = CRS.from_wkt(wkt)
    given = transform_of(attrs)
    if given is not None:
        x, x_column, x_row, y, y_column, y_row = given
        found["transform"] = Affine(x_column, x_row, x, y_column, y_row, y)
    elif "gcps" in attrs:
        points = json.loads(attrs["gcps"])["features"]
        found["gcps"] = [
            GroundControlPoint(
                point["properties"]["row"], point["properties"]["col"], *point["geometry"]["coordinates"]
            )
            for point in points
        ]
    return found
