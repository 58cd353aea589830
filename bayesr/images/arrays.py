"""Readers of arrays in memory and of dask arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from bayesr.images.readers import Reader, by_type


def from_tensor(tensor: Any) -> xr.DataArray:
    """Make a DataArray of a torch tensor."""
    return xr.DataArray(tensor.detach().cpu().numpy())


DATA_ARRAY = Reader("DataArray", lambda img: isinstance(img, xr.DataArray), lambda img: img)
NDARRAY = Reader("ndarray", lambda img: isinstance(img, np.ndarray), xr.DataArray)
TENSOR = Reader("Tensor", by_type("torch"), from_tensor)  # by name, so that reading never imports torch
DASK_ARRAY = Reader("dask array", by_type("dask.array."), xr.DataArray)
