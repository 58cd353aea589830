import pytest

from bayesr.sampling.plan import Plan, default_masks


def test_default_masks():
    assert [default_masks(n) for n in (1, 2, 3, 4, 6, 8, 16, 32, 128, 7)] == [1, 1, 1, 2, 3, 4, 8, 8, 8, 1]
    assert default_masks(32, max_masks=5) == 4


@pytest.mark.parametrize(("n", "masks", "first"), [(12, 3, 0), (8, 1, 0), (12, 4, 8)])
@pytest.mark.parametrize("pixels", [100, 10**6])
def test_every_member_is_in_one_batch_of_its_mask(n, masks, first, pixels):
    plan = Plan(n, masks, 0, 16, first)
    batches = list(plan.batches(pixels))
    assert sorted(i for _, members in batches for i in members) == list(range(first, n))
    assert all(i % masks == mask for mask, members in batches for i in members)
    assert plan.drawn == n - first
