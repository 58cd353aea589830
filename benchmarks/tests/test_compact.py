import pytest

from bayesr.training.recipes import names, recipe
from bayesr_bench.compact import BATCH, PATCH, compact


@pytest.mark.parametrize("name", names())
def test_compact_recipes_differ_in_size_alone(name):
    whole = recipe(name)
    small = compact(whole)
    assert small.patch == PATCH and {stage.batch for stage in small.stages} == {BATCH}
    assert [stage.name for stage in small.stages] == [stage.name for stage in whole.stages]
    assert (
        small.discriminators is whole.discriminators
        and small.helpers is whole.helpers
        and small.consistent == whole.consistent
    )
    for option in ("backbone", "head", "output", "latent", "head_blocks", "networks", "interpolation"):
        assert small.network.get(option) == whole.network.get(option)
    if "width" in whole.network:
        assert small.network["width"] < whole.network["width"]
    for before, after in zip(whole.stages, small.stages, strict=True):
        assert after.rate == before.rate if before.discriminator else after.rate >= before.rate
