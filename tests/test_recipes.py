import pytest

from bayesr.errors import TrainingFailed
from bayesr.training.loop import with_steps
from bayesr.training.recipes import RECIPES, recipe
from tests.conftest import TINY


def test_recipes():
    assert recipe("bayes-srgan") is RECIPES["bayes-srgan"]
    with pytest.raises(TrainingFailed, match="bayes-srgan"):
        recipe("nothing")
    with pytest.raises(TrainingFailed, match="No stage"):
        with_steps(TINY, {"warm-up": 3})
