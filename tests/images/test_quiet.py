import logging
import threading
import warnings

import numpy as np
import pytest
import tifffile

from bayesr import images
from bayesr.errors import NotAnImage
from bayesr.images.quiet import quiet


def warned_by(module):
    warnings.warn_explicit("from there", UserWarning, f"{module}.py", 1, module)


def test_only_warnings_of_decoders_are_silent():
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        with quiet():
            for module in ("PIL.Image", "tifffile.tifffile", "zarr.core", "bayesr.images.datasets", "numpyro", "mine"):
                warned_by(module)
        warned_by("PIL.Image")
    assert [one.filename for one in seen] == ["numpyro.py", "mine.py", "PIL.Image.py"]


class Reading:
    """A thread that reads until it is stopped."""

    def __init__(self):
        self._inside, self._leave = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._read)

    def _read(self):
        with quiet():
            self._inside.set()
            self._leave.wait(10)

    def start(self):
        self._thread.start()
        assert self._inside.wait(10)

    def stop(self):
        self._leave.set()
        self._thread.join()


def test_threads_that_overlap_leave_the_filters_as_they_were():
    before, other = list(warnings.filters), Reading()
    with quiet():
        other.start()
    warned_by("tifffile.tifffile")  # the other thread still reads; a warning would be an error here
    other.stop()
    assert list(warnings.filters) == before
    with pytest.raises(UserWarning):
        warned_by("tifffile.tifffile")
    assert not logging.getLogger("tifffile").filters


def test_filters_that_a_caller_restores_while_a_thread_reads_stay():
    before, other = list(warnings.filters), Reading()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        other.start()
    other.stop()
    assert list(warnings.filters) == before


def test_filters_that_a_caller_saves_while_a_thread_reads_come_back():
    before, other = list(warnings.filters), Reading()
    other.start()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        other.stop()
    assert list(warnings.filters) == before


def test_a_damaged_tiff_is_refused_without_a_word(tmp_path, capfd):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((8, 8), np.uint8), compression="zlib")
    data = bytearray((tmp_path / "a.tif").read_bytes())
    data[8:12] = b"\xff\xff\xff\xff"
    (tmp_path / "a.tif").write_bytes(data)
    with pytest.raises(NotAnImage):
        images.read(tmp_path / "a.tif")
    assert capfd.readouterr() == ("", "")


def test_a_damaged_jpeg_2000_file_is_refused_without_a_word(tmp_path, capfd):
    rasterio = pytest.importorskip("rasterio")
    pixels = np.random.default_rng(0).integers(0, 255, (3, 200, 200), dtype=np.uint8)
    shape = {"width": 200, "height": 200, "count": 3, "dtype": "uint8"}
    with (
        warnings.catch_warnings(action="ignore"),
        rasterio.open(tmp_path / "a.jp2", "w", driver="JP2OpenJPEG", blockxsize=64, blockysize=64, **shape) as file,
    ):
        file.write(pixels)
    data = bytearray((tmp_path / "a.jp2").read_bytes())
    data[len(data) // 3 : len(data) // 2] = bytes(len(data) // 2 - len(data) // 3)
    (tmp_path / "a.jp2").write_bytes(data)
    capfd.readouterr()
    with pytest.raises(NotAnImage):
        images.read(tmp_path / "a.jp2")
    assert capfd.readouterr() == ("", "")
