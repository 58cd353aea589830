"""Variants train their heads only."""

import numpy as np
import pytest
import torch

from bayesr.model.model import load
from bayesr.training.data import ImageSet
from bayesr_bench.tables.search import VARIANTS, trained


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)
def test_variants_share_a_backbone_and_train_their_heads(variant):
    start = load("natural-x4")
    images = ImageSet(("noise",), (np.random.default_rng(0).integers(0, 256, (128, 128, 3), np.uint8),))
    network = trained(variant, start, images, steps=1, rate=1e-2, seed=0, batch=1).generator
    known = start.generator.state_dict()
    for name, value in network.state_dict().items():
        if name.startswith(("backbone.", "up.")):
            torch.testing.assert_close(value, known[name], rtol=0, atol=0)
    assert network.head.exit.weight.grad.abs().max() > 0
