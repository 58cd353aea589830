import dataclasses
import pickle

import pytest
import torch

from bayesr.errors import TrainingFailed
from bayesr.training.adjusting import ENDLESS, with_duration, with_schedule, with_steps
from bayesr.training.adversarial import LOGISTIC
from bayesr.training.recipe import Adversary, Recipe, Stage, patch_discriminator


@pytest.mark.parametrize(
    ("weights", "trains"),
    [({}, False), ({"features": 0.1}, True), ({"adversarial": 0.1}, True), ({"patches": {4: 1.0}}, False)],
)
def test_a_stage_trains_discriminators_if_it_uses_them(weights, trains):
    assert Stage("score", 10, 1e-3, **weights).discriminator == trains


def test_recipes_cannot_be_changed_by_accident():
    recipe = Recipe("tiny", {"width": 8}, (Stage("fidelity", 3, 1e-3),))
    with pytest.raises(dataclasses.FrozenInstanceError):
        recipe.patch = 8
    for defaults in (recipe.discriminators, recipe.helpers, recipe.stages[0].patches, recipe.stages[0].terms):
        with pytest.raises(TypeError):
            defaults["new"] = 1
    assert dataclasses.replace(recipe, patch=8).patch == 8 and recipe.patch == 32


def test_the_usual_discriminator_is_conditional():
    ((name, adversary),) = Recipe("tiny", {}, ()).discriminators.items()
    assert name == "critic" and adversary.adversarial_loss is LOGISTIC and adversary.network is patch_discriminator
    assert pickle.loads(pickle.dumps(adversary)) == Adversary(patch_discriminator)
    network = patch_discriminator(3, 4)
    logits, features = network(torch.rand(2, 3, 32, 32), torch.rand(2, 3, 32, 32))
    assert len(logits) == 2 and features


TWO = Recipe("two", {}, (Stage("fidelity", 30, 1e-3, members=0), Stage("score", 10, 1e-3, members=3)))


def test_a_duration_is_divided_by_what_stages_cost():
    first, second = with_duration(TWO, 60.0).stages
    assert (first.seconds, second.seconds) == (30.0, 30.0) and first.steps == second.steps == ENDLESS
    first, second = with_duration(TWO, {"score": 5, "fidelity": 0}).stages
    assert (first.steps, first.seconds, second.seconds) == (0, None, 5)
    assert with_duration(TWO, {"score": 5}).stages[0] == TWO.stages[0]


def test_steps_replace_a_duration():
    timed = with_duration(TWO, 60.0)
    assert with_steps(timed, {"fidelity": 30, "score": 10}) == TWO


def test_a_schedule_is_of_all_stages_and_stages_are_known():
    assert [stage.schedule for stage in with_schedule(TWO, "wsd").stages] == ["wsd", "wsd"]
    for change in (lambda: with_steps(TWO, {"scores": 3}), lambda: with_duration(TWO, {"scores": 3.0})):
        with pytest.raises(TrainingFailed, match="No stage scores"):
            change()
    with pytest.raises(TrainingFailed, match="cannot train 'tail'"):
        dataclasses.replace(TWO.stages[0], trained="tail")
    with pytest.raises(TrainingFailed, match="dropout rates are fixed"):
        dataclasses.replace(TWO.stages[0], trained="dropout", fixed_dropout=True)
