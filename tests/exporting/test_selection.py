import numpy as np
import pytest

from bayesr.errors import InvalidArgument
from bayesr.exporting.selection import Selection


@pytest.fixture(scope="module")
def ds(model, photo):
    return model.sample(photo[:8, :9], 4)


def test_values_of_the_image_are_those_of_the_picture(ds):
    pixels = Selection.of(ds, ["mean"], None, ()).picture()
    assert pixels.dtype == np.uint8 and pixels.shape == (32, 36, 3)
    np.testing.assert_array_equal(pixels, np.rint(ds["mean"].transpose("y", "x", "band")))


def test_spreads_are_scaled_from_zero(ds):
    pixels = Selection.of(ds, ["std"], None, ()).picture()
    std = ds["std"].transpose("y", "x", "band").to_numpy()
    assert pixels.max() == 255 and (pixels[std == 0] == 0).all()
    assert np.corrcoef(pixels.ravel(), std.ravel())[0, 1] > 0.99


def test_missing_pixels_are_transparent(model, photo):
    y = photo[:12, :12].astype(float)
    y[3:5, 2:6] = np.nan
    found = Selection.of(model.sample(y, 2, value_range=(0, 255), nodata=np.nan), None, None, ("mean",)).picture()
    assert found.shape[-1] == 4 and (found[12:20, 8:24, 3] == 0).all() and (found[..., 3] == 0).sum() == 8 * 16


def test_bands_that_no_picture_has(grey_model, photo):
    ds = grey_model.sample(photo[:8, :8, :2], 2)
    with pytest.raises(InvalidArgument, match="one band or three, and the product 2"):
        Selection.of(ds, None, None, ("mean",)).picture()
    assert Selection.of(ds.isel(band=[1]), None, None, ("mean",)).picture().shape == (32, 32, 1)


def test_bands_have_names(ds):
    names = [name for name, _ in Selection.of(ds, ["mean", "samples"], None, ()).bands()]
    assert names[:4] == ["mean 0", "mean 1", "mean 2", "member 0 0"] and len(names) == 3 + 12
