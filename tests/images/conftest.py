import numpy as np
import pytest


@pytest.fixture
def rgb():
    return np.random.default_rng(0).integers(0, 256, (7, 9, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def counts() -> np.ndarray:
    """`band x y x x`, larger than one block, with sizes that are no multiples of blocks."""
    return np.random.default_rng(0).integers(0, 999, (2, 1100, 1060), dtype=np.uint16)
