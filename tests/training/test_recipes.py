"""Every recipe, at a small size, is trained, stored and sampled."""

from __future__ import annotations

import warnings
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

import bayesr
from bayesr.errors import NotStochastic, TilesDiffer, TrainingFailed
from bayesr.networks.registry import build
from bayesr.observe import Blind, bicubic
from bayesr.training.adjusting import with_steps
from bayesr.training.data import ImageSet
from bayesr.training.degradation import Degradation
from bayesr.training.loop import Trainer
from bayesr.training.pairs import pair_source
from bayesr.training.publishing import publish
from bayesr.training.recipe import Recipe
from bayesr.training.recipes import names, recipe
from tests.conftest import TINY
from tests.training.helpers import same_checkpoints

SIZES = dict(width=8, blocks=1, head_width=8, mix=8, networks=2)
OPTIONS = {"swin": dict(depth=2, heads=2, window=4)}


def small(name: str) -> Recipe:
    """Return the recipe with a tiny network of the same kind, and two steps a stage without a warm-up."""
    what = recipe(name)
    network = {k: SIZES.get(k, v) if v else v for k, v in what.network.items()}
    if network.get("backbone") in OPTIONS:
        network["backbone_options"] = OPTIONS[network["backbone"]]
    stages = tuple(replace(s, steps=min(s.steps, 2), batch=2, warmup=0) for s in what.stages)
    return replace(what, network=network, stages=stages, patch=8)


def operator_of(what: Recipe):
    """Return the forward operator that the networks of a recipe see."""
    if what.unpaired:
        return Blind(bicubic(4))
    return bicubic(4) if what.consistent else bicubic(4).unconstrained()


@pytest.mark.parametrize("name", [name for name in names() if "interpolation" not in recipe(name).network])
def test_training_starts_no_worse_than_interpolation(name):
    """The networks have their full size, since features grow from block to block."""
    what = recipe(name)
    y, x = np.mgrid[:64, :64] / 64
    truth = torch.from_numpy(
        np.stack([0.5 + 0.3 * np.sin(6 * x + 2 * y), 0.5 + 0.3 * np.cos(5 * y - x), x * y])
    ).float()
    low = bicubic(4).observe(truth[None])
    operator = operator_of(what)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        network = build(bands=3, scale=4, **what.network).eval().parts[0]
        detail = network.draw(network.prepare(low), None, [])
        mean = operator.project_onto_data_(detail, low)
        interpolated = operator.invert(low)
    scores = [float(-10 * torch.log10((image - truth).square().mean())) for image in (mean, interpolated)]
    assert scores[1] > 30 and scores[0] >= scores[1] - 0.5


@cache
def pictures() -> ImageSet:
    rng = np.random.default_rng(0)
    scenes = [np.kron(rng.integers(30, 225, (10, 12, 3)), np.ones((4, 4, 1))).astype(np.uint8) for _ in range(6)]
    return ImageSet(tuple(f"{kind}/{i}.png" for kind in "ab" for i in range(3)), tuple(scenes))


def untrained(name: str) -> Trainer:
    what = small(name)
    return Trainer(what, pair_source(what, pictures(), bicubic(4), "cpu", Degradation()))


@cache
def trained(name: str) -> tuple[Trainer, dict[str, dict[str, torch.Tensor]]]:
    """The trainer after its steps, and all weights before them."""
    trainer = untrained(name)
    modules = {"generator": trainer.generator} | trainer.networks
    before = {k: {n: p.detach().clone() for n, p in m.named_parameters()} for k, m in modules.items()}
    while trainer.step < trainer.steps:
        assert all(np.isfinite(list(trainer.advance().values())))
    return trainer, before


@pytest.mark.parametrize("name", names())
def test_every_part_of_a_recipe_learns(name):
    trainer, before = trained(name)
    modules = {"generator": trainer.generator} | trainer.networks
    assert set(trainer.recipe.discriminators) <= set(trainer.networks)
    for part, weights in before.items():
        moved = [not torch.equal(p, weights[n]) for n, p in modules[part].named_parameters()]
        # Not all: a bias drops out where only differences of logits count, and a gate at zero hides what is behind it.
        assert not moved or np.mean(moved) > 0.75, (part, np.mean(moved))
    assert all(before[discriminator] for discriminator in trainer.recipe.discriminators)
    assert bool(before["generator"]) == (trainer.steps > 0)
    assert bool(trainer.recipe.discriminators) == any(stage.discriminator for stage in trainer.recipe.stages)


@pytest.mark.parametrize("name", names())
def test_every_recipe_keeps_what_its_model_promises(name, tmp_path):
    trainer, _ = trained(name)
    model = publish(trainer, name, pictures(), {})
    model = bayesr.load(model.save(tmp_path / f"{name}.safetensors"))
    image = np.random.default_rng(1).uniform(0.2, 0.8, (3, 19, 22)).astype(np.float32)
    how = dict(value_range=(0, 1), dims="byx")
    n = 4 if model.generator.stochastic else 1
    if n == 1:
        with pytest.raises(NotStochastic, match="n=1"):
            model.sample(image, 2, **how)
        with pytest.raises(NotStochastic, match="no spread"):
            bayesr.calibrate(model, [])
    ds = model.sample(image, n, **how)
    x = torch.from_numpy(ds["samples"].to_numpy())
    assert torch.isfinite(x).all() and x.shape == (n, 3, 19 * model.scale, 22 * model.scale)
    assert n == 1 or x.std(0).mean() > 0
    y = model.forward_operator.observe(x)
    error = float((y - torch.from_numpy(image)).abs().max())
    assert model.promises["consistency"] == (error < 1e-4)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        tiled = model.sample(image, n, tile=7, **how)["samples"].to_numpy()
    assert any(w.category is TilesDiffer for w in caught) != model.promises["one_image"]
    if model.promises["one_image"]:
        np.testing.assert_allclose(tiled, x.numpy(), atol=1e-5)
    np.testing.assert_allclose(bayesr.replay(ds, n - 1, image, model=model), x[-1].numpy(), atol=1e-6)


@pytest.mark.parametrize("name", ["srgan", "rcgan", "ensemble"])
def test_resumed_recipes_are_bit_identical(name, tmp_path):
    """This includes networks beside the generator, their buffers and moments."""
    whole, other = untrained(name), untrained(name)
    while whole.step < whole.steps:
        whole.advance()
    for _ in range(whole.steps - 2):
        other.advance()
    other.save(tmp_path / "c.npz")
    other = untrained(name)
    other.load(tmp_path / "c.npz")
    for _ in range(2):
        other.advance()
    for one, name in ((whole, "whole"), (other, "other")):
        one.save(tmp_path / f"{name}.npz")
    same_checkpoints(tmp_path / "other.npz", tmp_path / "whole.npz")


def test_recipes_are_found_by_name_file_and_themselves(tmp_path):
    assert recipe("bayes-srgan").name == "bayes-srgan" and recipe(TINY) is TINY
    assert all(recipe(name).name == name for name in names())
    with pytest.raises(TrainingFailed, match="bayes-srgan"):
        recipe("nothing")
    with pytest.raises(TrainingFailed, match="no recipe file"):
        recipe(tmp_path / "mine.py")
    (tmp_path / "mine.py").write_text("RECIPE = 3")
    with pytest.raises(TrainingFailed, match="RECIPE = Recipe"):
        recipe(str(tmp_path / "mine.py"))
    with pytest.raises(TrainingFailed, match="has no stage"):
        with_steps(TINY, {"sleep": 3})
