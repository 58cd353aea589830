from __future__ import annotations

import pytest

from bayesr.errors import TrainingFailed
from bayesr.recipes import names, recipe
from bayesr.training.loop import with_steps
from tests.conftest import TINY


def test_recipes_are_found_by_name_file_and_themselves(tmp_path):
    assert recipe("bayes-srgan").name == "bayes-srgan" and recipe(TINY) is TINY
    assert all(recipe(name).name == name for name in names())
    with pytest.raises(TrainingFailed, match="bayes-srgan"):
        recipe("nothing")
    with pytest.raises(TrainingFailed, match="no recipe file"):
        recipe(tmp_path / "mine.py")
    (tmp_path / "mine.py").write_text("RECIPE = 3")
    with pytest.raises(TrainingFailed, match="RECIPE = Recipe"):
        recipe(str(tmp_path / "mine.py"))
    with pytest.raises(TrainingFailed, match="No stage"):
        with_steps(TINY, {"sleep": 3})
