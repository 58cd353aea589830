import numpy as np
import pytest
import xarray as xr

from bayesr import images
from bayesr.errors import AmbiguousDimensions
from bayesr.images import axes, lazy


@pytest.mark.parametrize(
    ("shape", "dims"), [((3, 4, 3), "byx"), ((3, 3), None), ((8, 9, 7), "byx"), ((9, 8, 6), "yxb"), ((2, 5), "xy")]
)
def test_dims_say_what_the_shape_does_not(shape, dims):
    image = images.read(np.zeros(shape, np.uint8), dims=dims)
    if dims:
        sizes = dict(zip(dims.replace("b", "B"), shape, strict=True))
        assert image.data.shape == (sizes.get("B", 1), sizes["y"], sizes["x"])


@pytest.mark.parametrize("shape", [(3, 9, 3), (8, 9, 7), (2, 3, 8, 8), (5,), (3, 3, 3)])
def test_ambiguous_shapes_are_refused(shape):
    with pytest.raises(AmbiguousDimensions):
        images.read(np.zeros(shape, np.uint8))


def test_bad_dims_are_refused():
    for dims in ("yx", "yxz", ("y", "y", "x")):
        with pytest.raises(AmbiguousDimensions):
            images.read(np.zeros((7, 9, 3), np.uint8), dims=dims)
    with pytest.raises(AmbiguousDimensions, match="time"):
        images.read(xr.DataArray(np.zeros((2, 5, 5)), dims=("time", "y", "x")))


@pytest.mark.parametrize("dims", [("y", "x"), ("x", "y"), ("band", "y", "x"), ("y", "x", "band"), ("x", "band", "y")])
def test_lazy_arrays_are_ordered_without_reading(dims):
    class Counted:
        def __init__(self, pixels):
            self.pixels, self.shape, self.dtype, self.read = pixels, pixels.shape, pixels.dtype, 0

        def __getitem__(self, key):
            self.read += self.pixels[key].size
            return self.pixels[key]

    sizes = {"band": 3, "y": 40, "x": 50}
    pixels = np.random.default_rng(0).random([sizes[dim] for dim in dims])
    source = Counted(pixels)
    whole = axes.named(xr.DataArray(pixels, dims=dims, coords={"x": np.arange(50.0)}))
    lazily = axes.named(lazy.windowed(source, dims).assign_coords(x=np.arange(50.0)).assign_attrs(units="K"))
    assert source.read == 0 and lazily.dims == axes.DIMS and lazily.shape == whole.shape
    assert lazily.attrs == {"units": "K"} and (lazily["x"] == whole["x"]).all()
    np.testing.assert_array_equal(lazy.pixels(lazily, slice(5, 9), slice(40, 50)), whole[:, 5:9, 40:])
    assert source.read == whole.sizes["band"] * 4 * 10
    np.testing.assert_array_equal(lazily.isel(band=0, y=[3, 1], x=slice(None, None, -7)), whole[0, [3, 1], ::-7])
    np.testing.assert_array_equal(lazily.load(), whole)
