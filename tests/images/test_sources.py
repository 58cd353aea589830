"""Every format gives, window by window, what the whole gives, and does not read more than it must."""

import gc
import io

import numpy as np
import PIL.Image
import pytest
import tifffile
import xarray as xr
import zarr

from bayesr import images
from bayesr.errors import ImageNotFound, NotAnImage
from bayesr.images import lazy


@pytest.fixture
def rgb():
    return np.random.default_rng(0).integers(0, 256, (7, 9, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def counts() -> np.ndarray:
    """`band x y x x`, too large for one block and no multiple of anything."""
    return np.random.default_rng(0).integers(0, 999, (2, 1100, 1060), dtype=np.uint16)


def _named(counts):
    return xr.DataArray(counts, dims=("band", "y", "x"), name="img")


def _zarr(path, counts):
    _named(counts).to_zarr(path, consolidated=False, zarr_format=3, encoding={"img": {"chunks": (1, 100, 530)}})


def _bare_zarr(path, counts):
    pixels = counts.transpose(1, 2, 0)
    zarr.create_array(path, data=pixels, chunks=(128, 128, 2), dimension_names=("row", "col", "channel"))


def _netcdf(path, counts):
    _named(counts).to_netcdf(path, encoding={"img": {"chunksizes": (2, 128, 128), "fletcher32": True}})


def _geotiff(path, counts, **how):
    import rioxarray  # noqa: F401, registers .rio
    from rasterio.transform import Affine

    array = _named(counts).rio.write_crs(32611).rio.write_transform(Affine(10, 0, 500_000, 0, -10, 4_000_000))
    array.rio.to_raster(path, compress="deflate", **({"tiled": True, "blockxsize": 128, "blockysize": 128} | how))


def _tiff(path, counts, **how):
    tifffile.imwrite(path, counts, photometric="minisblack", metadata={"axes": "CYX"}, **how)


FORMATS = {
    "zarr.zarr": _zarr,
    "bare.zarr": _bare_zarr,
    "chunked.nc": _netcdf,
    "tiled_geo.tif": _geotiff,
    "strips_geo.tif": lambda path, counts: _geotiff(path, counts, tiled=False, blockysize=4),
    "tiled.tif": lambda path, counts: _tiff(path, counts, tile=(128, 128), compression="zlib"),
    "strips.tif": lambda path, counts: _tiff(path, counts, rowsperstrip=20, compression="zlib"),
    "tiled_big_endian.tif": lambda path, counts: _tiff(path, counts, tile=(256, 128), byteorder=">"),
    "contiguous.tif": _tiff,
    "contiguous_big_endian.tif": lambda path, counts: _tiff(path, counts, byteorder=">"),
}


@pytest.fixture(scope="module", params=FORMATS)
def file(request, counts, tmp_path_factory):
    path = tmp_path_factory.mktemp("sources") / request.param
    FORMATS[request.param](path, counts)
    return path


def test_windows_are_those_of_the_whole(file, counts):
    array = images.source(file)
    assert not array.variable._in_memory and array.dims == ("band", "y", "x") and array.shape == counts.shape
    for rows, columns in ((slice(0, 1), slice(0, 1)), (slice(90, 300), slice(5, 700)), (slice(1000, None), slice(0))):
        np.testing.assert_array_equal(lazy.pixels(array, rows, columns), counts[:, rows, columns])
    assert not array.variable._in_memory
    known, found = images.survey(array), images.read(counts, dims="byx")
    assert (known.sha256, known.value_range, known.bounds, known.nodata) == (
        found.sha256, found.value_range, found.bounds, None,
    )  # fmt: skip
    np.testing.assert_array_equal(known.window(990, 1050, 20, 60)[0], found.window(990, 1050, 20, 60)[0])
    assert images.read(file).sha256 == found.sha256


def _ruin_the_end(path, counts):
    """Make the chunk with the last pixel unreadable, and no other."""
    if path.suffix == ".zarr":
        chunks = path.glob("**/c/*/*/*")
        max(chunks, key=lambda chunk: [int(i) for i in chunk.parts[-3:]]).write_bytes(b"no zstandard")
        return
    data = bytearray(path.read_bytes())
    if path.suffix == ".nc":
        at, size = data.find(counts[1, 1080, 1024:].tobytes()), 8
    else:
        with tifffile.TiffFile(path) as file:
            page = file.pages[-1]
            at, size = page.dataoffsets[-1], page.databytecounts[-1]
    assert at > 0
    data[at : at + size] = b"\xff" * size
    path.write_bytes(data)


@pytest.mark.parametrize("name", [name for name in FORMATS if "contiguous" not in name and "endian" not in name])
def test_a_damaged_end_hurts_there_alone(tmp_path, counts, name):
    FORMATS[name](tmp_path / name, counts)
    _ruin_the_end(tmp_path / name, counts)
    array = images.source(tmp_path / name)
    np.testing.assert_array_equal(lazy.pixels(array, slice(0, 900), slice(0, 500)), counts[:, :900, :500])
    with pytest.raises(NotAnImage, match=name):
        lazy.pixels(array, slice(1050, 1100), slice(1050, 1060))
    with pytest.raises(NotAnImage, match="whole"):
        images.survey(array)


def test_contiguous_pixels_are_mapped_only_while_they_are_read(tmp_path, counts):
    _tiff(tmp_path / "a.tif", counts)
    window = lazy.pixels(images.source(tmp_path / "a.tif"), slice(3, 5), slice(7, 9))
    base = window
    while base is not None:  # a map is no part of what is returned
        assert not isinstance(base, np.memmap)
        base = base.base
    with pytest.raises(NotAnImage, match="cannot be read"):
        (tmp_path / "a.tif").write_bytes((tmp_path / "a.tif").read_bytes()[:-100])
        images.source(tmp_path / "a.tif")


def test_files_are_closed_when_nobody_reads_them(tmp_path, counts):
    _tiff(tmp_path / "a.tif", counts, tile=(128, 128), compression="zlib")
    array = images.source(tmp_path / "a.tif").isel(x=slice(5))
    gc.collect()
    assert lazy.pixels(array).shape == (2, 1100, 5)
    del array
    gc.collect()  # an open file would warn, and warnings are errors


def test_the_cache_of_gdal_is_as_before(tmp_path, counts):
    from rasterio.env import get_gdal_config

    _geotiff(tmp_path / "a.tif", counts)
    before = get_gdal_config("GDAL_CACHEMAX")
    lazy.pixels(images.source(tmp_path / "a.tif"))
    assert get_gdal_config("GDAL_CACHEMAX") == before > 0


def test_a_compressed_tiff_in_few_pieces_is_decoded_once(tmp_path, counts):
    _tiff(tmp_path / "a.tif", counts, rowsperstrip=1100, compression="zlib")
    assert images.source(tmp_path / "a.tif").variable._in_memory


def test_memory_maps_and_arrays_of_zarr_stay_lazy(tmp_path, counts):
    np.save(tmp_path / "a.npy", counts)
    mapped = images.source(np.load(tmp_path / "a.npy", mmap_mode="r"), "byx")
    assert np.shares_memory(mapped.variable._data, mapped.to_numpy())
    bare = zarr.create_array({}, data=counts, chunks=(1, 100, 100), attributes={"_FillValue": 5})
    array = images.source(bare, "byx")
    assert not array.variable._in_memory
    known = images.survey(array)
    assert known.sha256 == images.survey(mapped).sha256 and known.nodata == 5


@pytest.mark.parametrize("kind", ["group", "array"])
def test_urls_of_zarr_stores(counts, kind):
    url = f"memory://bayesr-test-{kind}.zarr"
    if kind == "group":
        _named(counts).to_zarr(url, consolidated=False, zarr_format=3, mode="w")
    else:
        zarr.create_array(url, data=counts, chunks=(2, 200, 200), dimension_names=images.DIMS, overwrite=True)
    array = images.source(url)
    assert not array.variable._in_memory
    np.testing.assert_array_equal(lazy.pixels(array, slice(90, 110), slice(3, 5)), counts[:, 90:110, 3:5])
    for missing in ("memory://bayesr-none.zarr", "file:///bayesr/none.zarr"):
        with pytest.raises(ImageNotFound, match=missing):
            images.source(missing)
    with pytest.raises(NotAnImage, match="protocol"):
        images.source("nosuchprotocol://a.zarr")


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


@pytest.mark.parametrize("engine", ["netcdf", "zarr"])
def test_stores_keep_coordinates(tmp_path, rgb, engine):
    array = xr.DataArray(rgb, dims=("y", "x", "band"), coords={"x": np.arange(9) * 10.0}, name="img")
    path = tmp_path / ("a.nc" if engine == "netcdf" else "a.zarr")
    array.to_netcdf(path, engine="netcdf4") if engine == "netcdf" else array.to_zarr(path, consolidated=False)
    image = images.read(path)
    np.testing.assert_array_equal(image.data["x"], np.arange(9) * 10.0)
    assert image.sha256 == images.read(rgb).sha256


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


def test_alpha(rgb):
    opaque = np.dstack([rgb, np.full((7, 9), 255, np.uint8)])
    assert images.read(PIL.Image.fromarray(opaque)).sha256 == images.read(rgb).sha256
    opaque[0, 0, 3] = 7
    with pytest.raises(NotAnImage, match="transparent"):
        images.read(PIL.Image.fromarray(opaque))
