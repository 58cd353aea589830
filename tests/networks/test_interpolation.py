import numpy as np
import pytest
import torch

from bayesr.model.model import Model
from bayesr.networks.registry import build
from bayesr.observe import bicubic
from bayesr.resampling import resize


@pytest.mark.parametrize("kind", ["nearest", "bilinear", "bicubic", "lanczos", "pseudo-inverse"])
def test_interpolations_match_resize(kind):
    operator = bicubic(4) if kind == "pseudo-inverse" else bicubic(4).unconstrained()
    network = build(bands=3, scale=4, interpolation=kind, observation=operator.describe())
    y = np.random.default_rng(0).uniform(size=(3, 9, 8)).astype(np.float32)
    x = Model(kind, network, operator).sample(y, 1, value_range=(0, 1), dims="byx")["mean"].to_numpy()
    low = torch.from_numpy(y)
    expected = operator.invert(low) if kind == "pseudo-inverse" else resize(low, kind, 4)
    np.testing.assert_allclose(x, expected, atol=1e-5)
