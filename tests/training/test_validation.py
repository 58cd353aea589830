import numpy as np
import pytest
import torch

from bayesr.errors import TrainingFailed
from bayesr.observe import bicubic
from bayesr.training.data import ImageSet, load_images
from bayesr.training.loop import Trainer
from bayesr.training.pairs import Pairs
from bayesr.training.validation import Validation
from tests.conftest import TINY


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
