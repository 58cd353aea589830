"""Rounding of stored numbers."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bayesr.store.values import BITS, stored_form

NUMBERS = st.floats(-(2.0**99), 2.0**99, width=32).filter(lambda x: x == 0 or abs(x) > 2.0**-99)


@given(arrays(np.float32, (3, 4), elements=NUMBERS), st.integers(1, BITS[4]))
def test_rounded_to_the_nearest_number_of_so_many_bits(values, bits):
    found = stored_form(values, bits)
    assert not (found.view(np.uint32) & np.uint32((1 << (BITS[4] - bits)) - 1)).any()
    exponent = np.floor(np.log2(np.abs(values, where=values != 0, out=np.ones_like(values)).astype(np.float64)))
    assert (np.abs(found.astype(np.float64) - values) <= 2.0 ** (exponent - bits - 1)).all()
    np.testing.assert_array_equal(stored_form(found, bits), found)


@given(arrays(np.float32, (3, 4), elements=st.floats(width=32, allow_nan=True, allow_infinity=False)))
def test_equal_values_are_equal_bytes(values):
    given_, other = values.copy(), np.asfortranarray(values)
    other.view(np.uint32)[np.isnan(other)] |= 0x80000001  # another kind of NaN
    assert stored_form(values).tobytes() == stored_form(other).tobytes()
    np.testing.assert_array_equal(stored_form(values), values)
    assert values.tobytes() == given_.tobytes(), "what is given is left as it is"


@given(arrays(np.float64, 5, elements=st.floats(-1e300, 1e300)), st.integers(1, BITS[8]))
def test_double_precision_is_rounded_to_so_many_bits(values, bits):
    found = stored_form(values, bits)
    assert found.dtype == np.float64 and not (found.view(np.uint64) & np.uint64((1 << (BITS[8] - bits)) - 1)).any()
    np.testing.assert_allclose(found, values, rtol=2.0**-bits, atol=1e-300)
    np.testing.assert_array_equal(stored_form(values), values)
