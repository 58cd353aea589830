import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bayesr.segmentation.objects import Objects, interval

SIZE = (40, 50)


def disc(y, x, radius, number=1):
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    return np.where((rows - y) ** 2 + (columns - x) ** 2 <= radius**2, number, 0).astype(np.int32)


def table(members, overlap=0.5):
    found = Objects(overlap)
    rng = np.random.default_rng(0)
    images = rng.random((len(members), 2, *SIZE), dtype=np.float32)
    for i, (labels, image) in enumerate(zip(members, images, strict=True)):
        found.add(i, labels, image)
    return found.table(len(members), 2, SIZE), images


THREE = disc(10, 10, 6, 1) + disc(10, 35, 5, 2) + disc(30, 20, 7, 3)


@given(numbers=st.lists(st.permutations([1, 2, 3]), min_size=1, max_size=5), offset=st.sampled_from([0, 7, 10**8]))
def test_label_numbers_do_not_matter(numbers, offset):
    members = [np.where(THREE > 0, np.array([0, *order])[THREE] + offset, 0).astype(np.int32) for order in numbers]
    found, images = table(members)
    assert found["existence"].tolist() == [1, 1, 1] and (found["count"] == 3).all()
    for number in (1, 2, 3):  # in the order of their centres, row by row
        assert (found["area"][:, number - 1] == (number == THREE).sum()).all()
        np.testing.assert_allclose(
            found["intensity"][:, number - 1], images[:, :, number == THREE].mean(-1, dtype=np.float64)
        )
    np.testing.assert_array_equal(found["labels"], THREE)
    np.testing.assert_allclose(found["centre"], [(10, 10), (10, 35), (30, 20)], atol=1e-9)


def test_an_object_that_moves_slightly_is_matched():
    found, _ = table([disc(20, 20 + shift, 6) for shift in (0, 1, 2, 1, 0)])
    assert found["existence"].tolist() == [1]
    assert np.unique(found["labels"]).tolist() == [0, 1]


def test_an_object_at_another_place_is_not_matched():
    found, _ = table([disc(20, 10, 5), disc(20, 40, 5), disc(20, 10, 5), disc(20, 10, 5)])
    assert found["existence"].tolist() == [0.75, 0.25]
    assert np.isnan(found["area"][1, 0]) and np.isfinite(found["area"][1, 1])
    np.testing.assert_array_equal(found["labels"] > 0, disc(20, 10, 5) > 0)  # what one in four sees is not shown


def test_one_or_two_objects_are_listed_with_their_existence():
    two = disc(20, 15, 6, 1) + disc(20, 28, 6, 2)
    one = (two > 0).astype(np.int32)
    found, _ = table([two, one, two, two, one])
    assert sorted(found["existence"].tolist()) == [0.4, 0.6, 0.6]
    assert found["count"].tolist() == [2, 1, 2, 2, 1]
    assert len(np.unique(found["labels"])) == 3


def test_the_order_of_members_does_not_matter_for_clear_objects():
    rng = np.random.default_rng(1)
    members = [disc(10 + a, 12, 6, 1) + disc(28, 36 + b, 6, 2) for a, b in rng.integers(-1, 2, (7, 2))]
    order = rng.permutation(7)
    first, second = (table(list(ms))[0] for ms in (members, [members[i] for i in order]))
    np.testing.assert_array_equal(first["area"][order], second["area"])
    np.testing.assert_array_equal(first["labels"], second["labels"])


def test_no_objects_at_all():
    found, _ = table([np.zeros(SIZE, np.int32)] * 3)
    assert found["existence"].size == 0 and found["area"].shape == (3, 0) and not found["labels"].any()
    assert found["count"].tolist() == [0, 0, 0]


@pytest.mark.parametrize("level", [0.5, 0.8])
def test_intervals_contain_one_more_draw_with_the_nominal_probability(level):
    draws = np.random.default_rng(2).standard_normal((20, 20000))
    lower, upper = interval(draws[:-1], level)
    share = np.mean((draws[-1] >= lower) & (draws[-1] <= upper))
    assert abs(share - level) < 4 * np.sqrt(level * (1 - level) / draws.shape[1])


def test_intervals_ignore_missing_draws():
    values = np.array([[1.0, np.nan, np.nan], [2.0, 5.0, np.nan], [3.0, np.nan, np.nan], [4.0, 6.0, np.nan]])
    lower, upper = interval(values, 0.5)
    assert (lower[0], upper[0]) == pytest.approx((1.25, 3.75)) and (lower[1], upper[1]) == pytest.approx((5.0, 6.0))
    assert np.isnan([lower[2], upper[2]]).all()
