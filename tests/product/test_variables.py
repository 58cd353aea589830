import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bayesr.errors import InvalidArgument
from bayesr.product import MAPS, MASK_MEANS, SAMPLES, bytes_per_pixel, choose_variables, leading_shape

NAMES = (*MAPS, SAMPLES)


@given(st.lists(st.sampled_from(NAMES), min_size=1), st.sampled_from([None, True]), st.booleans())
def test_chosen_variables_are_those_named_in_the_order_of_products(names, keep, in_memory):
    chosen = choose_variables(names, keep, in_memory=in_memory)
    assert set(chosen) == set(names) | ({SAMPLES} if keep else set())
    assert list(chosen) == sorted(chosen, key=NAMES.index) and len(set(chosen)) == len(chosen)


@pytest.mark.parametrize("in_memory", [True, False])
@pytest.mark.parametrize("keep", [True, False, None])
def test_by_default_all_maps_and_in_memory_the_members(keep, in_memory):
    chosen = choose_variables(None, keep, in_memory=in_memory)
    assert chosen[: len(MAPS)] == MAPS
    assert (SAMPLES in chosen) == (in_memory if keep is None else keep)


def test_one_name_needs_no_list():
    assert choose_variables("mean", None, in_memory=True) == ("mean",)


@pytest.mark.parametrize(
    ("variables", "keep", "message"),
    [(["mean", "mode"], None, "'mode'"), ([], None, "some of"), ([MASK_MEANS], None, "mask_means"),
     (["samples"], False, "contradict")],
)  # fmt: skip
def test_unknown_and_contradictory_names_are_refused(variables, keep, message):
    with pytest.raises(InvalidArgument, match=message):
        choose_variables(variables, keep, in_memory=True)


@given(st.integers(1, 100), st.integers(1, 100))
def test_leading_axes(n, masks):
    assert all(leading_shape(name, n, masks) == () for name in MAPS)
    assert leading_shape(SAMPLES, n, masks) == (n,) and leading_shape(MASK_MEANS, n, masks) == (masks - 1,)


@given(st.lists(st.sampled_from((*NAMES, MASK_MEANS)), unique=True), st.integers(1, 50), st.integers(1, 50))
def test_bytes_are_those_of_single_precision(names, n, masks):
    assert bytes_per_pixel(names, n, masks) == sum(4 * math.prod(leading_shape(name, n, masks)) for name in names)
