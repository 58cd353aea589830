"""Model files and segmenter files of 0.1.0 are read, and their products are equal to 1e-5 of the value range."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import bayesr
from tests.compatibility.conftest import FIXTURES, bundled, comparable

PRODUCTS = json.loads((FIXTURES / "facts.json").read_text())["products"]
BUNDLED = [name for name in PRODUCTS if name.endswith("-x4") and name != "residual-full-x4"]
RANGE = 255.0
ATOL = 1e-5 * RANGE


def file_of(name: str, model_files: Path) -> Path:
    """Return the file of a model of 0.1.0."""
    return bundled(name) if name in BUNDLED else model_files / f"{name}.safetensors"


def tolerance(variable: str, expected: np.ndarray) -> float:
    """Return the tolerance of a variable where members differ by 1e-5 of the range."""
    if variable in ("variance", "aleatoric", "epistemic"):  # d(s^2) = 2 s ds
        return ATOL * (1 + 2 * float(np.sqrt(np.abs(expected).max())))
    return 1e-3 if variable == "calibration" else ATOL


@pytest.mark.parametrize("name", PRODUCTS)
def test_a_model_file_gives_the_same_product(name, model_files, expected, facts):
    model, attributes = file_of(name, model_files), facts["products"][name]
    ds = bayesr.sample(
        expected[f"{name}/input"], attributes["n"], dims=("y", "x", "band"), model=model, seed=7, device="cpu"
    )
    assert comparable(ds.attrs) == comparable(attributes) | {"input": ds.attrs["input"], "model": model.stem}
    assert json.loads(ds.attrs["input"]).items() >= json.loads(attributes["input"]).items()
    for key, values in expected.items():
        of, _, variable = key.rpartition("/")
        if of != name or variable == "input":
            continue
        found = ds[variable].to_numpy()
        if variable == "samples" and len(found) > 1:
            found = found[[0, -1]]
        atol = tolerance(variable, values)
        np.testing.assert_allclose(found, values, rtol=0, atol=atol, err_msg=f"{variable} of {name}")


@pytest.mark.parametrize("name", ["residual-full-x4", "ensemble", "mc-dropout", "quantile", *BUNDLED])
def test_a_product_of_before_is_replayed(name, model_files, expected, facts):
    """Members are drawn again from the attributes alone, as of an old file."""
    image = expected[f"{name}/input"]
    model = None if name in BUNDLED else file_of(name, model_files)
    ds = bayesr.sample(image, 1, dims=("y", "x", "band"), model=file_of(name, model_files), seed=1)
    ds.attrs = facts["products"][name]
    last = ds.attrs["n"] - 1
    member = bayesr.replay(ds, last, image, model=model)
    np.testing.assert_allclose(member, expected[f"{name}/samples"][-1], rtol=0, atol=ATOL)
    assert int(member["realization"]) == last


@pytest.mark.parametrize("name", [name for name in PRODUCTS if name not in BUNDLED])
def test_a_model_that_is_saved_again_keeps_its_checksum_and_members(name, model_files, expected, tmp_path):
    """The checksum is over the stored names and values of weights: neither may change."""
    before = bayesr.load(model_files / f"{name}.safetensors")
    again = bayesr.load(before.save(tmp_path / f"{name}.safetensors"))
    assert again.sha256 == before.sha256 and again.card == before.card and again.promises == before.promises
    image = expected[f"{name}/input"]
    n = len(expected[f"{name}/samples"])
    first, second = (
        bayesr.sample(image, n, dims=("y", "x", "band"), model=model, level=0.5) for model in (before, again)
    )
    np.testing.assert_array_equal(first["samples"], second["samples"])
    np.testing.assert_array_equal(first["lower"], second["lower"])


def test_weights_that_were_bundled_keep_their_halos(facts, model_files):
    assert {name: bayesr.load(file_of(name, model_files)).halo for name in BUNDLED} == facts["halo"]


@pytest.mark.parametrize("name", ["unet", "unet-borders", "probabilistic-unet", "annotators"])
def test_a_segmenter_file_gives_the_same_segmentation(name, model_files, expected):
    ds = bayesr.sample(expected["segmenters/input"], 4, model=bundled("fluorescence-x4"), seed=7, device="cpu")
    found = bayesr.segment(ds, model_files / f"segmenter-{name}.safetensors")
    for variable in ("probability", "mutual_information"):
        values = expected[f"segmenters/{name}/{variable}"]
        # Entropies have an infinite slope at 0 and 1, and members differ by 1e-5 of the range between processors.
        atol = 1e-4 if variable == "probability" else 1e-3
        np.testing.assert_allclose(found[variable], values, rtol=0, atol=atol, err_msg=variable)
