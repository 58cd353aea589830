"""Scenario: a training, or a calibration, is killed at one of its file operations, and the documented command goes on.

The result is the one of an undisturbed run, no file is left over, and no step before the last checkpoint is repeated.
All cuts: ``pytest -m slow tests/faults/test_kills_of_training.py``.
"""

import json
from functools import partial

import numpy as np
import PIL.Image
import pytest
import torch
import xarray as xr

import bayesr
from bayesr.model import checkpoint
from bayesr.training.step import Stepper
from tests.conftest import TINY, make_model
from tests.faults.kills import cuts, spaced
from tests.training.helpers import same_checkpoints

EVERY, STEPS = 2, 10
CHANGING = {"commit", "date", "seconds"}
"""Entries of cards and histories that hold times, or the state of the source code."""


def photos(folder):
    folder.mkdir()
    generator = np.random.default_rng(0)
    for i in range(6):
        blocks = np.kron(generator.integers(30, 225, (10, 12, 3)), np.ones((4, 4, 1))).astype(np.uint8)
        PIL.Image.fromarray(blocks).save(folder / f"{i}.png")
    return folder


def train(folder, held_out=4):
    """Train, as the command does, and log the steps."""
    torch.set_num_threads(1)
    out, step = folder / "out" / "mine.safetensors", Stepper.take_step

    def logged(trainer):
        with open(folder.with_name(f"{folder.name}.log"), "a") as log:
            log.write(f"{trainer.step}\n")
        return step(trainer)

    Stepper.take_step = logged
    try:
        resume = out.with_suffix(".npz").exists()
        data = folder.parent / "photos"
        bayesr.train(TINY, data, out=out, held_out=held_out, every=EVERY, resume=resume, progress=False)
    finally:
        Stepper.take_step = step


def calibrate(folder):
    torch.set_num_threads(1)
    generator = np.random.default_rng(0)
    pairs = [[generator.integers(0, 255, (s, s, 3), dtype=np.uint8) for s in (6, 24)] for _ in range(4)]
    path = folder / "out" / "mine.safetensors"
    bayesr.calibrate(path, pairs, levels=[0.5], progress=False).save(path)


def without_times(value):
    if isinstance(value, dict):
        return {k: without_times(v) for k, v in value.items() if k not in CHANGING}
    return [without_times(v) for v in value] if isinstance(value, list) else value


def same_models(first, second):
    one, other = bayesr.load(first), bayesr.load(second)
    assert one.calibration.missed.keys() == other.calibration.missed.keys()
    for name, value in one.generator.state_dict().items():
        assert torch.equal(value, other.generator.state_dict()[name]), name
    assert without_times(one.card) == without_times(other.card)
    if not one.calibration.missed:  # no images were held out
        return
    record, expected = one.calibration.dataset(), other.calibration.dataset()
    assert without_times(record.attrs) == without_times(expected.attrs)
    xr.testing.assert_equal(record, expected)


def names(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def history(folder):
    return [without_times(json.loads(line)) for line in (folder / "out/mine.jsonl").read_text().splitlines()]


def go_on_training(folder, whole, held_out):
    """Run the command again, and compare everything with the undisturbed training."""
    log, saved = folder.with_name(f"{folder.name}.log"), folder / "out" / "mine.npz"
    log.unlink(missing_ok=True)
    begun = checkpoint.read(saved)[1]["step"] if saved.exists() else 0
    train(folder, held_out)
    steps = [int(line) for line in log.read_text().splitlines()] if log.exists() else []
    assert steps == list(range(begun, STEPS))
    assert names(folder) == names(whole)
    same_checkpoints(saved, whole / "out/mine.npz")
    same_models(folder / "out/mine.safetensors", whole / "out/mine.safetensors")
    assert history(folder) == history(whole)


@pytest.fixture
def place(tmp_path):
    photos(tmp_path / "photos")
    (tmp_path / "t" / "out").mkdir(parents=True)
    return tmp_path / "t"


def trained_and_killed(place, at, held_out):
    killed = 0
    for folder in cuts(partial(train, held_out=held_out), place, at):
        go_on_training(folder, place.with_name("t-whole"), held_out)
        killed += 1
    return killed


def calibrated_and_killed(place, at):
    make_model().save(place / "out" / "mine.safetensors")
    killed = 0
    for folder in cuts(calibrate, place, at):
        calibrate(folder)
        whole = place.with_name("t-whole")
        assert names(folder) == names(whole)
        same_models(folder / "out/mine.safetensors", whole / "out/mine.safetensors")
        killed += 1
    return killed


def test_a_training_that_is_killed_is_resumed(place):
    assert trained_and_killed(place, spaced(3), held_out=0) == 3


def test_a_calibration_that_is_killed_is_repeated(place):
    assert calibrated_and_killed(place, spaced(1)) == 1


@pytest.mark.slow
@pytest.mark.parametrize("first", range(1, 6))
def test_a_training_that_is_killed_anywhere_is_resumed(place, first):
    """Each test takes every fifth cut, so that none takes too long."""
    assert trained_and_killed(place, lambda total: range(first, total + 1, 5), held_out=4) >= 5


@pytest.mark.slow
def test_a_calibration_that_is_killed_anywhere_is_repeated(place):
    assert calibrated_and_killed(place, lambda total: range(1, total + 1)) >= 2
