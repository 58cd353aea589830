"""The table of recipes against exact posteriors."""

import numpy as np
import pytest
import torch

from bayesr_bench.known_posterior import ENTRIES
from bayesr_bench.problems import GaussianField
from bayesr_bench.tables.posterior import OnMixtures, eigenvalues, figures, spread_map_error


@pytest.fixture(scope="module")
def field():
    problem = GaussianField()
    low, high = problem.batch(40, torch.Generator().manual_seed(0))

    def draw(seed):
        return problem.posterior(low, 24, torch.Generator().manual_seed(seed)).transpose(0, 1).float().numpy()

    return problem, high.numpy(), draw


def test_two_sets_of_exact_samples_have_equal_figures(field):
    problem, truth, draw = field
    one, other = figures(draw(1), truth), figures(draw(2), truth)
    for name in one:
        assert one[name] == pytest.approx(other[name], rel=0.02), name
    assert spread_map_error(draw(1), problem.posterior_variance.sqrt().numpy()) < 0.05


def test_eigenvalues_show_lost_correlation(field):
    """Shuffling each pixel among the members keeps every marginal distribution and removes all correlation."""
    problem, truth, draw = field
    right = draw(1)
    order = np.random.default_rng(0).random(right.shape).argsort(0)
    shuffled = np.take_along_axis(right, order, 0)
    a, b = figures(right, truth), figures(shuffled, truth)
    assert b["fair CRPS"] == pytest.approx(a["fair CRPS"], rel=1e-6)
    assert b["energy score"] < 1.01 * a["energy score"], "the energy score hardly changes"
    assert eigenvalues(shuffled)[0] < 0.5 * eigenvalues(right)[0]
    index = torch.arange(problem.side**2).reshape(problem.side, -1)[12:20, 12:20].flatten()
    exact = np.linalg.eigvalsh(problem.posterior_covariance[index][:, index].numpy())[::-1][:10]
    np.testing.assert_allclose(eigenvalues(right), exact, rtol=0.25)


def test_a_table_of_mixtures_has_one_row_per_recipe():
    exact, trained = OnMixtures(scenes=4, n=4, seed=0).rows(ENTRIES[1:2], 2, None)
    assert exact["fair CRPS"] == exact["variance"] == 1 and exact["distance to the nearest candidate"] == 0
    assert 0 < exact["total variation"] < 0.1
    assert trained["fair CRPS"] > 1 and trained["total variation"] > exact["total variation"]
