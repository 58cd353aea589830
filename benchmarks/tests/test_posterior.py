"""The table of exact posteriors, and its recipes on the problems it trains on."""

import dataclasses

import numpy as np
import pytest
import torch

from bayesr.errors import InvalidArgument
from bayesr.training.loop import Trainer
from bayesr.training.problems import GaussianField, Mixture
from bayesr_bench.tables.posterior import ROWS, at_hand, drawn, eigenvalues, figures, mixture_rows, spread_map_error
from tests.conftest import TINY


@pytest.fixture(scope="module")
def field():
    problem = GaussianField()
    low, high = problem.batch(40, torch.Generator().manual_seed(0))

    def draw(seed):
        return problem.posterior(low, 24, torch.Generator().manual_seed(seed)).transpose(0, 1).float().numpy()

    return problem, high.numpy(), draw


def test_exact_samples_score_as_exact_samples_do(field):
    problem, truth, draw = field
    one, other = figures(draw(1), truth), figures(draw(2), truth)
    for name in one:
        assert one[name] == pytest.approx(other[name], rel=0.02), name
    assert spread_map_error(draw(1), problem.posterior_variance.sqrt().numpy()) < 0.05


def test_eigenvalues_see_what_pixels_do_not(field):
    """Members whose pixels are shuffled between each other keep every marginal and lose all correlation."""
    problem, truth, draw = field
    right = draw(1)
    order = np.random.default_rng(0).random(right.shape).argsort(0)
    shuffled = np.take_along_axis(right, order, 0)
    a, b = figures(right, truth), figures(shuffled, truth)
    assert b["fair CRPS"] == pytest.approx(a["fair CRPS"], rel=1e-6)
    assert b["energy score"] < 1.01 * a["energy score"], "the energy score barely does"
    assert eigenvalues(shuffled)[0] < 0.5 * eigenvalues(right)[0]
    index = torch.arange(problem.side**2).reshape(problem.side, -1)[12:20, 12:20].flatten()
    exact = np.linalg.eigvalsh(problem.posterior_covariance[index][:, index].numpy())[::-1][:10]
    np.testing.assert_allclose(eigenvalues(right), exact, rtol=0.25)


def test_a_table_of_mixtures_has_a_row_a_recipe():
    table = mixture_rows(ROWS[1:2], steps=2, scenes=4, n=4, seed=0)
    exact, trained = table
    assert exact["fair CRPS"] == exact["variance"] == 1 and exact["distance to the nearest candidate"] == 0
    assert 0 < exact["total variation"] < 0.1
    assert trained["fair CRPS"] > 1 and trained["total variation"] > exact["total variation"]


def test_trained_models_are_kept_and_measured_again_on_the_same_terms_alone(tmp_path):
    problem = GaussianField()
    first, seconds = at_hand(ROWS[3], "gaussian", problem, 1, 0, tmp_path)
    (file,) = tmp_path.iterdir()
    assert file.name == "posterior-gaussian-l1-sd-reward-rcgan.safetensors"
    again, same = at_hand(ROWS[3], "gaussian", problem, 1, 0, tmp_path)
    assert same == seconds
    low, _ = problem.batch(1, torch.Generator().manual_seed(0))
    one, other = (drawn(model, low, 2, None)[0] for model in (first, again))
    np.testing.assert_array_equal(one, other)
    for steps, seed in ((2, 0), (1, 1)):
        with pytest.raises(InvalidArgument, match="other terms"):
            at_hand(ROWS[3], "gaussian", problem, steps, seed, tmp_path)


def test_masks_are_as_wide_as_the_data_are_few():
    """The pull on alpha is P / N; it stops at 1, and endless data do not pull at all."""
    what = dataclasses.replace(ROWS[0].recipe(40), network=TINY.network | {"gaussian_dropout": True})
    ignorance, learnt = [], []
    for scenes in (4, 4000, None):
        trainer = Trainer(what, GaussianField(size=4, scenes=scenes))
        ignorance.append(trainer._ignorance(trainer.generator.head).item())
        while trainer.step < trainer.steps:
            trainer.advance()
        learnt.append(trainer.generator.head.dropout_logit.detach())
        assert learnt[-1].max() <= 0
    assert learnt[0].mean() > learnt[1].mean() and learnt[0].mean() > learnt[2].mean()
    assert ignorance[0] == pytest.approx(1000 * ignorance[1]) and ignorance[2] == 0


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
@pytest.mark.parametrize("problem", [GaussianField(size=4, scenes=4), Mixture(size=6)], ids=["field", "mixture"])
def test_every_loss_trains_on_problems_with_a_known_answer(row, problem):
    small = dict(width=8, blocks=1, head_width=8, head_blocks=2, latent=2)
    what = dataclasses.replace(row.recipe(4), network=small | row.network)
    trainer = Trainer(what, problem)
    before = {name: value.clone() for name, value in trainer.generator.named_parameters()}
    while trainer.step < trainer.steps:
        assert all(np.isfinite(value) for value in trainer.advance().values())
    moved = {n for n, p in trainer.generator.named_parameters() if p.requires_grad and not torch.equal(p, before[n])}
    assert {"up.weight", "trunk.head.weight"} <= moved
    assert any(name.startswith("tail.") for name in moved)
