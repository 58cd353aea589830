"""Narrow networks for tests of LPIPS."""

import io
import pickle

import numpy as np

from bayesr.networks.features.lpips import NETWORKS

WIDTHS = 4, 6, 5, 4, 3
SIZES = {"alexnet": (11, 5, 3, 3, 3), "vgg16": (3,) * 13}
"""Sizes of the kernels of each network."""


def weights(seed=0, name="AlexNet_0", of="alexnet"):
    """Weights of a narrow network, in the form of the package's files, which call it by `name`."""
    random, inputs, network, heads = np.random.default_rng(seed), 3, {}, {}
    layers, widths = NETWORKS[of], iter(WIDTHS)
    outputs = next(widths)
    for k, (layer, size) in enumerate(zip(layers, SIZES[of], strict=True)):
        kernel = random.normal(0, (size * size * inputs) ** -0.5, (size, size, inputs, outputs))
        network[f"Conv_{k}"] = {"kernel": kernel.astype(np.float32), "bias": np.full(outputs, 0.1, np.float32)}
        inputs = outputs
        if layer.seen:
            head = random.random((1, 1, outputs, 1), np.float32)
            heads[f"NetLinLayer_{len(heads)}"] = {"Conv_0": {"kernel": head}}
            outputs = next(widths, outputs)
    return {name: network, **heads}


def as_file(content, protocol=3):
    return io.BytesIO(pickle.dumps(content, protocol))
