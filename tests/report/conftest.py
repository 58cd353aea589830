"""A product of a synthetic scene, in memory and in a store."""

import json
import re

import numpy as np
import pytest

import bayesr
from bayesr.report.describe import page_data


def data_for(product, reference=None, tmp=None, **options):
    given = {"img": None, "window": None, "redraw": 0, "progress": False} | options
    return page_data(product, reference, tmp, **given)


def data_of(path):
    return json.loads(re.search(r'id="data">(.*?)</script>', path.read_text("utf-8"), re.S).group(1))


@pytest.fixture(scope="session")
def truth():
    """A scene with an edge, texture and flat parts; `y x x x band`, uint8."""
    y, x = np.mgrid[0:64, 0:96] / 64
    scene = np.stack([x / 1.5, 0.5 + 0.4 * np.sin(25 * x * y), (x > y) * 0.8 + 0.1])
    return (scene * 255).round().astype(np.uint8).transpose(1, 2, 0)


@pytest.fixture(scope="session")
def low(truth):
    return truth.reshape(16, 4, 24, 4, 3).mean((1, 3)).round().astype(np.uint8)


@pytest.fixture(scope="session")
def saved(tmp_path_factory, model):
    """The model's file."""
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    model.save(path)
    return path


@pytest.fixture(scope="session")
def ds(saved, low):
    return bayesr.sample(low, n=8, model=saved)


@pytest.fixture(scope="session")
def places(tmp_path_factory, saved, low):
    """The folder of a store."""
    folder = tmp_path_factory.mktemp("report")
    bayesr.sample(low, n=8, model=saved, store=folder / "scene.zarr", progress=False)
    return folder
