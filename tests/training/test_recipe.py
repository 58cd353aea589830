import dataclasses
import pickle

import pytest
import torch

from bayesr.errors import TrainingFailed
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


def test_what_a_stage_trains_is_known():
    with pytest.raises(TrainingFailed, match="cannot train 'backbone'"):
        Stage("score", 10, 1e-3, trained="backbone")
