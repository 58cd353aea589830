"""A product with its reference and its scores."""

import numpy as np
import pytest

import bayesr


@pytest.fixture(scope="session")
def low(photo):
    return photo[:12, :15]


@pytest.fixture(scope="session")
def ds(model, low):
    return model.sample(low, 8)


@pytest.fixture(scope="session")
def truth(ds):
    """A whole-number image near the mean, some of it saturated; `band x y x x`."""
    noise = np.random.default_rng(1).normal(0, 12, ds["mean"].shape)
    return np.clip(np.rint(ds["mean"].values + noise), 0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def scores(ds, truth, model):
    return bayesr.score(ds, truth, dims="byx", model=model)
