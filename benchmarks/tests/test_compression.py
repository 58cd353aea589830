"""The table of codecs."""

import numpy as np
import zarr
from hypothesis import given
from hypothesis import strategies as st

from bayesr_bench.tables.compression import codecs, measure, rounded, written


@given(st.floats(width=32, allow_nan=False, allow_infinity=False), st.integers(1, 22))
def test_rounding_error_is_within_its_bound(value, bits):
    given_, kept = np.float32(value), rounded(np.array([value], np.float32), bits)[0]
    assert kept.view(np.uint32) % (1 << (23 - bits)) == 0
    if np.finfo(np.float32).tiny < abs(given_) < np.finfo(np.float32).max / 2:
        assert abs(float(kept) - float(given_)) <= abs(float(given_)) * 2.0 ** -(bits + 1)
        assert rounded(np.array([kept]), bits)[0] == kept
    nan = np.array([0x7FFFFFFF, 0xFFFFFFFF, 0x7FC00000], np.uint32).view(np.float32)
    assert np.isnan(rounded(nan, bits)).all()


def test_codecs_are_lossless_and_compress_smooth_arrays(tmp_path):
    y, x = np.mgrid[:64, :64].astype(np.float32)
    arrays = {"mean": np.sin(y / 9)[None] * x, "mask_means": np.stack([[y], [x]])}
    raw = sum(values.nbytes for values in arrays.values())
    for name, codec in codecs().items():
        array = zarr.create_array(
            tmp_path / name, shape=(64, 64), chunks=(32, 32), shards=(64, 64), dtype="float32", compressors=codec
        )
        array[:] = arrays["mean"][0]
        np.testing.assert_array_equal(array[:], arrays["mean"][0])
        size, writing, reading = written(arrays, codec, None, 32)
        assert writing > 0 and reading > 0
        assert size < raw + 512 and (name == "none" or size < 0.95 * raw), name


def test_codecs_are_compared_with_none():
    rng = np.random.default_rng(0)
    arrays = {"mean": np.cumsum(rng.normal(size=(1, 32, 32)), -1).astype(np.float32), "std": np.ones((1, 32, 32), "f4")}
    case = {"some": [(arrays, {"samples": np.zeros((2, 1, 32, 32), np.float32)}, 0.5)]}
    codec = codecs()["blosc lz4 bitshuffle 5"]
    plain, kept = measure(case, {"none": (None, None), "8 bits": (codec, 8)}, 16, 1)
    assert plain["writing / none's"] == plain["reading / none's"] == 1 and plain["ratio, some"] <= 1
    assert kept["ratio, some"] > 2 and 0 < kept["largest error of mean / std"] < 0.1
    assert plain.keys() == kept.keys()
