import numpy as np
import pytest
import xarray as xr

import bayesr
from bayesr.errors import InvalidArgument, InvalidPixels, TooLarge


def test_nothing_is_lost_or_left_behind_for_an_image_that_is_none(model, photo, tmp_path):
    path, holes = tmp_path / "a.zarr", np.full((20, 20, 3), np.nan, np.float32)
    holes[5:, 5:] = 0.5
    with pytest.raises(InvalidPixels):
        model.sample(holes, 2, store=path)
    assert not path.exists()
    model.sample(photo, 2, store=path)
    with pytest.raises(InvalidPixels):
        model.sample(holes, 2, store=path, overwrite=True)
    assert bayesr.check(path).sound


def test_an_image_is_not_overwritten_by_its_product(model, photo, tmp_path):
    path = tmp_path / "a.zarr"
    image = xr.DataArray(photo, dims=("y", "x", "band"), name="image")
    image.to_dataset().to_zarr(path, zarr_format=3, consolidated=False)
    with pytest.raises(InvalidArgument, match="the image itself"):
        model.sample(path, 2, store=path, overwrite=True)
    np.testing.assert_array_equal(xr.open_zarr(path, consolidated=False)["image"], image)


def test_a_result_too_large_for_memory_is_refused(model, monkeypatch):
    import psutil

    monkeypatch.setattr(psutil, "virtual_memory", lambda: type("Memory", (), {"available": 1000}))
    with pytest.raises(TooLarge, match="store="):
        model.sample(np.zeros((8, 8, 3), np.uint8), 2)
