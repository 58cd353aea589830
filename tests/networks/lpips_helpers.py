"""Weights of a narrow AlexNet for tests of LPIPS."""

import io
import pickle

import numpy as np

WIDTHS = 4, 6, 5, 4, 3


def weights(seed=0, name="AlexNet_0"):
    """Weights of a narrow AlexNet, in the form of the package's files."""
    random, inputs, network, heads = np.random.default_rng(seed), 3, {}, {}
    for k, (outputs, size) in enumerate(zip(WIDTHS, (11, 5, 3, 3, 3), strict=True)):
        kernel = random.normal(0, (size * size * inputs) ** -0.5, (size, size, inputs, outputs))
        network[f"Conv_{k}"] = {"kernel": kernel.astype(np.float32), "bias": np.full(outputs, 0.1, np.float32)}
        heads[f"NetLinLayer_{k}"] = {"Conv_0": {"kernel": random.random((1, 1, outputs, 1), np.float32)}}
        inputs = outputs
    return {name: network, **heads}


def as_file(content, protocol=3):
    return io.BytesIO(pickle.dumps(content, protocol))
