import pytest
import torch
import torch.nn.functional as F

from bayesr.networks.layers import interpolated, sub_pixels


def test_sub_pixels_are_a_pixel_shuffle():
    g = torch.rand(2, 48, 5, 6)
    for layout in (torch.contiguous_format, torch.channels_last):
        assert torch.equal(sub_pixels(g.contiguous(memory_format=layout), 4), torch.nn.functional.pixel_shuffle(g, 4))


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_values_of_sub_pixels_are_interpolated_linearly(scale):
    """One value per low-resolution pixel becomes what bilinear interpolation makes of it."""
    low = torch.rand(2, 3, 5, 6)
    values = low.repeat_interleave(scale**2, 1)
    found = sub_pixels(interpolated(values, scale), scale)
    expected = F.interpolate(low, scale_factor=scale, mode="bilinear", align_corners=False)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
