"""The schema of attributes: what is refused, and that NumPy's numbers are plain ones."""

import json

import numpy as np
import pytest
import xarray as xr

from bayesr.errors import InvalidProduct
from bayesr.product import Provenance, canonical, schema

GOOD = Provenance(
    "tiny", "0" * 64, "1" * 64, 4, 8, 2, 3, 0.9, (0.0, 255.0), 1.0, {"kernel": "bicubic"},
    {"tile": 16, "device": "cpu"}, "", {"dims": None, "nodata": None, "per_band": False, "bounds": [0, 255]}, "", "",
).attrs() | {"tile": 16, "nodata": "null", "keepbits": None, "next": 16}  # fmt: skip

_ENGINE, _INPUT = {"tile": 16, "device": "cpu"}, {"dims": None, "nodata": None}
BAD = {
    "scale": [0, -4, 4.5, "4", None, 10**6, True],
    "n": ["x", 0, -1, 7, 1e300, float("nan"), 2**31, [8]],
    "masks": [0, -2, 3, "2", None],
    "seed": [-1, 2**64, "0", 0.5],
    "level": [0, 1, "0.9", float("nan"), None],
    "value_range": [3, [1, 2, 3], [2, 1], [0, float("inf")], ["a", "b"], "01", [-1e308, 1e308], None],
    "quantisation_step": ["x", -1, None],
    "engine": [
        "{",
        "[]",
        "3",
        "{}",
        *(json.dumps(_ENGINE | bad) for bad in ({"tile": 0}, {"tile": "x"}, {"device": 1})),
    ],
    "forward_operator": ["", "[" * 100_000, "[]", None],
    "input": [
        None,
        "null",
        "{}",
        *(json.dumps(_INPUT | bad) for bad in ({"dims": 3}, {"nodata": "x"}, {"bounds": [1]})),
    ],
    "model": [None, 3],
    "input_sha256": [0],
    "history": [["a"], 3],
    "tile": [0, "16", None],
    "nodata": ["x", "[]", None, 0],
    "keepbits": [0, 99, "x"],
    "next": [0, "x", None],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in BAD.items() for value in values])
def test_what_is_out_of_type_or_range_is_refused(name, value):
    with pytest.raises(InvalidProduct, match="are not those that bayesr"):
        schema.checked(GOOD | {name: value})


def test_attributes_of_older_products_are_read_under_their_present_names():
    older = {key: value for key, value in GOOD.items() if key not in schema.FORMER}
    older |= {former: GOOD[name] for name, former in schema.FORMER.items()}
    assert schema.checked(older) == schema.checked(GOOD)
    assert schema.checked(GOOD | {"quantum": 9.0}) == schema.checked(GOOD)
    with pytest.raises(InvalidProduct, match="quantum must be 0 or more"):
        schema.checked(older | {"quantum": -1})


def test_what_is_written_is_read_as_plain_values():
    found = schema.checked(GOOD | {"another": object()})
    assert found.keys() == GOOD.keys()
    assert found["input"] == {"dims": None, "nodata": None, "per_band": False, "bounds": (0.0, 255.0)}
    assert found["value_range"] == (0.0, 255.0) and found["nodata"] is None and found["next"] == 16


def test_numpys_numbers_are_numbers():
    found = schema.checked({"n": np.int64(8), "level": np.float64(0.5), "value_range": np.array([0, 1]), "scale": 4.0})
    assert found == {"n": 8, "level": 0.5, "value_range": (0.0, 1.0), "scale": 4}
    assert all(type(found[name]) is int for name in ("n", "scale"))


def test_every_product_that_is_taken_has_its_attributes_checked():
    axis = ("x", np.arange(4.0))
    ds = xr.Dataset({"mean": (("band", "y", "x"), np.zeros((1, 4, 4)))}, {"y": ("y", axis[1]), "x": axis})
    assert canonical(ds.assign_attrs(n=8, masks=2)).attrs["n"] == 8
    with pytest.raises(InvalidProduct, match="masks must be a whole number"):
        canonical(ds.assign_attrs(n=8, masks=0))
