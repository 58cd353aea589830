"""Files that version 0.1.0 wrote (see ``tests/fixtures/make.py``), unpacked."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

FIXTURES = Path(__file__).parents[1] / "fixtures"


def unpacked(name: str, folder: Path) -> Path:
    """Unpack an archive into a new folder."""
    with zipfile.ZipFile(FIXTURES / f"{name}.zip") as archive:
        archive.extractall(folder / name)
    return folder / name


@pytest.fixture(scope="session")
def expected() -> Mapping[str, NDArray[Any]]:
    """Arrays by name, such as ``swin/samples``."""
    with np.load(FIXTURES / "expected.zip") as archive:
        return dict(archive)


@pytest.fixture(scope="session")
def facts() -> dict[str, Any]:
    """Attributes of products, halos of models."""
    found: dict[str, Any] = json.loads((FIXTURES / "facts.json").read_text())
    return found


@pytest.fixture(scope="session")
def model_files(tmp_path_factory) -> Path:
    """The folder of model files and segmenter files."""
    return unpacked("models", tmp_path_factory.mktemp("fixtures"))


@pytest.fixture
def store(tmp_path) -> Path:
    """A copy of the finished store, which a test may change."""
    return unpacked("store", tmp_path)


@pytest.fixture
def unfinished(tmp_path) -> Path:
    """A copy of the store that lacks one of its two tiles."""
    return unpacked("unfinished", tmp_path)
