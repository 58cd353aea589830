"""A product, and the segmentation of its members."""

import numpy as np
import pytest

import bayesr
from tests.segmentation.helpers import bright


@pytest.fixture(scope="module")
def low():
    """Blobs on a dark background, `y x x`, as a camera with 12 bits gives them."""
    y, x = np.mgrid[:18, :22]
    spots = sum(np.exp(-((y - a) ** 2 + (x - b) ** 2) / 6) for a, b in ((4, 5), (12, 6), (9, 16)))
    return (300 + 3000 * spots).astype(np.uint16)


@pytest.fixture(scope="module")
def ds(grey_model, low):
    return grey_model.sample(low, 6)


@pytest.fixture(scope="module")
def found(ds):
    return bayesr.segment(ds, bright, keep_members=True)
