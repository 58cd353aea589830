import json
from dataclasses import fields
from math import isfinite

import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from bayesr.errors import InvalidProduct
from bayesr.product import Provenance, extended_history, history_entry
from bayesr.version import __version__

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
TEXTS = st.text(max_size=8)
PROVENANCES = st.builds(
    Provenance,
    model=TEXTS,
    model_sha256=TEXTS,
    input_sha256=TEXTS,
    scale=st.integers(1, 8),
    n=st.integers(1, 100).map(lambda k: 12 * k),
    masks=st.sampled_from([1, 2, 3, 4, 6, 12]),
    seed=st.integers(0, 2**64 - 1),
    level=st.floats(0.01, 0.99),
    value_range=st.tuples(NUMBERS, NUMBERS).filter(lambda ends: ends[0] < ends[1] and isfinite(ends[1] - ends[0])),
    quantisation_step=st.sampled_from([0.0, 1.0]),
    forward_operator=st.dictionaries(TEXTS, NUMBERS | TEXTS, max_size=3),
    engine=st.fixed_dictionaries({"tile": st.integers(1, 999), "device": st.sampled_from(["cpu", "cuda"])}),
    calibration_source=TEXTS,
    input=st.fixed_dictionaries({"dims": st.none() | st.just(["y", "x"]), "nodata": st.none() | NUMBERS}),
    input_check=TEXTS,
    history=TEXTS,
    bayesr_version=TEXTS,
    forward_operators=st.sampled_from([(), ({"kernel": "gaussian", "scale": 4, "sigma": 1.7},)]),
)
NEEDED = {
    "model", "model_sha256", "input_sha256", "scale", "n", "masks", "seed", "level", "value_range", "forward_operator",
    "engine", "input",
}  # fmt: skip


@pytest.fixture
def attrs():
    made = Provenance(
        "tiny", "0" * 64, "1" * 64, 4, 8, 2, 3, 0.9, (0.0, 255.0), 1.0, {"kernel": "bicubic"},
        {"tile": 16, "device": "cpu"}, "sixty images", {"dims": None, "nodata": None}, "as in calibration", "",
    )  # fmt: skip
    return made.attrs()


@given(PROVENANCES)
def test_attributes_are_read_back(provenance):
    attrs = provenance.attrs()
    assert Provenance.from_attrs(attrs) == provenance
    assert Provenance.from_dataset(xr.Dataset(attrs=attrs)) == provenance
    assert len(attrs) == len(fields(provenance)) - (not provenance.forward_operators)


@given(PROVENANCES)
def test_attributes_are_what_netcdf_and_zarr_can_store(provenance):
    for value in provenance.attrs().values():
        assert isinstance(value, str | int | float | list)
    assert json.loads(json.dumps(provenance.attrs())) == provenance.attrs()


@given(PROVENANCES)
def test_parts_are_read_from_the_attributes_that_hold_them(provenance):
    assert provenance.tile == provenance.engine["tile"] and provenance.device == provenance.engine["device"]
    assert provenance.nodata == provenance.input["nodata"]


def test_a_missing_attribute_is_named_unless_it_only_describes(attrs):
    for name in attrs:
        others = {key: value for key, value in attrs.items() if key != name}
        if name in NEEDED:
            with pytest.raises(InvalidProduct, match=f"lacks the attribute '{name}'"):
                Provenance.from_attrs(others)
        else:
            assert Provenance.from_attrs(others).n == 8, name
    assert set(attrs) - NEEDED == {
        "history", "bayesr_version", "quantisation_step", "calibration_source", "input_check",
    }  # fmt: skip


@pytest.mark.parametrize(
    "damaged", [{"n": "many"}, {"engine": "{"}, {"value_range": 3}, {"value_range": [1, 2, 3]}, {"input": None}]
)
def test_damaged_attributes_are_refused(attrs, damaged):
    with pytest.raises(InvalidProduct, match="Open the product again"):
        Provenance.from_attrs(attrs | damaged)


def test_the_history_has_a_line_for_each_call():
    first = extended_history({}, "sample(n=4)")
    both = extended_history({"history": first}, "extend(n=8)")
    assert both.splitlines()[0] == first and both.splitlines()[1].endswith(f" bayesr {__version__}: extend(n=8)")
    assert history_entry("a")[10] == "T" and len(both.splitlines()) == 2
