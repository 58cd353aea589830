"""One step at a time; whole trainings are tested in ``tests/segmentation/test_fit.py``."""

import numpy as np
import pytest
import torch

from bayesr.errors import TrainingFailed
from bayesr.networks.segmenters.mobile_unet import MobileUNet
from bayesr.segmentation.cases import Case
from bayesr.segmentation.patches import Patches
from bayesr.segmentation.stepping import OPTIMISERS, Training

SETTINGS = {"optimiser": "adam", "rate": 1e-3, "seed": 0, "steps": 20, "batch": 2, "loss": "bce"}


@pytest.fixture(scope="module")
def patches():
    mask = np.zeros((1, 24, 24), np.int32)
    mask[:, 6:15, 8:17] = 1
    cases = [Case("square", 100 + 50 * mask.astype(np.float32), mask, (0.0, 255.0))]
    return Patches(cases, 1, 16, "range", ("mean",), 0.0, 0.0)


def training(**settings):
    torch.manual_seed(0)
    return Training(MobileUNet(width=0.25, depth=2).train(), SETTINGS | settings)


@pytest.mark.parametrize("optimiser", OPTIMISERS)
def test_a_checkpoint_continues_bit_for_bit(patches, tmp_path, optimiser):
    straight = training(optimiser=optimiser)
    straight.advance(patches)
    straight.save(tmp_path / "c.npz")
    resumed = training(optimiser=optimiser)
    resumed.load(tmp_path / "c.npz")
    assert resumed.step == 1 and resumed.seconds == straight.seconds
    assert [resumed.advance(patches) for _ in range(2)] == [straight.advance(patches) for _ in range(2)]
    for name, value in straight.network.state_dict().items():
        assert torch.equal(resumed.network.state_dict()[name], value), name


def test_rates_rise_and_then_fall_to_nothing(patches):
    one, rates = training(), []
    while one.step < SETTINGS["steps"]:
        one.advance(patches)
        rates.append(one.optimiser.param_groups[0]["lr"] / SETTINGS["rate"])
    highest = int(np.argmax(rates))
    assert highest <= 2 and (np.diff(rates[highest:]) < 0).all() and max(rates) <= 1 and 0 < rates[-1] < 0.02


def test_another_training_is_not_continued(patches, tmp_path):
    training().save(tmp_path / "c.npz")
    with pytest.raises(TrainingFailed, match="its settings are"):
        training(rate=2e-3).load(tmp_path / "c.npz")
    with pytest.raises(TrainingFailed, match="no checkpoint"):
        training().load(tmp_path / "absent.npz")
