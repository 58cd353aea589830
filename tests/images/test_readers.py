import dask.array
import numpy as np
import PIL.Image
import pytest
import tifffile
import torch
import xarray as xr
import zarr

from bayesr import images
from bayesr.errors import NotAnImage
from bayesr.images import lazy, readers
from bayesr.images.readers import Reader

PIXELS = np.random.default_rng(0).integers(0, 256, (7, 9), dtype=np.uint8)


def _array():
    return xr.DataArray(PIXELS, dims=("y", "x"), name="img")


def _picture(folder):
    PIL.Image.fromarray(PIXELS).save(folder / "a.picture", "PNG")
    return folder / "a.picture"


def _tiff(folder):
    tifffile.imwrite(folder / "a.TIF", PIXELS)
    return folder / "a.TIF"


def _raster(folder):
    import rasterio

    with rasterio.open(
        folder / "a.JP2", "w", driver="JP2OpenJPEG", width=9, height=7, count=1, dtype="uint8", QUALITY=100,
        REVERSIBLE="YES", crs=32611, transform=rasterio.Affine(2, 0, 5, 0, -2, 9),
    ) as file:  # fmt: skip
        file.write(PIXELS, 1)
    return folder / "a.JP2"


def _netcdf(folder):
    _array().to_netcdf(folder / "a.nc")
    return folder / "a.nc"


def _zarr(folder):
    _array().to_zarr(folder / "a.tif", consolidated=False)  # a folder, whatever its suffix
    return folder / "a.tif"


def _url(folder):
    _array().to_zarr("memory://bayesr-readers.zarr", consolidated=False, mode="w")
    return "memory://bayesr-readers.zarr"


EXAMPLES = {
    "picture": _picture,
    "TIFF file": _tiff,
    "JPEG 2000 file": _raster,
    "NetCDF file": _netcdf,
    "Zarr store": _zarr,
    "URL of a Zarr store": _url,
    "dask array": lambda folder: dask.array.from_array(PIXELS),
    "zarr.Array": lambda folder: zarr.create_array({}, data=PIXELS, chunks=(4, 4)),
    "PIL image": lambda folder: PIL.Image.fromarray(PIXELS),
    "Tensor": lambda folder: torch.from_numpy(PIXELS),
    "ndarray": lambda folder: PIXELS,
    "Dataset": lambda folder: _array().to_dataset(),
    "DataArray": lambda folder: _array(),
}


@pytest.mark.parametrize("reader", readers.registered(), ids=lambda reader: reader.name)
def test_every_reader_is_asked_for_its_kind_and_reads_it(tmp_path, reader):
    img = EXAMPLES[reader.name](tmp_path)
    asked = next(one for one in readers.registered() if one.recognises(img))
    assert asked is reader
    array = reader.read(img)
    assert isinstance(array, xr.DataArray) and array.dtype == np.uint8
    np.testing.assert_array_equal(lazy.pixels(images.source(img)), PIXELS[None])


def test_readers_recognise_anything_without_an_error(tmp_path):
    for img in (object(), None, 3, "memory://a", tmp_path, tmp_path / "absent.tif"):
        assert all(reader.recognises(img) in (True, False) for reader in readers.registered())


def test_a_reader_of_your_own(tmp_path, monkeypatch):
    monkeypatch.setattr(readers, "_READERS", dict(readers._READERS))

    def read(path):
        return xr.DataArray(np.array([[int(i) for i in row] for row in path.read_text().split()]))

    readers.register(Reader("digits", readers.by_suffix(".txt"), read))
    (tmp_path / "a.TXT").write_text("012\n345")
    np.testing.assert_array_equal(images.source(tmp_path / "a.TXT")[0], [[0, 1, 2], [3, 4, 5]])
    (tmp_path / "a.TXT").write_text("no digits")
    with pytest.raises(NotAnImage, match=r"a\.TXT cannot be read"):
        images.source(tmp_path / "a.TXT")
    readers.register(Reader("digits", readers.by_suffix(".digits"), read))
    assert sum(reader.name == "digits" for reader in readers.registered()) == 1
    with pytest.raises(NotAnImage):
        images.source(tmp_path / "a.TXT")
