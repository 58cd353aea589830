import numpy as np
import pytest
import scipy.fft
import scoringrules
import torch
from hypothesis import given
from hypothesis import strategies as st

from bayesr.networks.discriminators import PatchDiscriminator
from bayesr.training import losses


@given(count=st.integers(2, 6), seed=st.integers(0, 1000))
def test_fair_crps_is_that_of_scoringrules(count, seed):
    rng = np.random.default_rng(seed)
    x, truth = rng.standard_normal((2, count, 1, 5, 5)), rng.standard_normal((2, 1, 5, 5))
    ours = losses.fair_crps(torch.from_numpy(x), torch.from_numpy(truth))
    theirs = scoringrules.crps_ensemble(truth, np.moveaxis(x, 1, -1), estimator="fair").mean()
    np.testing.assert_allclose(float(ours), theirs, rtol=1e-10)


def test_patch_energy_is_that_of_scoringrules():
    """A patch that covers the image has the energy score of the vector of its values."""
    rng = np.random.default_rng(0)
    x, truth = rng.standard_normal((1, 4, 2, 6, 6)), rng.standard_normal((1, 2, 6, 6))
    ours = losses.patch_energy(torch.from_numpy(x), torch.from_numpy(truth), 6)
    theirs = scoringrules.es_ensemble(truth.reshape(1, -1), x.reshape(1, 4, -1), estimator="fair")[0]
    np.testing.assert_allclose(float(ours) * np.sqrt(72), theirs, rtol=1e-6)


@pytest.mark.parametrize("score", [losses.fair_crps, lambda x, t: losses.patch_energy(x, t, 4)])
def test_scores_are_proper(score):
    """Expected scores are lowest for the true spread: narrower, wider and shifted forecasts do worse."""
    random = torch.Generator().manual_seed(0)
    draw = lambda *shape: torch.randn(*shape, generator=random)  # noqa: E731
    truth = draw(6000, 1, 4, 4)
    right = score(draw(6000, 2, 1, 4, 4), truth)
    for wrong in (0.5 * draw(6000, 2, 1, 4, 4), 1.7 * draw(6000, 2, 1, 4, 4), draw(6000, 2, 1, 4, 4) + 0.5):
        assert score(wrong, truth) > right * 1.02


def test_feature_energy_rewards_the_true_distribution():
    torch.manual_seed(0)
    discriminator, truth = PatchDiscriminator(1, width=8), torch.randn(64, 1, 16, 16)

    def features_of(x):
        return discriminator(x, torch.zeros_like(x))[1]

    right = losses.feature_energy(features_of, torch.randn(64, 2, 1, 16, 16), truth)
    same = torch.randn(64, 1, 1, 16, 16).expand(-1, 2, -1, -1, -1)
    assert losses.feature_energy(features_of, same, truth) > right


def test_band_crps_is_that_of_cosine_coefficients():
    """There are four blocks and the one between them, transformed along bands, rows and columns."""
    rng = np.random.default_rng(0)
    x, truth = rng.standard_normal((3, 5, 3, 16, 16)), rng.standard_normal((3, 3, 16, 16))
    ours = losses.fair_scores(torch.from_numpy(x), torch.from_numpy(truth), {}, {8: 1.0})["band8"]
    found = []
    for top, left in ((0, 0), (0, 8), (8, 0), (8, 8), (4, 4)):
        blocks = (a[..., top : top + 8, left : left + 8] for a in (truth, np.moveaxis(x, 1, 0)))
        real, drawn = (scipy.fft.dctn(block, axes=(-3, -2, -1), norm="ortho") for block in blocks)
        found.append(scoringrules.crps_ensemble(real, drawn, m_axis=0, estimator="fair").mean())
    np.testing.assert_allclose(float(ours), np.mean(found), rtol=1e-6)


def test_the_reward_for_spread_is_right_for_gaussians_alone():
    """Its optimum is the true spread of a normal posterior, and misses that of a heavy-tailed one."""
    random = torch.Generator().manual_seed(0)
    spreads = torch.linspace(0.6, 1.4, 17)
    normal = torch.randn(3, 400_000, 1, 1, 1, generator=random)

    def optimum(truth):
        drawn = normal[:2].transpose(0, 1)
        return float(spreads[torch.stack([losses.rewarded_error(s * drawn, truth) for s in spreads]).argmin()])

    assert abs(optimum(normal[2]) - 1) < 0.06
    laplace = torch.distributions.Laplace(0.0, 0.5**0.5).icdf(torch.special.ndtr(normal[2]))
    assert optimum(laplace) < 0.9


def test_noise_alone_is_best_ignored():
    random = torch.Generator().manual_seed(0)
    truth, members = torch.randn(2000, 1, 2, 2, generator=random), torch.randn(2000, 2, 1, 2, 2, generator=random)
    values = [float(losses.absolute_error(s * members, truth)) for s in (0.0, 0.3, 1.0)]
    assert values == sorted(values)


def band_crps(members, truth, size):
    """Return the fair CRPS of block cosine coefficients, of which each member has its own, as it is defined."""
    cosines, colours = (losses.cosine_transform(n).to(truth) for n in (size, truth.shape[1]))
    half = size // 2

    def coefficients(x):
        x = torch.einsum("kc,ncyx->nkyx", colours, x)
        grids = (x, x[..., half:-half, half:-half])
        blocks = (grid.unfold(-2, size, size).unfold(-2, size, size) for grid in grids)
        return torch.cat([(cosines @ block @ cosines.mT).flatten(-4) for block in blocks], -1)

    true, *drawn = (coefficients(x) for x in (truth, *members.unbind(1)))
    return losses.fair_score(drawn, true, lambda a, b: (a - b).abs().mean())


@pytest.mark.parametrize("count", [1, 2, 4])
@pytest.mark.parametrize("side", [32, 24])
def test_all_fair_scores_at_once_are_the_single_ones(count, side):
    torch.manual_seed(0)
    truth, members = torch.rand(3, 3, side, side), torch.rand(3, count, 3, side, side, requires_grad=True)
    found = losses.fair_scores(members, truth, {4: 0.5, 16: 0.25}, {8: 2.0})
    expected = {
        "crps": losses.fair_crps(members, truth),
        "patch4": 0.5 * losses.patch_energy(members, truth, 4),
        "patch16": 0.25 * losses.patch_energy(members, truth, 16),
        "band8": 2 * band_crps(members, truth, 8),
    }
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-5, atol=1e-6)
    gradients = [torch.autograd.grad(sum(scores.values()), members)[0] for scores in (found, expected)]
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-7)
