"""Scenario: the script that trains the bundled models of instruments states what their cards state."""

from pathlib import Path
from runpy import run_path

import bayesr

SCRIPT = run_path(str(Path(__file__).parents[1] / "train_models.py"))


def test_bundled_models_are_those_of_the_script():
    bundled = {info.name for info in bayesr.models()} & SCRIPT["TRAININGS"].keys()
    assert bundled
    for name in bundled:
        training, model = SCRIPT["TRAININGS"][name], bayesr.load(name)
        assert {key: model.card[key] for key in training.card} == dict(training.card)
        assert model.card["degradation"] == training.degradation.describe()
        assert (model.scale, model.bands) == (training.scale, training.bands)
        assert round(model.card["seconds"] / 60) == sum(training.minutes.values())
        recipe = SCRIPT["recipe_for"](training)
        assert model.card["recipe"] == recipe.name
        assert model.card["steps"].keys() == {stage.name for stage in recipe.stages} == training.minutes.keys()
