import io

import numpy as np
import PIL.Image
import pytest
import skimage.data
import torch

from bayesr.training.jpeg import compressed

PHOTOGRAPH = skimage.data.astronaut()[100:171, 180:263]


def by_pillow(image, quality, halved):
    file = io.BytesIO()
    PIL.Image.fromarray(image).save(file, "JPEG", quality=quality, subsampling=2 if halved else 0)
    return np.asarray(PIL.Image.open(file)).astype(int)


def ours(image, quality, halved):
    x = torch.from_numpy(np.atleast_3d(image).astype(np.float32)).permute(2, 0, 1)[None] / 255
    found = compressed(x, torch.tensor([float(quality)]), torch.tensor([halved]))[0] * 255
    whole = found.round()
    assert (found - whole).abs().max() < 1e-3 and found.shape == x.shape[1:]
    return whole.permute(1, 2, 0).numpy().astype(int).reshape(image.shape)


@pytest.mark.parametrize("quality", [1, 10, 35, 49, 50, 75, 90, 95, 100])
@pytest.mark.parametrize("halved", [False, True])
@pytest.mark.parametrize("size", [(71, 83), (64, 48), (16, 17), (1, 1), (9, 70)])
def test_images_are_those_of_pillow_within_rounding(quality, halved, size):
    """Coefficients next to the border of two steps may fall to either side, in a few blocks."""
    image = PHOTOGRAPH[: size[0], : size[1]]
    apart = np.abs(ours(image, quality, halved) - by_pillow(image, quality, halved))
    assert (apart > 2).mean() < 0.03 and apart.mean() < 0.45, (apart.mean(), apart.max())


@pytest.mark.parametrize("quality", [20, 60, 95])
def test_grey_images_too(quality):
    image = PHOTOGRAPH[..., 1]
    apart = np.abs(ours(image, quality, False) - by_pillow(image, quality, False))
    assert (apart > 1).mean() < 0.02 and apart.mean() < 0.15


def test_each_image_has_its_own_quality():
    x = torch.rand(3, 3, 24, 40)
    quality, halved = torch.tensor([20.0, 60.7, 100.0]), torch.tensor([True, False, False])
    whole = compressed(x, quality, halved)
    for i in range(3):
        assert torch.equal(whole[i : i + 1], compressed(x[i : i + 1], quality[i : i + 1], halved[i : i + 1]))
    errors = (whole - x).square().mean((1, 2, 3))
    assert errors[0] > errors[1] > errors[2] > 0
    constant = torch.full((1, 3, 8, 8), 0.4)
    torch.testing.assert_close(compressed(constant, quality[2:], halved[2:]), constant, rtol=0, atol=1.5 / 255)
