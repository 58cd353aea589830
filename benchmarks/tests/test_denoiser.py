"""The denoiser of the samplers."""

import sys

import numpy as np
import pytest
import torch

from bayesr.errors import BayesrError, EngineUnavailable
from bayesr.training.data import ImageSet
from bayesr_bench import denoiser


@pytest.fixture(scope="module")
def learnt():
    """(a denoiser after a few steps, its card) of smooth images."""
    y, x = np.mgrid[0:80, 0:80] / 80
    image = np.stack([255 * x, 255 * y, 127 + 100 * np.sin(5 * x)], -1).astype(np.uint8)
    return denoiser.train(ImageSet(("a", "b"), (image, image[::-1].copy())), 3.0)


def test_it_learns_to_denoise(learnt):
    net, card = learnt
    assert card["steps"]["denoiser"] > 1 and card["processor_seconds"] >= 3 and card["images"] == 2
    y, x = torch.meshgrid(torch.linspace(0, 1, 64), torch.linspace(0, 1, 64), indexing="ij")
    image = torch.stack([x, y, 1 - x])[None]
    noise = torch.randn(image.shape, generator=torch.Generator().manual_seed(0))
    for sigma in (0.3, 1.0):
        assert (net(image + sigma * noise, sigma) - image).square().mean() < 0.6 * sigma**2
    # Samplers may start beyond the noise of its training: there it gives an image near the mean.
    assert (net(image + 50 * noise, 50.0) - image).square().mean() < 0.5


def test_it_is_kept_in_a_file(learnt, tmp_path):
    net, card = learnt
    file = denoiser.save(net, card, tmp_path / "d.safetensors")
    found, facts = denoiser.load(file)
    x = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(found(x, 0.1), net(x, 0.1), atol=2e-3, rtol=0)  # fp16
    assert facts == card


def test_the_package_that_is_missing_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "deepinv", None)
    with pytest.raises(EngineUnavailable, match=r"pip install 'bayesr-bench\[deepinv\]'"):
        denoiser.deepinv()
    assert issubclass(EngineUnavailable, BayesrError)
