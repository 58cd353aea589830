"""Scenario: CycleGAN trains without pairs, from its losses to a model file."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

import bayesr
from bayesr.networks.backward import Backward
from bayesr.networks.discriminators import PatchDiscriminator
from bayesr.observe import Blind, airy, bicubic, from_description
from bayesr.resampling import resize
from bayesr.training.adjusting import with_steps
from bayesr.training.batch import TrainingBatch
from bayesr.training.data import ImageSet
from bayesr.training.degradation import Degradation
from bayesr.training.loop import Trainer
from bayesr.training.pairs import Unpaired
from bayesr.training.recipes import recipe
from bayesr.training.terms import cycle, identity
from tests.training.helpers import same_checkpoints, weights_of

OPTICS = dict(wavelength=0.52, pixel=0.2)
MICROSCOPE = airy(1, na=0.3, sharp_na=0.7, **OPTICS)


def small(batch=2, rate=3e-3, width=12):
    """Return the recipe with networks that train in seconds."""
    what = recipe("cyclegan")
    return replace(
        what,
        network=dict(width=width, blocks=2, head_blocks=0),
        stages=tuple(replace(stage, batch=batch, rate=rate) for stage in what.stages),
        patch=16,
        discriminators={
            n: replace(c, network=lambda bands, scale: PatchDiscriminator(bands, 8))
            for n, c in what.discriminators.items()
        },
        helpers={"backward": lambda bands, scale, classes: Backward(bands, scale, width, 2)},
    )


def disks(count, size=40):
    """Return bright disks on a dark background, as seen at NA 0.7."""
    random = np.random.default_rng(0)
    y, x = np.mgrid[:size, :size]
    scenes = np.full((count, 1, size, size), 0.1, np.float32)
    for scene in scenes:
        for _ in range(6):
            (v, u), radius, height = random.uniform(0, size, 2), random.uniform(2, 5), random.uniform(0.3, 0.9)
            np.maximum(scene, height * np.clip(radius + 0.5 - np.hypot(y - v, x - u), 0, 1), out=scene)
    seen = airy(1, na=0.7, **OPTICS).observe(torch.from_numpy(scenes)).clamp(0, 1)
    pixels = (seen * 255).round().byte().permute(0, 2, 3, 1).numpy()
    return ImageSet(tuple(f"{i}.png" for i in range(count)), tuple(pixels))


def psnr(a, b):
    return float(-10 * (a - b).square().mean((1, 2, 3)).log10().mean())


@pytest.fixture(scope="module")
def images():
    return disks(24)


def batch_of(trainer, low, truth):
    def draw(low, count, z=None):
        return trainer.members(low, count, z=z)[1]

    labels = torch.zeros(len(low), dtype=torch.long)
    return TrainingBatch(low, truth, labels, trainer.operator, trainer.networks, 0, draw)


@pytest.mark.parametrize("operator", [MICROSCOPE, bicubic(4)], ids=["x1", "x4"])
def test_cycle_loss_falls_without_pairs(images, operator):
    what = with_steps(small(), {"cycle": 40})
    what = replace(what, patch=32 // operator.scale)
    source = Unpaired(images, operator, what.patch)
    assert not set(source.low.names) & set(source.high.names)
    trainer = Trainer(what, source)
    before = weights_of(trainer)
    batch = source.batch(16, torch.Generator().manual_seed(1))
    with torch.no_grad():
        first = float(cycle(batch_of(trainer, *batch)))
        while trainer.step < trainer.steps:
            with torch.enable_grad():
                trainer.advance()
        last = float(cycle(batch_of(trainer, *batch)))
    assert last < 0.8 * first
    for name, value in weights_of(trainer).items():
        if not name.startswith("average/"):
            assert not torch.equal(value, before[name]), name


def test_identity_is_the_published_one_at_scale_1_and_of_means_above(images):
    """Networks that change nothing have no identity loss: of pixels at scale 1, of means of s x s pixels above."""
    for operator in (MICROSCOPE, bicubic(4)):
        trainer = Trainer(small(), Unpaired(images, operator, 32 // operator.scale))
        low, truth = trainer.pairs.batch(3, torch.Generator().manual_seed(0))
        scene = batch_of(trainer, low, truth)
        with torch.no_grad():
            if operator.scale == 1:
                sharp = trainer.members(truth, 0)[1][:, 0]
                expected = (sharp - truth).abs().mean() + (trainer.networks["backward"](low) - low).abs().mean()
                torch.testing.assert_close(identity(scene), expected)
            for part in (trainer.generator.up, trainer.networks["backward"].exit):
                part.weight.zero_()
            assert identity(scene) < (0.03 if operator.scale > 1 else 1e-6)
            trainer.generator.up.bias += 0.1  # brighter everywhere
            assert identity(scene) > 0.08


def test_networks_do_not_use_the_forward_operator(images):
    """Detail is added to interpolation. The operator is recorded for measurements only."""
    for operator in (MICROSCOPE, bicubic(4), airy(2, na=0.3, **OPTICS)):
        found = Trainer(small(), Unpaired(images, operator, 32 // operator.scale)).operator
        assert found == Blind(of=operator) == from_description(json.loads(json.dumps(found.describe())))
        assert not found.exact and found.unconstrained() == found and found.scale == operator.scale
        y = torch.rand(2, 1, 6, 7)
        torch.testing.assert_close(found.invert(y), resize(y, "bicubic", operator.scale))
        x = torch.rand(2, 1, 6 * operator.scale, 7 * operator.scale)
        torch.testing.assert_close(found.project_onto_data_(x.clone(), y), x + found.invert(y))
        torch.testing.assert_close(found.observe(x), operator.observe(x))


@pytest.mark.parametrize("scale", [1, 2, 3])
def test_backward_network_starts_from_the_mean_of_pixels(scale):
    backward = Backward(2, scale, 8, 1)
    with torch.no_grad():
        backward.exit.weight.zero_()
        x = torch.rand(2, 2, 4 * scale, 5 * scale)
        torch.testing.assert_close(backward(x), torch.nn.functional.avg_pool2d(x, scale))


def test_resumed_training_is_bit_identical(images, tmp_path):
    what = with_steps(small(), {"cycle": 6})
    make = lambda seed: Trainer(what, Unpaired(images, MICROSCOPE, what.patch), seed)  # noqa: E731
    straight = make(0)
    straight.run(tmp_path / "a.npz")
    first = make(0)
    while first.step < 3:
        first.advance()
    first.save(tmp_path / "b.npz")
    second = make(9)
    second.load(tmp_path / "b.npz")
    second.run(tmp_path / "b.npz")
    same_checkpoints(tmp_path / "a.npz", tmp_path / "b.npz")


@pytest.mark.parametrize("operator", [MICROSCOPE, bicubic(4)], ids=["x1", "x4"])
def test_model_file_has_one_member_and_promises_no_consistency(folder, tmp_path, photo, operator):
    what = replace(with_steps(small(), {"cycle": 2}), patch=8)
    model = bayesr.train(what, folder, out=tmp_path / "c.safetensors", held_out=0, forward_operator=operator)
    assert not model.promises["consistency"] and model.forward_operator == Blind(of=operator)
    ds = bayesr.sample(photo[:10, :12], n=1, model=tmp_path / "c.safetensors")
    assert ds["samples"].shape == (1, 3, 10 * operator.scale, 12 * operator.scale)
    assert np.isfinite(ds["samples"]).all()


@pytest.mark.slow
def test_unpaired_microscopy_gains_resolution():
    """Restore NA 0.7 from NA 0.3 on held-out images; this takes a minute or two."""
    training, held_out = disks(80, 64).split(16)
    what = replace(with_steps(small(4, 1e-3, 16), {"cycle": 600}), patch=32)
    what = replace(what, discriminators=recipe("cyclegan").discriminators, helpers=recipe("cyclegan").helpers)
    trainer = Trainer(what, Unpaired(training, MICROSCOPE, what.patch))
    while trainer.step < trainer.steps:
        trainer.advance()
    high = torch.from_numpy(np.stack(held_out.images)).permute(0, 3, 1, 2).float() / 255
    low, _ = Degradation().observe(MICROSCOPE, high, torch.Generator())
    with torch.no_grad():
        found = trainer.members(low, 0, trainer.average)[1][:, 0]
        back = trainer.networks["backward"](high)
    print(f"PSNR {psnr(low, high):.2f} -> {psnr(found, high):.2f} dB, back {psnr(back, low):.2f} dB")
    assert psnr(found, high) > psnr(low, high) + 2
    assert psnr(back, low) > psnr(high, low) + 2
