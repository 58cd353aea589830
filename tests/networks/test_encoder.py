import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bayesr.networks.encoder import Encoder


def encoder(bands=1, scale=2, latent=3, **options):
    torch.manual_seed(0)
    return Encoder(bands, scale, latent, width=8, blocks=1, **options)


@given(st.integers(1, 3), st.sampled_from([1, 2, 4]), st.integers(1, 4), st.integers(1, 6), st.integers(1, 6))
def test_latents_are_those_of_low_resolution_pixels(bands, scale, latent, height, width):
    low, detail = torch.rand(2, bands, height, width), 0.1 * torch.randn(2, bands, scale * height, scale * width)
    mean, std = encoder(bands, scale, latent)(detail, low)
    assert mean.shape == std.shape == (2, latent, height, width) and (std > 0).all()


@pytest.mark.parametrize("size", [1e-3, 1e6])
def test_standard_deviations_are_bounded(size):
    low, detail = torch.rand(1, 1, 4, 4), size * torch.randn(1, 1, 8, 8)
    network = encoder()
    with torch.no_grad():
        network.exit.weight.mul_(100)
        std = network(detail, low)[1]
    assert math.exp(-6) * 0.999 <= float(std.min()) and float(std.max()) <= math.e * 1.001


def test_latents_begin_informative_and_noise_as_given():
    network = encoder(noise=0.2)
    assert float(network.log_noise.detach().exp()) == pytest.approx(0.2)
    std = network(torch.zeros(1, 1, 8, 8), torch.full((1, 1, 4, 4), 0.5))[1]
    assert float(std.detach().mean()) < 0.6
