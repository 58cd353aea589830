"""A product of a float image."""

import numpy as np
import pytest


@pytest.fixture(scope="session")
def ds(model, photo):
    """Members of a float image, which are not clipped."""
    return model.sample(photo[:12, :15].astype(np.float32), 24, value_range=(0, 255))
