import subprocess
import sys
from dataclasses import replace

import numpy as np
import pyro
import pytest
import torch

import bayesr
from bayesr.networks.encoder import Encoder
from bayesr.observe import bicubic
from bayesr.training.adjusting import with_steps
from bayesr.training.batch import TrainingBatch
from bayesr.training.elbo import negative_elbo
from bayesr.training.loop import Trainer
from bayesr.training.recipes import recipe
from tests.training.helpers import same_checkpoints

problems = pytest.importorskip("bayesr_bench.problems", reason="the known posterior comes with bayesr-bench")

VAE = recipe("vae")
SMALL = replace(
    VAE,
    network=VAE.network | dict(width=16, blocks=1, head_width=16, head_blocks=2, latent=4, mix=16),
    stages=tuple(replace(stage, batch=8, rate=6e-3) for stage in with_steps(VAE, dict(fidelity=3, elbo=5)).stages),
    patch=8,
    helpers={"encoder": lambda bands, scale, classes: Encoder(bands, scale, 8, width=16, blocks=1)},
)
FIELD = problems.GaussianField(size=4)


@pytest.fixture(scope="module")
def trained():
    """A trainer, and its bounds from step to step."""
    trainer = Trainer(with_steps(SMALL, dict(fidelity=30, elbo=150)), FIELD)
    losses = [trainer.advance() for _ in range(trainer.steps)]
    return trainer, [-loss["negative_elbo"] for loss in losses[30:]]


def batch_of(operator, low, truth, encoder, e, x):
    """A batch whose decoder returns `x` for all latents, and whose random values are `e`."""
    labels = torch.zeros(len(low), dtype=torch.long)
    networks = {"encoder": encoder}
    return TrainingBatch(low, truth, labels, operator, networks, 1, lambda low, count, z: x[:, None], lambda size: e)


def test_bound_rises_and_latents_are_informative(trained):
    trainer, bounds = trained
    assert np.mean(bounds[-20:]) > np.mean(bounds[:20]) + 0.3
    encoder = trainer.networks["encoder"]
    low, truth = FIELD.batch(64, torch.Generator().manual_seed(1))
    with torch.no_grad():
        mean, std = encoder(truth - FIELD.operator.invert(low), low)
        informed = trainer.members(low, 1, z=mean)[1][:, 0]
        prior = trainer.members(low, 1)[1][:, 0]
    divergence = ((mean**2 + std**2 - 1) / 2 - std.log()).sum(1).mean()
    assert divergence > 1  # nats per low-resolution pixel
    assert (informed - truth).square().mean() < 0.6 * (prior - truth).square().mean()


def test_members_have_the_posterior_variance_and_are_consistent(trained):
    """The variance of members and the noise of the likelihood add up to the posterior variance."""
    trainer, _ = trained
    low, _ = FIELD.batch(64, torch.Generator().manual_seed(2))
    with torch.no_grad():
        _, x = trainer.members(low, 16)
    torch.testing.assert_close(FIELD.operator.observe(x), low[:, None].expand(-1, 16, -1, -1, -1), atol=1e-5, rtol=0)
    spread, true = float(x.var(1).mean()), float(FIELD.posterior_variance.mean())
    noise = float(trainer.networks["encoder"].log_noise.detach().exp() ** 2)
    assert 0.15 * true < spread < true
    assert 0.5 * true < spread + noise < 1.3 * true


@pytest.mark.parametrize("operator", [bicubic(4), bicubic(2), bicubic(2).unconstrained()], ids=["x4", "x2", "unbound"])
def test_bound_is_divergence_plus_density_in_the_null_space(operator):
    """Compare with the density of ``N(0, t^2 P)`` with P as a matrix; constants cancel between two errors and two t."""
    torch.manual_seed(0)
    side = 2 * operator.scale
    encoder = Encoder(1, operator.scale, 3, width=8, blocks=1)
    truth = torch.rand(5, 1, side, side)
    low, e = torch.rand(5, 1, 2, 2), torch.randn(5, 3, 2, 2)
    unit = operator.project(torch.eye(side**2).view(-1, 1, side, side)).flatten(1)
    rank = float(torch.linalg.matrix_rank(unit, tol=1e-3))
    with torch.no_grad():
        mean, std = encoder(truth - operator.invert(low), low)
    divergence = ((mean**2 + std**2 - 1) / 2 - std.log()).sum()
    gaps = []
    for t, size in ((0.05, 0.1), (0.2, 0.3)):
        error = operator.project(size * torch.randn(5, 1, side, side))
        with torch.no_grad():
            encoder.log_noise.fill_(np.log(t))
            bound = -negative_elbo(batch_of(operator, low, truth, encoder, e, truth - error)) * truth.numel()
        density = -error.square().sum() / (2 * t**2) - 5 * rank * np.log(t)
        gaps.append(float(bound - (density - divergence)))
    assert gaps[0] == pytest.approx(gaps[1], rel=1e-3)
    with torch.no_grad():  # and a posterior that is the prior costs nothing
        before = float(negative_elbo(batch_of(operator, low, truth, encoder, e, truth))) * truth.numel()
        encoder.exit.weight.zero_(), encoder.exit.bias.zero_()
        after = float(negative_elbo(batch_of(operator, low, truth, encoder, e, truth))) * truth.numel()
    assert before - after == pytest.approx(float(divergence), rel=1e-3)


def test_resumed_training_is_bit_identical_and_leaves_no_trace(tmp_path):
    """Training neither uses nor changes the caller's random state and Pyro's parameters."""
    straight = Trainer(SMALL, FIELD)
    state = torch.get_rng_state()
    straight.run(tmp_path / "a.npz")
    assert torch.equal(torch.get_rng_state(), state) and not list(pyro.get_param_store().keys())
    first = Trainer(SMALL, FIELD)
    while first.step < 5:
        first.advance()
    first.save(tmp_path / "b.npz")
    second = Trainer(SMALL, FIELD, seed=9)
    second.load(tmp_path / "b.npz")
    torch.manual_seed(5)
    second.run(tmp_path / "b.npz")
    same_checkpoints(tmp_path / "a.npz", tmp_path / "b.npz")


def test_a_model_file_draws_members(folder, tmp_path, photo):
    out = tmp_path / "vae.safetensors"
    model = bayesr.train(SMALL, folder, out=out, held_out=0)
    assert model.generator.head.rates().max() < 1e-6 and model.promises["consistency"]
    ds = bayesr.sample(photo[:9, :8], n=4, model=out)
    assert ds["samples"].shape == (4, 3, 36, 32) and float(ds["std"].max()) > 0


def test_recipes_are_read_without_pyro():
    read = "import sys; from bayesr.training.recipes import names, recipe; list(map(recipe, names()))"
    code = f"{read}; print('pyro' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "False\n"
