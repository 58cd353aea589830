import pytest

from bayesr.sampling.plan import Plan, default_masks


def test_default_masks():
    assert [default_masks(n) for n in (1, 2, 3, 4, 6, 8, 16, 32, 128, 7)] == [1, 1, 1, 2, 3, 4, 8, 8, 8, 1]
    assert default_masks(32, max_masks=5) == 4


@pytest.mark.parametrize(("n", "masks", "first"), [(12, 3, 0), (8, 1, 0), (12, 4, 8)])
@pytest.mark.parametrize("pixels", [100, 10**6])
@pytest.mark.parametrize("capacity", [None, 1, 300, 700, 10**7])
def test_every_member_is_in_one_batch_under_its_mask(n, masks, first, pixels, capacity):
    plan = Plan(n, masks, 0, 16, first)
    batches = list(plan.batches(pixels, capacity))
    groups = [group for batch in batches for group in batch]
    assert sorted(i for _, members in groups for i in members) == list(range(first, n))
    assert all(members and i % masks == mask for mask, members in groups for i in members)
    assert [mask for mask, _ in groups] == sorted(mask for mask, _ in groups)
    assert plan.new_members == n - first
    sizes = [sum(len(members) for _, members in batch) for batch in batches]
    if capacity is None:
        assert all(len(batch) == 1 for batch in batches) and max(sizes) <= 4
    else:
        assert max(sizes) <= max(1, capacity // pixels) and set(sizes[:-1]) <= {max(sizes)}
