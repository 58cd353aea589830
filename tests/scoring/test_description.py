import json

import numpy as np
import xarray as xr

from bayesr.scoring.description import VARIABLES
from tests.scoring.helpers import same


def test_writable_and_documented(scores, tmp_path):
    for name, figure in scores.data_vars.items():
        assert figure.attrs["long_name"] and figure.attrs["estimator"] and figure.attrs["n"] == 8, name
        assert figure.dtype == (np.float32 if figure.dims == ("band", "y", "x") else figure.dtype)
    scores.to_netcdf(tmp_path / "s.nc")
    with xr.open_dataset(tmp_path / "s.nc") as again:
        same(scores, again)
    scores.to_zarr(tmp_path / "s.zarr", consolidated=False)
    same(scores, xr.open_zarr(tmp_path / "s.zarr", consolidated=False))
    json.dumps(scores.attrs)
    assert set(VARIABLES) == set(scores.data_vars)
