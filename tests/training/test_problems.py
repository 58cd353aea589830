import numpy as np
import pytest
import torch
import xarray as xr

from bayesr.errors import InvalidArgument
from bayesr.observe import bicubic, box, gaussian
from bayesr.training.data import ImageSet
from bayesr.training.problems import GaussianField, Mixture, equal_observations

FIELDS = [
    GaussianField(bicubic(4), size=4),
    GaussianField(gaussian(2, sigma=1.0), size=6, slope=2.0, length=5.0),
    GaussianField(box(3), size=5, slope=4.0),
]


def random(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("field", FIELDS)
def test_posterior_of_a_gaussian_field_is_the_conditional_distribution(field):
    """Errors of the mean are uncorrelated with the data, and posterior samples reproduce the data."""
    rows = torch.from_numpy(field.operator.matrices(field.size)[0])
    a = torch.kron(rows, rows)
    seen = a @ field.covariance @ a.T
    gain = torch.stack([field.posterior_mean(e.reshape(1, 1, field.size, -1) + 0.5)[0].flatten() for e in
                        torch.eye(field.size**2, dtype=torch.float64)], 1) - 0.5  # fmt: skip
    torch.testing.assert_close(gain @ seen, field.covariance @ a.T, atol=1e-10, rtol=0)
    torch.testing.assert_close(a @ field.posterior_covariance, torch.zeros_like(a), atol=1e-10, rtol=0)
    explained = gain @ seen @ gain.T
    torch.testing.assert_close(field.posterior_covariance + explained, field.covariance, atol=1e-10, rtol=0)
    assert torch.linalg.eigvalsh(field.posterior_covariance).min() > -1e-10


@pytest.mark.parametrize("field", FIELDS)
def test_fields_and_posterior_samples_have_the_moments_they_claim(field):
    x = field.draw(4000, random())[:, 0].flatten(1) - 0.5
    scale = field.covariance.diagonal().mean()
    torch.testing.assert_close(x.T @ x / len(x), field.covariance, atol=0.1 * float(scale), rtol=0)
    low, _ = field.batch(2, random(1))
    found = field.posterior(low, 4000, random(2))
    torch.testing.assert_close(
        field.operator.observe(found), low.double()[:, None].expand(-1, 4000, -1, -1, -1), atol=1e-9, rtol=0
    )
    spread = field.posterior_variance.mean()
    torch.testing.assert_close(found.mean(1), field.posterior_mean(low), atol=0.1 * float(spread.sqrt()), rtol=0)
    deviation = (found - found.mean(1, keepdim=True)).flatten(2)[0]
    torch.testing.assert_close(
        deviation.T @ deviation / 3999, field.posterior_covariance, atol=0.15 * float(spread), rtol=0
    )


def test_finite_training_set_repeats_and_has_a_size():
    field = GaussianField(size=4, scenes=3)
    _, high = field.batch(200, random())
    assert len(torch.unique(high.flatten(1), dim=0)) == 3
    assert field.low_pixels == 3 * 16
    assert GaussianField(size=4).low_pixels == np.inf
    again = GaussianField(size=4, scenes=3)
    torch.testing.assert_close(again.batch(5, random(7))[1], field.batch(5, random(7))[1], rtol=0, atol=0)


def test_candidates_of_a_mixture_share_their_observation_and_nothing_else():
    problem = Mixture()
    low, found, probability = problem.scenes(40, random())
    torch.testing.assert_close(
        problem.operator.observe(found), low[:, None].expand(-1, problem.candidates, -1, -1, -1), atol=1e-12, rtol=0
    )
    torch.testing.assert_close(probability.sum(1), torch.ones(40, dtype=torch.float64))
    apart = (found[:, 0] - found[:, 1]).pow(2).mean((1, 2, 3)).sqrt()
    assert apart.min() > 0.02
    assert probability.std(0).max() > 0.1, "probabilities depend on the data"


def test_a_mixture_draws_candidates_with_their_probabilities():
    problem = Mixture()
    _, found, probability = problem.scenes(2, random(3))
    drawn = problem.posterior(found, probability, 5000, random(4))
    distance = (drawn[:, :, None] - found[:, None]).abs().amax((3, 4, 5))
    assert distance.amin(2).max() == 0
    frequency = torch.nn.functional.one_hot(distance.argmin(2)).double().mean(1)
    torch.testing.assert_close(frequency, probability, atol=0.03, rtol=0)
    torch.testing.assert_close(problem.batch(8, random(5))[0], problem.operator.observe(problem.batch(8, random(5))[1]))


@pytest.fixture
def textures():
    rng = np.random.default_rng(0)
    flat = [rng.integers(60, 64, (40, 48, 3)).astype(np.uint8) + np.uint8(2 * i) for i in range(4)]
    return ImageSet(tuple(f"{i}.png" for i in range(4)), tuple(flat))


def test_equal_observations_are_equal_within_the_tolerance(textures):
    ds = equal_observations(textures, bicubic(4), tolerance=3.0, scenes=20, candidates=4)
    assert dict(ds.sizes) | {"scene": 20, "band": 3, "y": 12, "x": 12} == dict(ds.sizes)
    assert 2 <= ds.sizes["candidate"] <= 4
    gap = np.sqrt(((ds["observed"] - ds["low"]) ** 2).mean(["band", "y_low", "x_low"]))
    assert float(gap.max()) <= 3.0
    np.testing.assert_allclose(ds["probability"].sum("candidate"), 1)
    missing = ds["high"].isnull().all(["band", "y", "x"])
    assert ((ds["probability"] == 0) == missing).all()
    # Block means of a candidate and its observation are both local averages of the same pixels.
    blocks = ds["high"].coarsen(y=4, x=4).mean().rename(y="y_low", x="x_low")
    assert float(abs(blocks - ds["observed"]).max()) < 2.0
    with pytest.raises(InvalidArgument, match="tolerance"):
        equal_observations(textures, bicubic(4), tolerance=1e-6)


@pytest.mark.parametrize("make", [lambda t: GaussianField(size=4).dataset(3, 5), lambda t: Mixture().dataset(3),
                                  lambda t: equal_observations(t, bicubic(4), tolerance=3.0, scenes=3)])  # fmt: skip
def test_data_sets_survive_zarr_with_their_card(make, textures, tmp_path):
    ds = make(textures)
    ds.to_zarr(tmp_path / "known.zarr", consolidated=False)
    again = xr.open_zarr(tmp_path / "known.zarr", consolidated=False)
    xr.testing.assert_identical(again.load(), ds)
    assert {"title", "description", "licence", "seed"} <= set(again.attrs) and "bicubic" in again.attrs["observation"]
    assert ds["high"].dims == ("scene", "candidate", "band", "y", "x")
