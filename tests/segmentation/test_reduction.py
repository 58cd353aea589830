import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bayesr.segmentation.reduction import Agreement, entropy

shares = arrays(np.float32, (5, 3, 4), elements=st.floats(0, 1, width=32))


def agreed(maps, threshold=0.5):
    agreement = Agreement()
    for p in maps:
        agreement.add(p)
    return agreement.variables(threshold)


@given(shares)
def test_mutual_information_lies_between_zero_and_the_entropy(maps):
    found = agreed(maps)
    assert (found["mutual_information"] >= 0).all()
    assert (found["mutual_information"] <= found["entropy"] + 1e-6).all()
    assert (found["entropy"] <= np.log(2) + 1e-6).all()
    np.testing.assert_allclose(found["probability"], maps.mean(0), atol=1e-6)


@given(shares)
def test_equal_members_have_no_mutual_information(maps):
    found = agreed([maps[0]] * 4)
    np.testing.assert_allclose(found["mutual_information"], 0, atol=1e-6)


def test_entropy_of_binary_masks_is_mutual_information():
    found = agreed(np.array([[[0.0, 1.0]], [[1.0, 1.0]]], np.float32))
    np.testing.assert_allclose(found["entropy"], [[np.log(2), 0]], atol=1e-6)
    np.testing.assert_allclose(found["mutual_information"], found["entropy"], atol=1e-6)


@given(shares)
def test_two_classes_are_foreground_and_background(maps):
    binary, classes = agreed(maps), agreed(np.stack([1 - maps, maps], 1))
    for name in ("entropy", "mutual_information"):
        np.testing.assert_allclose(binary[name], classes[name], atol=1e-5)
    clear = np.abs(binary["probability"] - 0.5) > 1e-5
    np.testing.assert_array_equal(binary["mask"][clear], classes["mask"][clear])


def test_pixels_without_data_stay_nan():
    maps = np.full((2, 1, 2), 0.5, np.float32)
    maps[:, 0, 0] = np.nan
    found = agreed(maps)
    for name in ("probability", "entropy", "mutual_information"):
        assert np.isnan(found[name][0, 0]) and np.isfinite(found[name][0, 1])


def test_entropy_follows_its_formula():
    p = np.array([[0.1, 0.5]])
    np.testing.assert_allclose(entropy(p), -p * np.log(p) - (1 - p) * np.log(1 - p))
