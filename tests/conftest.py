"""Fixtures: a tiny, untrained, stochastic network, whose tested properties hold for any weights, and test images."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

# Threads do not help on tiny arrays; parallel processes (pytest -n 2) use the cores instead.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import PIL.Image
import pytest
import torch
from hypothesis import settings

from bayesr.calibration.calibration import Calibration
from bayesr.calibration.intervals import LAMBDAS
from bayesr.model.model import Model
from bayesr.networks.registry import build
from bayesr.observe import bicubic
from bayesr.training.data import load_images
from bayesr.training.loop import Trainer
from bayesr.training.pairs import Pairs
from bayesr.training.recipe import Recipe, Stage

if TYPE_CHECKING:
    from distributed import Client

settings.register_profile("bayesr", deadline=None, max_examples=25, derandomize=True)
settings.load_profile("bayesr")

TINY = Recipe(
    "tiny",
    dict(width=8, blocks=1, head_width=8, head_blocks=2, latent=2),
    (
        Stage("fidelity", 3, 1e-3, batch=2, members=0, loss="fidelity"),
        Stage("score", 3, 1e-3, batch=2, patches={4: 0.5}),
        Stage("critic", 4, 1e-3, batch=2, patches={4: 0.5}, features=0.2, adversarial=0.01, warmup=1),
    ),
    patch=8,
)
"""A recipe with every kind of stage, in ten steps."""


def make_model(bands: int = 3, head_blocks: int = 2, seed: int = 0, latent: int = 2, head: str = "stochastic") -> Model:
    """A model whose members differ by several grey levels."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        sizes = dict(width=8, blocks=1, head_width=8, head_blocks=head_blocks, latent=latent)
        generator = build(bands=bands, scale=4, **sizes, dropout=0.3, head=head)
        for parameter in generator.parameters():
            if parameter.dim() == 4:
                torch.nn.init.normal_(parameter, std=0.05)
    return Model(
        "tiny",
        generator.eval().requires_grad_(False),
        bicubic(4),
        Calibration(
            np.array([1e-3, 1e-2, 1e-1]),
            np.array([2.0, 1.5, 1.0]),
            {n: np.exp(-LAMBDAS * (1 - 1 / n)) for n in (2, 8, 32)},
            60,
            "made up for tests",
        ),
        {"domain": "noise", "parameters": 1},
        "0" * 64,
    )


@pytest.fixture(scope="session")
def model() -> Model:
    return make_model()


@pytest.fixture(scope="session")
def grey_model() -> Model:
    return make_model(bands=1)


@pytest.fixture(scope="session")
def photo() -> np.ndarray:
    """Low-resolution image with smooth parts, an edge and saturated corners, `y x x x band`, uint8."""
    y, x = np.mgrid[0:92, 0:120] / 120
    scene = np.stack([x + 0.2 * np.sin(9 * y), y * 1.4, 0.5 + 0.6 * np.sign(x - y) * x])
    scene = (np.clip(scene, 0, 1) * 255).round()
    seen = bicubic(4).observe(torch.from_numpy(scene)).clamp(0, 255).round()
    return seen.permute(1, 2, 0).numpy().astype(np.uint8)


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    """A client of a cluster with one worker of three threads, in this process."""
    from distributed import Client, LocalCluster  # slow to import, and few tests need it

    settings = dict(processes=False, protocol="tcp", host="127.0.0.1", dashboard_address=":0")
    with LocalCluster(n_workers=1, threads_per_worker=3, **settings) as cluster, Client(cluster) as client:
        yield client


@pytest.fixture
def folder(tmp_path):
    """Six colour images of 40 x 48 pixels, in blocks of 4 x 4."""
    rng = np.random.default_rng(0)
    (tmp_path / "photos").mkdir()
    for i in range(6):
        blocks = np.kron(rng.integers(30, 225, (10, 12, 3)), np.ones((4, 4, 1))).astype(np.uint8)
        PIL.Image.fromarray(blocks).save(tmp_path / "photos" / f"{i}.png")
    return tmp_path / "photos"


@pytest.fixture
def trainer(folder) -> Trainer:
    return Trainer(TINY, Pairs(load_images([folder]), bicubic(4), TINY.patch))
