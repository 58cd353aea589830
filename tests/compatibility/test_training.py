"""Checkpoints of 0.1.0 are resumed, and other trainings start from them."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

import bayesr
from bayesr import observe
from tests.compatibility.conftest import unpacked
from tests.compatibility.recipe import RECIPE


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return unpacked("training", tmp_path_factory.mktemp("fixtures"))


HOW = dict(forward_operator=observe.bicubic(2), bands=1, held_out=0, device="cpu", progress=False)
STEPS = dict(fidelity=1, score=1, critic=2)


def test_a_checkpoint_is_resumed(trained, expected, tmp_path):
    """The stage has a discriminator, whose weights and moments the checkpoint holds."""
    out = tmp_path / "small.safetensors"
    shutil.copy(trained / "checkpoint", out.with_suffix(".npz"))
    model = bayesr.train(RECIPE, trained / "images", out=out, steps=STEPS, resume=True, **HOW)
    assert model.card["steps"] == STEPS and model.card["recipe"] == "small"
    ds = bayesr.sample(expected["training/input"], 4, model=model, dims=("y", "x", "band"), seed=7, device="cpu")
    # A step of Adam divides by the size of the gradient, and weights are stored as fp16: more than rounding remains.
    np.testing.assert_allclose(ds["samples"], expected["training/samples"], rtol=0, atol=1e-3 * 255)


def test_a_training_starts_from_a_checkpoint(trained, tmp_path):
    checkpoint = tmp_path / "before.npz"
    shutil.copy(trained / "checkpoint", checkpoint)
    out = tmp_path / "new.safetensors"
    steps = dict.fromkeys(STEPS, 0)
    model = bayesr.train(RECIPE, trained / "images", out=out, steps=steps, start=checkpoint, **HOW)
    assert model.card["start"]["checkpoint"] == "before.npz"
    assert model.card["start"]["taken"] > 10 and "fresh" not in model.card["start"]
