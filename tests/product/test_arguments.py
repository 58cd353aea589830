import inspect
import math
from fractions import Fraction
from pathlib import Path

import dask.array
import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

import bayesr
from bayesr.errors import InvalidArgument
from bayesr.product import arguments
from bayesr.product.arguments import check

OPERATOR = bayesr.observe.bicubic(4)

GOOD = {
    "n": [(1, 1), (np.int64(32), 32), (np.uint8(4), 4)],
    "model": [("natural-x4", "natural-x4"), (Path("a.safetensors"), Path("a.safetensors"))],
    "seed": [(0, 0), (2**64 - 1, 2**64 - 1), (np.uint64(2**63), 2**63)],
    "masks": [(None, None), (np.int32(4), 4)],
    "level": [(0.9, 0.9), (np.float32(0.5), 0.5), (Fraction(1, 2), 0.5)],
    "levels": [((0.5,), (0.5,)), (np.array([0.5, 0.25]), (0.5, 0.25)), (iter([0.5]), (0.5,))],
    "keep_samples": [(None, None), (np.bool_(False), False), (True, True)],
    "store": [(None, None), ("s3://bucket/a.zarr", "s3://bucket/a.zarr"), (Path("a.zarr"), Path("a.zarr"))],
    "overwrite": [(True, True), (np.bool_(True), True)],
    "resume": [(False, False)],
    "dims": [(None, None), ("yxb", "yxb"), (["y", "x"], ("y", "x"))],
    "nodata": [(None, None), (-9999, -9999.0), (np.float32(-1.5), -1.5), (np.uint8(255), 255.0), (math.inf, math.inf)],
    "value_range": [
        (None, None), ("minmax", "minmax"), ("unit", "unit"), ("percentiles", "percentiles"), ((0, 255), (0.0, 255.0)),
        ([np.float32(-1), np.int16(1)], (-1.0, 1.0)), (np.array([0, 1]), (0.0, 1.0)),
    ],
    "tile": [(None, None), (np.int64(256), 256)],
    "precision": [("float32", "float32"), ("bfloat16", "bfloat16")],
    "device": [("auto", "auto"), ("cuda:0", "cuda:0"), (torch.device("cpu"), "cpu")],
    "cluster": [(None, None), (np.int64(2), 2), ("tcp://host:8786", "tcp://host:8786")],
    "variables": [(None, None), ("std", "std"), (["mean", "std"], ("mean", "std"))],
    "keepbits": [(None, None), (np.int8(10), 10)],
    "shards": [(None, None), (True, True), (np.False_, False)],
    "progress": [(None, None), (True, True)],
    "noise": [(None, None), (np.float32(2), 2.0), ([np.int16(1), 0], (1.0, 0.0))],
    "forward_operator": [(None, None), (OPERATOR, OPERATOR), ([OPERATOR, OPERATOR], (OPERATOR, OPERATOR))],
}  # fmt: skip

ARRAYS = [np.array(1), np.array([1]), torch.tensor(1), dask.array.ones(()), xr.DataArray(1)]
NO_WHOLE_NUMBERS = ["4", 4.0, np.float64(4), True, np.bool_(True), (4,), 4 + 0j, b"4", object(), *ARRAYS]
NO_NUMBERS = ["0.5", True, (0.5,), 0.5 + 0j, object(), *ARRAYS]

BAD = {
    "n": [None, 0, -1, *NO_WHOLE_NUMBERS],
    "model": [None, 3, True, object(), b"natural-x4", torch.nn.Identity()],
    "seed": [None, 1.5, -1, 2**64, *NO_WHOLE_NUMBERS],
    "masks": [0, 2.5, *NO_WHOLE_NUMBERS],
    "level": [None, 0, 1, 1.5, math.nan, 10**400, *NO_NUMBERS],
    "levels": [None, 0.9, "0.9", (0.5, 1), ("0.5",), (None,), [math.nan]],
    "keep_samples": ["yes", 0, 1, 1.0],
    "store": [5, "", b"a.zarr", object(), True],
    "overwrite": ["yes", None, 1, 0, np.array(True)],
    "resume": ["", None],
    "dims": [5, b"yx", ("y", 5), {"y", "x"}, {"y": 0}, True],
    "nodata": ["none", "-9999", (0,), 10**400, *NO_NUMBERS],
    "value_range": [
        255, "min-max", "", (1, 2, 3), (1,), (), (1, 1), (2, 1), (0, math.inf), (math.nan, 1), (-1e308, 1e308),
        ("0", "1"), (False, True), (None, 1), {0, 1}, {0: 1, 1: 2}, b"01", (0, 10**400), np.zeros((2, 2)), True,
    ],
    "tile": [0, 2.5, -1, *NO_WHOLE_NUMBERS],
    "device": [None, 0, "", object(), torch.float32],
    "precision": [None, "float16", "", 32, torch.bfloat16],
    "cluster": [0, -1, True, "", 2.0, object(), (1, 2)],
    "variables": [3, b"std", ("mean", 3), {"mean"}, True],
    "keepbits": [0, 24, "10", *NO_WHOLE_NUMBERS],
    "shards": [0, 1, "no", (64, 64)],
    "progress": ["yes", 1, 0],
    "noise": [0, -1.0, math.inf, math.nan, (0, 0), (1,), (1, 2, 3), (1, "2"), {"gain": 1}, 10**400, *NO_NUMBERS],
    "forward_operator": ["gaussian", 2.0, True, (), [OPERATOR, 1], {OPERATOR}, xr.DataArray(1), {"kernel": "box"}],
}  # fmt: skip


@pytest.mark.parametrize(("name", "given", "expected"), [(k, *pair) for k, pairs in GOOD.items() for pair in pairs])
def test_valid_arguments_become_plain_values(name, given, expected):
    found = check({name: given})[name]
    assert found == expected and type(found) is type(expected)


@pytest.mark.parametrize(("name", "given"), [(name, value) for name, values in BAD.items() for value in values])
def test_invalid_arguments_are_named_with_what_was_given_and_what_is_expected(name, given):
    with pytest.raises(InvalidArgument) as caught:
        check({name: given})
    text = str(caught.value)
    assert text.startswith(f"{name} must be ") and ", not " in text and text.endswith(".") and len(text) < 300, text


def test_missing_pixels_may_be_nan():
    assert math.isnan(check({"nodata": np.float32("nan")})["nodata"])


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"n": 4.0}, "n must be a whole number of members, at least 1, not 4.0."),
        ({"seed": np.float64(1.5)}, "seed must be a whole number in [0, 2**64), not 1.5."),
        ({"level": "0.9"}, "level must be a number between 0 and 1 (0.9 for a 90% interval), not '0.9'."),
        ({"tile": np.array(2)}, "not an array of shape () (ndarray)."),
        ({"overwrite": "yes"}, "overwrite must be True or False, not 'yes'."),
        ({"value_range": 255}, "the lower one first, or one of 'minmax', 'unit', 'percentiles', not 255."),
        ({"value_range": (1, 2, 3)}, "not (1, 2, 3)."),
        ({"cluster": object()}, "not an object of type object."),
        ({"dims": tuple(range(99))}, "not (0, 1, 2, "),
        ({"nodata": "none"}, "nodata must be the value of missing pixels, a number or float('nan'), not 'none'."),
    ],
)
def test_messages(given, text):
    with pytest.raises(InvalidArgument) as caught:
        check(given)
    assert text in str(caught.value)


def test_arguments_may_be_left_out_where_a_function_says_so():
    assert check({"model": None, "device": None, "n": 3}, optional=("model", "device")) == {
        "model": None, "device": None, "n": 3,
    }  # fmt: skip
    with pytest.raises(InvalidArgument, match="n must be"):
        check({"n": None}, optional=("model",))
    with pytest.raises(InvalidArgument, match="model must be"):
        check({"model": 3}, optional=("model",))
    assert check({"another": 3}) == {"another": 3}


def test_every_argument_of_sample_is_checked(model):
    signature = inspect.signature(bayesr.sample).parameters
    assert set(signature) - {"img"} <= set(GOOD) and set(GOOD) == set(BAD) == set(arguments._CHECKS)
    defaults = {name: one.default for name, one in signature.items() if name != "img"}
    assert check(defaults) == defaults
    assert check({"model": model})["model"] is model
    assert check({"forward_operator": (ds := xr.Dataset())})["forward_operator"] is ds


def test_clusters_of_dask():
    class Cluster:
        __module__, __qualname__ = "distributed.deploy.cluster", "Cluster"

    class Slurm(Cluster):
        pass

    assert isinstance(check({"cluster": Slurm()})["cluster"], Slurm)


@given(st.floats(allow_nan=True))
def test_fractions_lie_between_0_and_1(value):
    if 0 < value < 1:
        assert arguments.fraction("level", value) == value
    else:
        with pytest.raises(InvalidArgument):
            arguments.fraction("level", value)


def test_windows_are_pairs_of_slices():
    whole = slice(None)
    for good in ((whole, slice(2, 4)), [slice(np.int64(1), None, 1), whole]):
        assert arguments.window("window", good) == tuple(good)
    assert arguments.window("window", None) is None
    for bad in (5, slice(2), (1, 2), (whole,), (whole, slice(0, 8, 2)), (whole, slice("a", "b")), (slice(1.0), whole)):
        with pytest.raises(InvalidArgument, match="window must be a pair of slices"):
            arguments.window("window", bad)


def test_paths_and_flags():
    assert arguments.path("out", "a/b.html") == Path("a/b.html") and arguments.flag("raw", np.bool_(True)) is True
    for bad in (5, None, "", b"a"):
        with pytest.raises(InvalidArgument, match="out must be the path of a file, not"):
            arguments.path("out", bad)
    with pytest.raises(InvalidArgument, match="raw must be True or False, not 1"):
        arguments.flag("raw", 1)
    with pytest.raises(InvalidArgument, match=r"quantisation_step must be the step, not -1\.0"):
        arguments.number("quantisation_step", -1.0, "the step", lambda real: real >= 0)
