import numpy as np
import pytest
import xarray as xr

from bayesr import images
from bayesr.errors import AmbiguousDimensions, NotUsed
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
    with pytest.raises(AmbiguousDimensions, match=r"time \(2\) x y \(5\).*isel\(time=0\)"):
        images.read(xr.DataArray(np.zeros((2, 5, 5)), dims=("time", "y", "x")))


@pytest.mark.parametrize("dims", [("time", "y", "x"), ("z", "lat", "lon"), ("plane", "row", "col")])
def test_planes_are_not_bands(dims):
    stack = xr.DataArray(np.zeros((3, 9, 8)), dims=dims)
    with pytest.raises(AmbiguousDimensions, match=dims[0]):
        images.read(stack)
    assert images.read(stack, dims="byx").data.shape == (3, 9, 8)  # if they are said to be
    assert images.read(stack[:1]).data.shape == (1, 9, 8)  # one plane is one image


def test_coordinates_with_the_names_of_axes_give_way():
    latitude, longitude = np.arange(4.0), np.arange(5.0)
    array = xr.DataArray(
        np.zeros((4, 5)),
        dims=("latitude", "longitude"),
        coords={
            "latitude": latitude, "longitude": longitude, "x": ("longitude", longitude * 1e5),
            "y": ("latitude", latitude * 1e5), "band": 3,
        },
    )  # fmt: skip
    for image in (images.source(array), images.source(array, "yx"), images.source(array, ("y", "x"))):
        np.testing.assert_array_equal(image["y"], latitude)
        np.testing.assert_array_equal(image["x"], longitude)


@pytest.mark.parametrize("dims", [None, "yx"])
def test_rows_and_columns_beside_coordinates_in_two_dimensions(dims):
    curved = np.add.outer(np.arange(4.0), np.arange(5.0))
    array = xr.DataArray(
        np.zeros((4, 5)), dims=("row", "col"), coords={"x": (("row", "col"), curved), "y": (("row", "col"), curved)}
    )
    with pytest.warns(NotUsed, match="x, y are two-dimensional"):
        assert not {"y", "x"} & {*images.source(array, dims).coords}


def test_axes_that_trade_names():
    array = xr.DataArray(np.zeros((4, 5)), dims=("x", "y"), coords={"x": np.arange(4.0), "y": np.arange(5.0) * 9})
    image = images.source(array, "yx")  # the first axis is to be y
    assert image.shape == (1, 4, 5) and float(image["x"][1]) == 9


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
    whole = axes.with_standard_axes(xr.DataArray(pixels, dims=dims, coords={"x": np.arange(50.0)}))
    lazily = axes.with_standard_axes(
        lazy.windowed(source, dims).assign_coords(x=np.arange(50.0)).assign_attrs(units="K")
    )
    assert source.read == 0 and lazily.dims == axes.DIMS and lazily.shape == whole.shape
    assert lazily.attrs == {"units": "K"} and (lazily["x"] == whole["x"]).all()
    np.testing.assert_array_equal(lazy.pixels(lazily, slice(5, 9), slice(40, 50)), whole[:, 5:9, 40:])
    assert source.read == whole.sizes["band"] * 4 * 10
    np.testing.assert_array_equal(lazily.isel(band=0, y=[3, 1], x=slice(None, None, -7)), whole[0, [3, 1], ::-7])
    np.testing.assert_array_equal(lazily.load(), whole)
