"""A published network that repeats pixels, written by the test as a package of npm, and photographs to check it on."""

import importlib.metadata
from dataclasses import replace

import numpy as np
import PIL.Image
import pytest
from tfjs_helpers import package

from bayesr_bench import timing
from bayesr_bench.protocol import psnr
from bayesr_bench.published import NETWORKS, find
from bayesr_bench.sets import observe, read_set

NPM = "ESRGAN-thick"


def no_distribution(name):
    raise importlib.metadata.PackageNotFoundError(name)


def repeated(low):
    return low.repeat(4, 0).repeat(4, 1)


@pytest.fixture
def npm(tmp_path):
    """The folder in which a network is installed that repeats pixels."""
    package(tmp_path / "npm")
    return tmp_path / "npm"


@pytest.fixture
def set5(tmp_path):
    """Two photographs of 48 x 64 pixels as Set5."""
    (tmp_path / "bench" / "set5").mkdir(parents=True)
    photo = timing.example()
    for k in range(2):
        PIL.Image.fromarray(photo[20 * k : 20 * k + 48, :64]).save(tmp_path / "bench" / "set5" / f"{k}.png")
    return tmp_path / "bench"


@pytest.fixture
def known(npm, set5, monkeypatch):
    """The network with its true checksum and PSNR in the list of networks, and how to change them."""
    values = [
        psnr(repeated(observe(one.pixels)).astype(float), one.pixels, one.grey)
        for one in read_set(set5, "set5").values()
    ]

    def change(**settings):
        network = replace(NETWORKS[NPM], **settings)
        monkeypatch.setitem(NETWORKS, NPM, network)
        return find(NPM, npm)

    return change(sha256=find(NPM, npm).sha256, psnr=float(np.mean(values))), change
