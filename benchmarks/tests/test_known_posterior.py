"""Recipes on problems whose posterior is known."""

import dataclasses

import numpy as np
import pytest
import torch

from bayesr.errors import InvalidArgument
from bayesr.training.loop import Trainer
from bayesr_bench.known_posterior import ENTRIES, draw, load_or_train
from bayesr_bench.problems import GaussianField, Mixture
from tests.conftest import TINY


def test_a_stored_model_is_used_again_with_the_same_settings_only(tmp_path):
    problem = GaussianField()
    first, seconds = load_or_train(ENTRIES[3], "gaussian", problem, 1, 0, tmp_path)
    (file,) = tmp_path.iterdir()
    assert file.name == "posterior-gaussian-l1-sd-reward-rcgan.safetensors"
    again, same = load_or_train(ENTRIES[3], "gaussian", problem, 1, 0, tmp_path)
    assert same == seconds
    low, _ = problem.batch(1, torch.Generator().manual_seed(0))
    one, other = (draw(model, low, 2, None)[0] for model in (first, again))
    np.testing.assert_array_equal(one, other)
    for steps, seed in ((2, 0), (1, 1)):
        with pytest.raises(InvalidArgument, match="other terms"):
            load_or_train(ENTRIES[3], "gaussian", problem, steps, seed, tmp_path)


def test_dropout_is_wider_with_fewer_data():
    """The cost of masks is proportional to 1 / N, and endless data make it 0; alpha stays at most 1."""
    recipe = dataclasses.replace(ENTRIES[0].recipe(40), network=TINY.network | {"gaussian_dropout": True})
    cost, learnt = [], []
    for scenes in (4, 4000, None):
        trainer = Trainer(recipe, GaussianField(size=4, scenes=scenes))
        cost.append(trainer._dropout_cost(torch.ones(3)).item())
        while trainer.step < trainer.steps:
            trainer.advance()
        learnt.append(trainer.generator.head.dropout_logit.detach())
        assert learnt[-1].max() <= 0
    assert learnt[0].mean() > learnt[1].mean() and learnt[0].mean() > learnt[2].mean()
    assert cost[0] == pytest.approx(1000 * cost[1]) and cost[2] == 0


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
@pytest.mark.parametrize("problem", [GaussianField(size=4, scenes=4), Mixture(size=6)], ids=["field", "mixture"])
def test_every_loss_trains_on_problems_with_a_known_posterior(entry, problem):
    small = dict(width=8, blocks=1, head_width=8, head_blocks=2, latent=2)
    recipe = dataclasses.replace(entry.recipe(4), network=small | entry.network)
    trainer = Trainer(recipe, problem)
    before = {name: value.clone() for name, value in trainer.generator.named_parameters()}
    while trainer.step < trainer.steps:
        assert all(np.isfinite(value) for value in trainer.advance().values())
    moved = {n for n, p in trainer.generator.named_parameters() if p.requires_grad and not torch.equal(p, before[n])}
    assert {"up.weight", "backbone.head.weight"} <= moved
    assert any(name.startswith("head.") for name in moved)
