"""Every format gives the same pixels by window and as a whole, and reads no more than it must."""

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


def named(counts):
    return xr.DataArray(counts, dims=("band", "y", "x"), name="img")


def zarr_group(path, counts):
    named(counts).to_zarr(path, consolidated=False, zarr_format=3, encoding={"img": {"chunks": (1, 100, 530)}})


def bare_zarr(path, counts):
    pixels = counts.transpose(1, 2, 0)
    zarr.create_array(path, data=pixels, chunks=(128, 128, 2), dimension_names=("row", "col", "channel"))


def netcdf(path, counts):
    named(counts).to_netcdf(path, encoding={"img": {"chunksizes": (2, 128, 128), "fletcher32": True}})


def geotiff(path, counts, **how):
    import rioxarray  # noqa: F401, registers .rio
    from rasterio.transform import Affine

    array = named(counts).rio.write_crs(32611).rio.write_transform(Affine(10, 0, 500_000, 0, -10, 4_000_000))
    array.rio.to_raster(path, compress="deflate", **({"tiled": True, "blockxsize": 128, "blockysize": 128} | how))


def tiff(path, counts, **how):
    tifffile.imwrite(path, counts, photometric="minisblack", metadata={"axes": "CYX"}, **how)


FORMATS = {
    "zarr.zarr": zarr_group,
    "bare.zarr": bare_zarr,
    "chunked.nc": netcdf,
    "tiled_geo.tif": geotiff,
    "strips_geo.tif": lambda path, counts: geotiff(path, counts, tiled=False, blockysize=4),
    "tiled.tif": lambda path, counts: tiff(path, counts, tile=(128, 128), compression="zlib"),
    "strips.tif": lambda path, counts: tiff(path, counts, rowsperstrip=20, compression="zlib"),
    "tiled_big_endian.tif": lambda path, counts: tiff(path, counts, tile=(256, 128), byteorder=">"),
    "contiguous.tif": tiff,
    "contiguous_big_endian.tif": lambda path, counts: tiff(path, counts, byteorder=">"),
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


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.webp"])
def test_lossless_files(tmp_path, rgb, name):
    options = {"lossless": True} if name == "a.webp" else {}
    PIL.Image.fromarray(rgb).save(tmp_path / name, **options)
    image = images.read(tmp_path / name)
    np.testing.assert_array_equal(image.data.values, rgb.transpose(2, 0, 1))
    assert image.value_range == (0, 255) and image.bounds == (0, 255)
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
