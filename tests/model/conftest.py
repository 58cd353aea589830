"""A model file."""

import pytest


@pytest.fixture
def file(model, tmp_path):
    return model.save(tmp_path / "tiny.safetensors")
