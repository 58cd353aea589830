import numpy as np
import pytest

from bayesr.calibration.plain import known, mapping, number, numbers, text, whole
from bayesr.errors import InvalidModel


def test_valid_values_are_returned():
    assert (
        whole("n", 5, 1, 5) == 5
        and number("x", 3) == 3.0
        and text("t", "a") == "a"
        and mapping("m", {"a": 1})["a"] == 1
    )
    np.testing.assert_array_equal(numbers("v", [1, 2.5], 2), [1.0, 2.5])
    known("v", [None, 0.5], 2, 0)


@pytest.mark.parametrize(
    ("check", "value"),
    [
        *[(whole, value) for value in (True, 1.0, "1", -1, 10**13, None)],
        *[(number, value) for value in (True, float("nan"), float("inf"), 10**400, "1", None)],
        *[(numbers, value) for value in (5, "12", [1, "a"], [float("nan")], [[1]])],
        *[(mapping, value) for value in (None, [], 5)],
        *[(text, value) for value in (None, 5, ["a"])],
    ],
)
def test_other_values_are_refused_by_name(check, value):
    with pytest.raises(InvalidModel, match=r"^part\.entry"):
        check("part.entry", value)


def test_lengths_and_bounds():
    with pytest.raises(InvalidModel, match="v must have 2 values"):
        numbers("v", [1], 2)
    with pytest.raises(InvalidModel, match=r"v\[1\] must be a number from 0 to 1"):
        numbers("v", [1, 2], 2, 0, 1)
    for values in ([None, -1], [1], 5):
        with pytest.raises(InvalidModel, match=r"^v"):
            known("v", values, 2, 0)
    with pytest.raises(InvalidModel) as refused:
        text("t", ["a" * 1000])
    assert len(str(refused.value)) < 120
