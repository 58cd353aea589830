"""A product that many tests read."""

import pytest


@pytest.fixture(scope="session")
def ds(model, photo):
    return model.sample(photo, 32)
