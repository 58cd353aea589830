import gc

import numpy as np
import pytest
import tifffile

from bayesr import images
from bayesr.errors import NotAnImage
from bayesr.images import lazy
from tests.images.test_sources import geotiff, tiff


def test_contiguous_pixels_are_mapped_only_while_they_are_read(tmp_path, counts):
    tiff(tmp_path / "a.tif", counts)
    window = lazy.pixels(images.source(tmp_path / "a.tif"), slice(3, 5), slice(7, 9))
    base = window
    while base is not None:  # a map is no part of what is returned
        assert not isinstance(base, np.memmap)
        base = base.base
    with pytest.raises(NotAnImage, match="cannot be read"):
        (tmp_path / "a.tif").write_bytes((tmp_path / "a.tif").read_bytes()[:-100])
        images.source(tmp_path / "a.tif")


def test_files_are_closed_after_reading(tmp_path, counts):
    tiff(tmp_path / "a.tif", counts, tile=(128, 128), compression="zlib")
    array = images.source(tmp_path / "a.tif").isel(x=slice(5))
    gc.collect()
    assert lazy.pixels(array).shape == (2, 1100, 5)
    del array
    gc.collect()  # an open file would warn, and warnings are errors


def test_the_cache_of_gdal_is_as_before(tmp_path, counts):
    from rasterio.env import get_gdal_config

    geotiff(tmp_path / "a.tif", counts)
    before = get_gdal_config("GDAL_CACHEMAX")
    lazy.pixels(images.source(tmp_path / "a.tif"))
    assert get_gdal_config("GDAL_CACHEMAX") == before > 0


def test_a_compressed_tiff_in_few_pieces_is_decoded_once(tmp_path, counts):
    tiff(tmp_path / "a.tif", counts, rowsperstrip=1100, compression="zlib")
    assert images.source(tmp_path / "a.tif").variable._in_memory


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


@pytest.mark.parametrize("name", ["slide.svs", "a.btf", "noending", "a.png"])
@pytest.mark.parametrize("options", [{}, {"byteorder": ">"}, {"bigtiff": True}])
def test_a_tiff_is_recognised_by_its_first_bytes(tmp_path, name, options):
    pixels = np.random.default_rng(0).integers(0, 900, (5, 8, 6), dtype=np.uint16)
    with tifffile.TiffWriter(tmp_path / name, **options) as file:
        file.write(pixels, metadata={"axes": "CYX"}, photometric="minisblack")
    np.testing.assert_array_equal(images.read(tmp_path / name).data.values, pixels)
