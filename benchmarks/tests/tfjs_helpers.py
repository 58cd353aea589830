"""A network of TensorFlow.js that repeats pixels, written as a package of npm holds it."""

import json

import numpy as np


def layer(kind, name, inputs, **config):
    nodes = [[[source, 0, 0, {}] for source in inputs]] if inputs else []
    return {"class_name": kind, "name": name, "config": {"name": name} | config, "inbound_nodes": nodes}


def convolution(name, source, **config):
    plain = dict(kernel_size=[3, 3], strides=[1, 1], padding="same", use_bias=True, activation="linear")
    return layer("Conv2D", name, [source], **(plain | config))


def repeating(scale=4):
    """Layers and weights of a network that repeats every pixel, in a way that uses each kind of layer."""
    kernel = np.zeros((3, 3, 3, 3 * scale**2), np.float32)
    kernel[1, 1] = np.tile(np.eye(3), scale**2)
    layers = [
        layer("InputLayer", "in", []),
        layer("Activation", "positive", ["in"], activation="relu"),
        layer("Concatenate", "both", ["in", "positive"], axis=3),
        convolution("half", "both"),
        layer("MultiplyBeta", "scaled", ["half"], beta=0.5),
        layer("MultiplyBeta", "other", ["in"], beta=0.5),
        layer("Add", "sum", ["scaled", "other"]),
        convolution("wide", "sum"),
        layer("PixelShuffle4x", "shuffled", ["wide"], scale=scale),
    ]
    half = np.zeros((3, 3, 6, 3), np.float32)
    half[1, 1] = np.concatenate([np.eye(3), np.eye(3)]) / 2
    weights = {
        "wide/kernel": kernel, "wide/bias": np.zeros(3 * scale**2, np.float32),
        "half/kernel": half, "half/bias": np.zeros(3, np.float32),
    }  # fmt: skip
    return layers, weights


def write(folder, layers, weights, shards=3):
    """Write a network to a folder, with its weights divided at any byte."""
    folder.mkdir(parents=True, exist_ok=True)
    raw = b"".join(values.astype("<f4").tobytes() for values in weights.values())
    listed = [{"name": k, "shape": list(v.shape), "dtype": "float32"} for k, v in weights.items()]
    edges = np.linspace(0, len(raw), shards + 1).astype(int)
    names = [f"part{k}.bin" for k in range(shards)]
    for name, begin, end in zip(names, edges, edges[1:], strict=False):
        (folder / name).write_bytes(raw[begin:end])
    topology = {"model_config": {"config": {"layers": layers}}}
    model = {"modelTopology": topology, "weightsManifest": [{"paths": names, "weights": listed}]}
    (folder / "model.json").write_text(json.dumps(model))
    return folder


def package(prefix, name="@upscalerjs/esrgan-thick", version="1.2.3"):
    """Install the network in a folder, as npm does."""
    place = prefix / "node_modules" / name
    write(place / "models" / "x4", *repeating())
    (place / "package.json").write_text(json.dumps({"name": name, "version": version}))
    return place
