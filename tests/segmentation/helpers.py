"""Networks and images that several test modules of segmentation use."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from bayesr.networks.segmenters.mobile_unet import MobileUNet


def unet(**options: object) -> MobileUNet:
    """A small U-Net in evaluation mode whose batch normalisations have random statistics, unlike a fresh network's."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)  # whose probabilities of noise lie on both sides of a half
        network = MobileUNet(**({"width": 0.25, "depth": 2} | options)).eval()
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(std=0.1)
                module.running_var.uniform_(0.5, 1.5)
                module.bias.data.normal_(std=0.1)
    return network


def noise() -> np.ndarray:
    """An image `band x y x x` of independent values about 100."""
    return np.random.default_rng(0).normal(100, 20, (1, 90, 101)).astype(np.float32)


def bright(image):
    return image[0] > 1500
