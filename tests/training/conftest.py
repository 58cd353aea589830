"""Images with equal low-resolution patches."""

import numpy as np
import pytest

from bayesr.training.data import ImageSet


@pytest.fixture
def textures():
    rng = np.random.default_rng(0)
    flat = [rng.integers(60, 64, (40, 48, 3)).astype(np.uint8) + np.uint8(2 * i) for i in range(4)]
    return ImageSet(tuple(f"{i}.png" for i in range(4)), tuple(flat))
