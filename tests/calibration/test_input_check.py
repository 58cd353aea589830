"""Textures with power-law spectra stand for photographs; their degradation is known."""

import json
import warnings
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

import bayesr
from bayesr.calibration.input_check import InputCheck, InputStatistics
from bayesr.calibration.input_rules import FEWEST, compress_jpeg, fit_inputs
from bayesr.errors import UnfamiliarInput
from tests.calibration.helpers import as_bytes, blurred, noisy, texture


@pytest.fixture(scope="module", params=[3, 1], ids=["colour", "grey"])
def known(request) -> InputStatistics:
    found = fit_inputs((texture(seed, request.param) for seed in range(40)), request.param)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def fresh(known) -> list[np.ndarray]:
    return [texture(seed, known.bands) for seed in range(1000, 1040)]


def test_fresh_images_pass(known, fresh):
    verdicts = [known.check(x) for x in fresh]
    assert sum(bool(v.findings) for v in verdicts) <= 4
    assert {str(v) for v in verdicts if not v.findings} == {"as in calibration"}


@pytest.mark.parametrize(
    "kind, degrade",
    [
        ("blurred", blurred),
        ("JPEG blocks", lambda x: compress_jpeg(x, 30)),
        ("JPEG blocks", lambda x: compress_jpeg(x, 30)[:, 3:, 5:]),  # a crop does not begin where a block does
        ("noisy", noisy),
        ("intensity scale", lambda x: x / 10),
        ("intensity scale", lambda x: x * 16),
        ("intensity scale", lambda x: x - 1),
    ],
)
def test_degradations_are_named(known, fresh, kind, degrade):
    found = [known.check(degrade(x)).findings for x in fresh]
    assert sum(kind in findings for findings in found) >= 36
    # Strong compression takes the finest structure away too.
    allowed = {kind, "blurred"} if kind == "JPEG blocks" else {kind}
    assert sum(bool(findings.keys() - allowed) for findings in found) <= 4


def test_an_unknown_kind_of_image_is_unfamiliar(known):
    """Return sparse dots on black, which are no degraded version of a texture."""
    random = np.random.default_rng(0)
    x = np.zeros((known.bands, 80, 80))
    x[:, random.integers(0, 80, 250), random.integers(0, 80, 250)] = 1.0
    assert known.check(x).findings


def test_description_round_trip(known, fresh):
    text = json.dumps(known.describe())
    assert len(text) < 6000
    again = InputStatistics.from_description(json.loads(text))
    assert again.describe() == known.describe()
    for x in fresh:
        for image in (x, blurred(x), noisy(x)):
            assert str(again.check(image)) == str(known.check(image))


def test_statistics_of_another_version_are_not_used(known):
    assert InputStatistics.from_description(known.describe() | {"version": 0}) is None
    assert InputStatistics.from_description(None) is None


def test_a_one_band_model_looks_at_every_band():
    known = fit_inputs((texture(seed) for seed in range(FEWEST)), 1)
    x = texture(1000, 5)
    assert known.bands == 1 and not known.check(x).findings
    x[4] = blurred(x[4:])[0]
    assert list(known.check(x).findings) == ["blurred"] and "band 4" in known.check(x).findings["blurred"]


@pytest.mark.parametrize("shape", [(8, 8), (31, 200), (1, 1)])
def test_tiny_images_are_not_judged(known, shape):
    assert str(known.check(np.random.default_rng(0).random((known.bands, *shape)))).startswith("not checked: less than")


@given(st.floats(-1e3, 1e3, width=32))
def test_constant_images_are_not_judged(value):
    known = InputStatistics(1, 20, {}, {}, np.empty((0, 0)), (0, 1, 0.2))
    assert str(known.check(np.full((1, 40, 50), value))) == "not checked: the image is constant"


# -- in sampling -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def aware(model):
    return replace(model, inputs=fit_inputs((texture(seed) for seed in range(40)), 3))


def test_sample_warns_once_and_keeps_the_verdict(aware, fresh):
    x = texture(1000)
    ds = bayesr.sample(as_bytes(x), 2, model=aware, dims="byx")  # a warning would be an error
    assert ds.attrs["input_check"] == "as in calibration"
    with pytest.warns(UnfamiliarInput) as caught:
        ds = aware.sample(as_bytes(noisy(x, 20)), 2, dims="byx")
    assert ds.attrs["input_check"] == "unlike calibration: noisy"
    assert len(caught) == 1 and caught[0].filename == __file__
    assert "tiny" in str(caught[0].message) and "noisy: " in str(caught[0].message)


def test_scale_is_judged_by_value_range(aware):
    counts = np.round(texture(1000) * 4095).astype(np.uint16)
    with pytest.warns(UnfamiliarInput, match="value_range"):
        ds = aware.sample(counts, 2, dims="byx", value_range=(0, 65535))
    assert ds.attrs["input_check"] == "unlike calibration: intensity scale"
    assert aware.sample(counts, 2, dims="byx", value_range=(0, 4095)).attrs["input_check"] == "as in calibration"


def test_the_warning_can_be_silenced_and_changes_nothing(aware, model):
    x = as_bytes(blurred(texture(1000)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnfamiliarInput)
        ds = aware.sample(x, 2, dims="byx")
    assert ds.attrs["input_check"] == "unlike calibration: blurred"
    xr.testing.assert_equal(ds, model.sample(x, 2, dims="byx"))


def test_a_model_without_statistics_says_so(model):
    ds = model.sample(as_bytes(blurred(texture(1000))), 2, dims="byx")
    assert ds.attrs["input_check"].startswith("not checked: the model stores no statistics")


def test_stores_keep_the_verdict_and_resume(aware, tmp_path):
    x = as_bytes(texture(1001))
    aware.sample(x, 2, dims="byx", store=tmp_path / "a.zarr")
    again = aware.sample(x, 2, dims="byx", store=tmp_path / "a.zarr", resume=True)
    assert again.attrs["input_check"] == "as in calibration"


def test_the_model_file_keeps_the_statistics(aware, model, tmp_path):
    saved = bayesr.load(replace(aware, sha256="").save(tmp_path / "aware.safetensors"))
    assert saved.inputs.describe() == aware.inputs.describe()
    assert bayesr.load(model.save(tmp_path / "plain.safetensors")).inputs is None


def test_the_checks_of_slices_are_one():
    fine, odd, none = InputCheck({}), InputCheck({"noisy": "It is noisy."}), InputCheck({}, "it has no data")
    assert InputCheck.of_all([odd]) is odd
    found = InputCheck.of_all([fine, odd, none, odd])
    assert str(found) == "unlike calibration: noisy" and found.findings["noisy"] == "in 2 of 4 slices. It is noisy."
    assert str(InputCheck.of_all([fine, none])) == "as in calibration"
    assert str(InputCheck.of_all([none, none])) == "not checked: it has no data"
