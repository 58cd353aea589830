import os
import socket
import struct
import zlib
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import xarray as xr
import zarr

from bayesr import images
from bayesr.errors import BayesrError, ImageNotFound, NotAnImage, TooLarge
from bayesr.images import limits, tiff_limits


def png(path, width, height):
    """Write a PNG of some hundred bytes that claims to have this size."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    data = zlib.compress(bytes(1000))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b""))
    return path


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jp2", ".nc", ""])
def test_pipes_sockets_and_devices_are_refused_at_once(tmp_path, monkeypatch, suffix):
    monkeypatch.chdir(tmp_path)  # names of sockets are short
    os.mkfifo(f"pipe{suffix}")
    with pytest.raises(NotAnImage, match="named pipe"):
        images.source(f"pipe{suffix}")
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(f"socket{suffix}")
    with pytest.raises(NotAnImage, match="socket"):
        images.source(f"socket{suffix}")
    Path(f"zero{suffix}").symlink_to("/dev/zero")
    with pytest.raises(NotAnImage, match="device"):
        images.source(f"zero{suffix}")


@pytest.mark.parametrize("beside", ["a.tfw", "a.tif.msk", "a.tif.aux.xml", "a.png.msk", "a.pgw"])
def test_pipes_beside_an_image_do_not_block_gdal(tmp_path, beside):
    import rasterio

    with rasterio.open(
        tmp_path / "a.tif", "w", driver="GTiff", width=4, height=3, count=1, dtype="uint8", crs=32611,
        transform=rasterio.Affine(2, 0, 5, 0, -2, 9),
    ) as file:  # fmt: skip
        file.write(np.ones((3, 4), np.uint8), 1)
    PIL.Image.fromarray(np.ones((3, 4), np.uint8)).save(tmp_path / "a.png")
    (tmp_path / "a.wld").write_text("1\n0\n0\n-1\n0\n0\n")
    os.mkfifo(tmp_path / beside)
    for name in ("a.tif", "a.png"):
        with pytest.raises(NotAnImage, match="named pipe"):
            images.source(tmp_path / name)


@pytest.mark.parametrize("name", ["nothing.png", "a\0b.png", "x" * 5000, "file.txt/below"])
def test_what_is_not_there_is_not_found(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file.txt").write_text("")
    with pytest.raises(ImageNotFound, match="There is no file"):
        images.source(name)


def test_pictures_are_refused_by_their_size_before_they_are_decoded(tmp_path, monkeypatch):
    with pytest.raises(TooLarge, match=r"MAX_IMAGE_PIXELS.*np\.asarray"):
        images.source(png(tmp_path / "huge.png", 60000, 60000))
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", None)
    with pytest.raises(TooLarge, match=r"3\.4 GiB, more than 0\.5 GiB"):
        images.source(tmp_path / "huge.png")
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 9)  # Pillow warns of 12 pixels then, which does not leak
    PIL.Image.fromarray(np.full((3, 4), 7, np.uint8)).save(tmp_path / "a.png")
    assert (images.read(tmp_path / "a.png").data == 7).all()


def test_a_program_that_draws_is_no_picture(tmp_path):
    (tmp_path / "a.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n")
    with pytest.raises(NotAnImage, match="program"):
        images.source(tmp_path / "a.png")


def test_jpeg_2000_files_are_nothing_else(tmp_path):
    (tmp_path / "a.jp2").write_text('<VRTDataset rasterXSize="8" rasterYSize="8"></VRTDataset>')
    with pytest.raises(NotAnImage, match="no JPEG 2000"):
        images.source(tmp_path / "a.jp2")


def test_chunks_that_fill_the_memory_are_refused(tmp_path):
    zarr.create_array(tmp_path / "a.zarr", shape=(8, 8), chunks=(48000, 48000), dtype="uint8")
    with pytest.raises(TooLarge, match=r"chunk of .*a\.zarr takes 2\.1 GiB.*smaller chunks"):
        images.source(tmp_path / "a.zarr")
    group = zarr.open_group(tmp_path / "b.zarr", mode="w")
    group.create_array("img", shape=(8, 8), dtype="uint8", dimension_names=("y", "x"))
    group.create_array("x", shape=(10**9,), chunks=(8,), dtype="float64", dimension_names=("x",))
    with pytest.raises(TooLarge, match="coordinate x"):
        images.source(tmp_path / "b.zarr")


def test_images_that_do_not_fit_are_not_loaded(tmp_path):
    zarr.create_array(tmp_path / "a.zarr", shape=(10**7, 10**7), chunks=(1000, 1000), dtype="uint8")
    with pytest.raises(TooLarge, match=r"GiB of memory are free"):
        images.read(tmp_path / "a.zarr")


def test_what_is_in_memory_already_is_not_bounded():
    array = xr.DataArray(np.zeros((1, 4, 4)), dims=("band", "y", "x"))
    array.encoding["preferred_chunks"] = {"y": 10**9, "x": 10**9}
    limits.check_chunks(array)
    limits.check_memory(array)
    assert issubclass(TooLarge, BayesrError) and issubclass(TooLarge, MemoryError)


@pytest.mark.parametrize("page", ["SECURITY.md", "docs/inputs.md"])
def test_pages_state_the_limits_that_the_code_has(page):
    text = " ".join((Path(__file__).parents[2] / page).read_text().split())
    assert f"{limits.LARGEST // 2**20} MiB" in text and f"{tiff_limits.MOST_PAGES:,} pages" in text
