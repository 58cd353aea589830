import torch

from bayesr.networks.layers import sub_pixels


def test_sub_pixels_are_a_pixel_shuffle():
    g = torch.rand(2, 48, 5, 6)
    for layout in (torch.contiguous_format, torch.channels_last):
        assert torch.equal(sub_pixels(g.contiguous(memory_format=layout), 4), torch.nn.functional.pixel_shuffle(g, 4))
