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

from bayesr.model.catalogue import recorded
from bayesr.product.schema import FORMER

FIXTURES = Path(__file__).parents[1] / "fixtures"


def unpacked(name: str, folder: Path) -> Path:
    """Unpack an archive into a new folder."""
    with zipfile.ZipFile(FIXTURES / f"{name}.zip") as archive:
        archive.extractall(folder / name)
    return folder / name


def comparable(attrs: Mapping[Any, Any]) -> dict[Any, Any]:
    """Return attributes of a product under their present names, without those of a run: times and versions."""
    former = {old: name for name, old in FORMER.items()}
    found = {former.get(k, k): v for k, v in attrs.items() if k not in ("history", "bayesr_version", "title")}
    found["engine"] = {k: v for k, v in json.loads(attrs["engine"]).items() if k != "torch"}
    return found


def bundled(name: str) -> Path:
    """Return the file with the weights that 0.1.0 bundled as `name`, whatever their name is by now."""
    known = json.loads((FIXTURES / "facts.json").read_text())["products"][name]
    found = recorded(known["model"], known["model_sha256"], known["calibration_source"])
    assert found is not None, f"products of {name} cannot be drawn again: bundle its weights under another name"
    return found


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
