import os
import pickle
import struct

import numpy as np
import pytest
import zarr
from zarr.core.buffer import default_buffer_prototype

from bayesr import images
from bayesr.errors import NotAnImage, TooLarge
from bayesr.images.zarr_store import RegularStore, inflated

CODECS = {
    "zstd": zarr.codecs.ZstdCodec(),
    "gzip": zarr.codecs.GzipCodec(),
    "blosc": zarr.codecs.BloscCodec(),
}


def buffer(data):
    return default_buffer_prototype().buffer.from_bytes(data)


@pytest.mark.parametrize("pixels", [100, 200, 70000, 2**20])
@pytest.mark.parametrize("codec", CODECS)
def test_chunks_say_how_many_bytes_they_expand_to(tmp_path, codec, pixels):
    array = zarr.create_array(
        tmp_path / "a.zarr", shape=(pixels,), chunks=(pixels,), dtype="u1", compressors=CODECS[codec]
    )
    array[:] = np.arange(pixels) % 7 + 1
    assert inflated(buffer((tmp_path / "a.zarr" / "c" / "0").read_bytes())) == pixels


def test_other_bytes_say_nothing():
    assert [inflated(buffer(data)) for data in (b"", b"\x02", b"\x28\xb5\x2f\xfd", bytes(range(64)))] == [0, 0, 0, 0]


def test_a_chunk_is_no_larger_than_memory_whatever_its_array_says(tmp_path):
    array = zarr.create_array(tmp_path / "a.zarr", shape=(8, 8), chunks=(8, 8), dtype="u1")
    array[:] = np.arange(64).reshape(8, 8)
    chunk = tmp_path / "a.zarr" / "c" / "0" / "0"
    np.testing.assert_array_equal(images.read(tmp_path / "a.zarr").data[0], array[:])
    chunk.write_bytes(b"\x28\xb5\x2f\xfd\xa0" + struct.pack("<I", 2**31) + bytes(8))
    with pytest.raises(TooLarge, match=r"takes 2\.0 GiB"):
        images.read(tmp_path / "a.zarr")
    chunk.unlink()
    os.mkfifo(chunk)
    with pytest.raises(NotAnImage, match="regular file"):
        images.read(tmp_path / "a.zarr")
    chunk.unlink()
    chunk.mkdir()  # Zarr would take it for a chunk that was never written
    with pytest.raises(NotAnImage, match="regular file"):
        images.read(tmp_path / "a.zarr")


def test_metadata_in_a_pipe_are_refused(tmp_path):
    (tmp_path / "a.zarr").mkdir()
    os.mkfifo(tmp_path / "a.zarr" / "zarr.json")
    with pytest.raises(NotAnImage):
        images.source(tmp_path / "a.zarr")


def test_a_store_can_be_sent_to_workers_and_not_be_written(tmp_path):
    store = pickle.loads(pickle.dumps(RegularStore(tmp_path)))
    assert store.root == tmp_path
    with pytest.raises(ValueError, match="read-only"):
        zarr.create_array(store, shape=(4,), dtype="u1")
