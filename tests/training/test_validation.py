import numpy as np
import pytest
import torch

from bayesr.errors import TrainingFailed
from bayesr.networks.features import lpips
from bayesr.observe import bicubic
from bayesr.training.data import ImageSet, load_images
from bayesr.training.loop import Trainer
from bayesr.training.pairs import Pairs
from bayesr.training.validation import Validation
from tests.conftest import TINY
from tests.networks.lpips_helpers import weights


def test_validation_leaves_training_alone(folder):
    images = load_images([folder])
    plain, watched = (
        Trainer(TINY, Pairs(images, bicubic(4), TINY.patch)),
        Trainer(TINY, Pairs(images, bicubic(4), TINY.patch)),
    )
    validate = Validation(images, bicubic(4), count=2, size=32)
    for _ in range(5):
        plain.advance()
        watched.advance()
        record = validate(watched)
    assert {"psnr", "fair_crps", "spread_skill"} <= set(record)
    for key, value in plain.generator.state_dict().items():
        assert torch.equal(value, watched.generator.state_dict()[key])


def test_images_smaller_than_a_pixel_are_refused():
    with pytest.raises(TrainingFailed, match="smaller"):
        Validation(ImageSet(("a",), (np.zeros((3, 9, 3), np.uint8),)), bicubic(4))


def test_members_are_judged_where_the_weights_of_a_judge_are_installed(folder, monkeypatch):
    images = load_images([folder])
    trainer = Trainer(TINY, Pairs(images, bicubic(4), TINY.patch))
    while not trainer.position()[0].members:
        trainer.advance()
    monkeypatch.setattr(lpips, "folder", lambda: None)
    assert "lpips" not in Validation(images, bicubic(4), count=2, size=32)(trainer)
    judge = lpips.Lpips(lpips.NETWORKS["alexnet"], weights(), "alexnet")
    monkeypatch.setattr(lpips, "folder", lambda: folder)
    monkeypatch.setattr(lpips, "load", lambda: judge)
    validate = Validation(images, bicubic(4), count=2, size=32)
    found = validate(trainer)["lpips"]
    trainer.device_random.manual_seed(0)
    _, x = trainer.members(validate.low, 8, trainer.average)
    expected = [
        judge.distances((255 * a[:2]).clamp(0, 255).numpy(), (255 * b).numpy())
        for a, b in zip(x, validate.high, strict=True)
    ]
    assert found == pytest.approx(np.mean(expected), rel=1e-4) and found > 0
