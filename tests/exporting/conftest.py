"""An image with a place, and its product."""

import numpy as np
import pytest
import xarray as xr


@pytest.fixture(scope="session")
def place():
    """Return an image of 20 x 24 pixels of 10 m, in a projected system."""
    pytest.importorskip("rioxarray")
    rng = np.random.default_rng(0)
    y = xr.DataArray(
        rng.integers(0, 255, (20, 24, 3)).astype(np.float32), dims=("y", "x", "band"),
        coords={"y": 5000.0 - 10 * np.arange(20), "x": 300.0 + 10 * np.arange(24)},
    )  # fmt: skip
    return y.rio.write_crs("EPSG:32633")


@pytest.fixture(scope="session")
def map_product(model, place):
    return model.sample(place, 4, dims=("y", "x", "band"), value_range=(0, 255))
