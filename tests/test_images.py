import io

import numpy as np
import PIL.Image
import pytest
import tifffile
import torch
import xarray as xr

from bayesr import images
from bayesr.errors import AmbiguousDimensions, BayesrError, ImageNotFound, InvalidArgument, InvalidPixels, NotAnImage


@pytest.fixture
def rgb():
    return np.random.default_rng(0).integers(0, 256, (7, 9, 3), dtype=np.uint8)


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.webp"])
def test_lossless_files(tmp_path, rgb, name):
    options = {"lossless": True} if name == "a.webp" else {}
    PIL.Image.fromarray(rgb).save(tmp_path / name, **options)
    image = images.read(tmp_path / name)
    np.testing.assert_array_equal(image.data.values, rgb.transpose(2, 0, 1))
    assert image.value_range == (0, 255) and image.bounds == (0, 255)
    assert image.sha256 == images.read(rgb).sha256


def test_jpeg(tmp_path, rgb):
    PIL.Image.fromarray(rgb).save(tmp_path / "a.jpg")
    np.testing.assert_array_equal(
        images.read(tmp_path / "a.jpg").data.values, np.asarray(PIL.Image.open(tmp_path / "a.jpg")).transpose(2, 0, 1)
    )


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.uint32, np.float32, np.float64])
def test_tiff_types(tmp_path, dtype):
    pixels = (np.arange(42).reshape(6, 7) * 3 + 5).astype(dtype)
    tifffile.imwrite(tmp_path / "a.tif", pixels)
    image = images.read(tmp_path / "a.tif")
    np.testing.assert_array_equal(image.data.values[0], pixels)
    assert image.data.dtype == dtype
    if dtype != np.uint8:
        assert image.value_range == (5, 128)
    assert (image.bounds is None) == (np.dtype(dtype).kind == "f")


def test_ome_tiff_axes_are_believed(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 900, (5, 8, 6), dtype=np.uint16)
    tifffile.imwrite(tmp_path / "a.ome.tif", pixels, metadata={"axes": "CYX"})
    np.testing.assert_array_equal(images.read(tmp_path / "a.ome.tif").data.values, pixels)


def test_arrays_tensors_and_pictures_agree(rgb):
    first = images.read(rgb)
    assert first.data.dims == ("band", "y", "x")
    for other in (
        rgb.transpose(2, 0, 1),
        torch.from_numpy(rgb.transpose(2, 0, 1).copy()),
        PIL.Image.fromarray(rgb),
        xr.DataArray(rgb, dims=("lat", "lon", "channel")),
        xr.DataArray(rgb, dims=("y", "x", "band")).chunk(x=3),
        xr.Dataset({"a": (("y", "x", "band"), rgb)}),
    ):
        assert images.read(other).sha256 == first.sha256
    assert images.read(rgb[..., 0]).data.shape == (1, 7, 9)


@pytest.mark.parametrize("engine", ["netcdf", "zarr"])
def test_stores_keep_coordinates(tmp_path, rgb, engine):
    array = xr.DataArray(rgb, dims=("y", "x", "band"), coords={"x": np.arange(9) * 10.0}, name="img")
    path = tmp_path / ("a.nc" if engine == "netcdf" else "a.zarr")
    array.to_netcdf(path, engine="netcdf4") if engine == "netcdf" else array.to_zarr(path, consolidated=False)
    image = images.read(path)
    np.testing.assert_array_equal(image.data["x"], np.arange(9) * 10.0)
    assert image.sha256 == images.read(rgb).sha256


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


def test_bad_dims_are_refused(rgb):
    for dims in ("yx", "yxz", ("y", "y", "x")):
        with pytest.raises(AmbiguousDimensions):
            images.read(rgb, dims=dims)
    with pytest.raises(AmbiguousDimensions, match="time"):
        images.read(xr.DataArray(np.zeros((2, 5, 5)), dims=("time", "y", "x")))


def test_value_range_scales_and_never_clips():
    pixels = np.array([[0.0, 5.0], [10.0, 20.0]])
    np.testing.assert_allclose(images.read(pixels, value_range=(5, 10)).scaled()[0], [[-1, 0], [1, 3]])
    np.testing.assert_allclose(images.read(pixels).scaled()[0], pixels / 20)
    assert np.isfinite(images.read(np.full((4, 4), 3.0)).scaled()).all()
    for bad in ((1, 1), (2, 1), (0, np.inf)):
        with pytest.raises(InvalidArgument):
            images.read(pixels, value_range=bad)


def test_nodata():
    pixels = np.ones((5, 6), np.float32)
    pixels[1, 2] = np.nan
    with pytest.raises(InvalidPixels, match="nodata"):
        images.read(pixels)
    image = images.read(pixels, nodata=np.nan)
    assert image.missing is not None and image.missing.sum() == 1 and image.missing[1, 2]
    assert np.isfinite(image.scaled()).all()
    assert image.value_range == (1, 2)
    pixels[0, 0] = np.inf
    with pytest.raises(InvalidPixels, match="infinite"):
        images.read(pixels, nodata=np.nan)
    with pytest.raises(InvalidPixels, match="Every pixel"):
        images.read(np.zeros((3, 3), np.uint8), nodata=0)
    integer = images.read(np.array([[0, 7], [9, 8]], np.uint16), nodata=0)
    assert integer.value_range == (7, 9) and integer.missing is not None and integer.missing[0, 0]


def test_unusable_inputs(tmp_path, rgb):
    with pytest.raises(ImageNotFound, match="no file"):
        images.read(tmp_path / "absent.png")
    for name, content in (("a.png", b"hello"), ("a.tif", b"II*\0"), ("a.nc", b"CDF"), ("empty.png", b"")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(NotAnImage, match=name):
            images.read(tmp_path / name)
    for suffix in ("PNG", "TIFF"):
        whole = io.BytesIO()
        PIL.Image.fromarray(np.random.default_rng(0).integers(0, 256, (99, 99, 3), dtype=np.uint8)).save(whole, suffix)
        (tmp_path / f"cut.{suffix.lower()}").write_bytes(whole.getvalue()[:9000])
        with pytest.raises(NotAnImage, match="whole"):
            images.read(tmp_path / f"cut.{suffix.lower()}")
    (tmp_path / "folder").mkdir()
    for bad in (tmp_path / "folder", object(), np.zeros((0, 4)), rgb.astype(complex), np.array([["a"]]), rgb > 3):
        with pytest.raises(NotAnImage):
            images.read(bad)
    with pytest.raises(NotAnImage, match="a, b"):
        images.read(xr.Dataset({"a": (("y", "x"), np.ones((3, 3))), "b": (("y", "x"), np.ones((3, 3)))}))


def test_geotiff(tmp_path, rgb):
    """Coordinates, CRS and declared nodata come along, and the product's georeference is rewritten."""
    import rioxarray  # noqa: F401, registers .rio
    from rasterio.transform import Affine

    from tests.conftest import make_model

    counts = rgb.transpose(2, 0, 1).astype(np.uint16) + 1
    counts[:, 0, 0] = 0
    array = xr.DataArray(counts, dims=("band", "y", "x")).rio.write_crs(32611).rio.write_nodata(0)
    transform = Affine(10, 0, 500_000, 0, -10, 4_000_000)
    array.rio.write_transform(transform).rio.to_raster(tmp_path / "a.tif")
    image = images.read(tmp_path / "a.tif")
    assert image.missing is not None and image.missing.sum() == 1
    ds = make_model().sample(tmp_path / "a.tif", 2)
    assert ds.rio.crs.to_epsg() == 32611
    assert ds["mean"].rio.transform() == transform @ Affine.scale(0.25)
    assert ds["mean"].rio.bounds() == (500_000, 4_000_000 - 70, 500_090, 4_000_000)
    assert np.isnan(ds["mean"].values[:, :4, :4]).all() and np.isfinite(ds["mean"].values[:, 4:, :]).all()


def test_alpha(rgb):
    opaque = np.dstack([rgb, np.full((7, 9), 255, np.uint8)])
    assert images.read(PIL.Image.fromarray(opaque)).sha256 == images.read(rgb).sha256
    opaque[0, 0, 3] = 7
    with pytest.raises(NotAnImage, match="transparent"):
        images.read(PIL.Image.fromarray(opaque))


def test_every_error_is_a_bayesr_error_and_a_builtin():
    import bayesr.errors as errors

    found = [kind for kind in vars(errors).values() if isinstance(kind, type) and kind is not BayesrError]
    kinds = [kind for kind in found if not issubclass(kind, UserWarning)]
    assert len(kinds) > 10
    for kind in kinds:
        assert issubclass(kind, BayesrError) and len(kind.__mro__) > 4, kind
