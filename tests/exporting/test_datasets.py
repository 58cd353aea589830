import numpy as np
import pytest
import xarray as xr

import bayesr


@pytest.fixture(scope="module")
def ds(model, photo):
    return model.sample(photo, 4)


@pytest.mark.parametrize("suffix", [".nc", ".zarr"])
def test_datasets_hold_the_whole_product(ds, tmp_path, suffix):
    path = bayesr.export(ds, tmp_path / f"a{suffix}")
    with xr.open_dataset(path, engine="netcdf4" if suffix == ".nc" else "zarr") as found:
        xr.testing.assert_equal(found.load(), ds)
        assert found.attrs["model_sha256"] == ds.attrs["model_sha256"]
        assert "_FillValue" not in found["x"].encoding or np.isnan(found["x"].encoding["_FillValue"])


def test_parts_of_a_product(ds, tmp_path):
    path = bayesr.export(ds, tmp_path / "a.nc", variables=("mean", "std"))
    with xr.open_dataset(path) as found:
        assert set(found.data_vars) == {"mean", "std"}


def test_large_seeds_are_written(model, photo, tmp_path):
    ds = model.sample(photo[:8, :8], 2, seed=2**64 - 1)
    with xr.open_dataset(bayesr.export(ds, tmp_path / "a.nc")) as found:
        assert found.attrs["seed"] == str(2**64 - 1)
