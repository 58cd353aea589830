import json

import numpy as np
import pytest

from bayesr.calibration.coverage import BORDER, CoverageRecord, border_class
from bayesr.calibration.factor import FactorFit
from bayesr.calibration.intervals import missed_curve, smallest_lambda


def test_border_classes():
    found = border_class(36, 300, 4)
    assert found.shape == (36, 300) and found[0, 150] == found[3, 150] == found[18, 299] == 0 and found[4, 150] == 1
    assert found[17, 150] == BORDER.index(4), "17 rows are 4 pixels from the border, not a fraction more"
    assert border_class(600, 600, 4)[300, 300] == len(BORDER) - 1


@pytest.fixture(scope="module")
def errors():
    rng = np.random.default_rng(5)
    std = rng.lognormal(-3, 0.5, (21, 2, 40, 60))
    return std, rng.standard_normal(std.shape) * std * rng.lognormal(0, 0.2, (21, 1, 1, 1))


def test_coverage_is_that_of_intervals_from_the_other_images(errors):
    """Compare with brute force: lambda from the other images, pixels counted one by one."""
    record = CoverageRecord(32, 4)
    for std, error in zip(*errors, strict=True):
        record.add(std, error, 0.01)
    tables = json.loads(json.dumps(record.tables([0.9, 0.954])))
    curves = [missed_curve(std, error, 0.01) for std, error in zip(*errors, strict=True)]
    row = tables["level"].index(0.9)
    covered, widths, held = [], [], np.zeros((2, len(BORDER)))
    for i, (std, error) in enumerate(zip(*errors, strict=True)):
        width = smallest_lambda(np.mean(curves[:i] + curves[i + 1 :], 0), 0.9, 20)
        inside = np.abs(error) <= width * std + 0.005
        covered.append(inside.mean())
        widths.append(2 * width * std.mean() + 0.01)
        classes = np.broadcast_to(border_class(40, 60, 4), inside.shape)
        held += [np.bincount(classes.ravel(), weights, len(BORDER)) for weights in (inside.ravel(), None)]
    # Curves are linear between lambdas 3% apart.
    assert abs(tables["coverage"][row] - np.mean(covered)) < 2e-3
    assert abs(tables["worst"][row] - np.min(covered)) < 5e-3 and abs(tables["median"][row] - np.median(covered)) < 5e-3
    np.testing.assert_allclose(tables["standard_error"][row], np.std(covered, ddof=1) / np.sqrt(21), rtol=0.05)
    np.testing.assert_allclose(tables["width"][row], np.mean(widths), rtol=1e-4)
    near = held[1] > 0
    np.testing.assert_allclose(np.array(tables["border"][row], float)[near], held[0, near] / held[1, near], atol=3e-3)
    assert all(v is None for v in np.array(tables["border"][row])[~near])
    assert tables["coverage"][tables["level"].index(0.954)] is None, "21 images support it, the 20 others do not"


def test_spread_classes_show_the_misfit(errors):
    for factor in (1.0, 0.5):
        record = CoverageRecord(8, 4)
        for std, error in zip(*errors, strict=True):
            record.add(factor * std, error, 0.0)
        tables = record.tables([])
        assert sum(tables["pixels"]) == errors[0].size and len(tables["std"]) == 16
        ratio = np.array(tables["rmse"]) / tables["std"] * factor * np.sqrt(1 + 1 / 8)
        assert (np.diff(tables["std"]) > 0).all() and np.abs(ratio - 1.0).max() < 0.15


def test_missing_pixels_do_not_count(errors):
    """Values under missing pixels enter none of the sums."""
    std, error = errors[0][0], errors[1][0].copy()
    error[:, :20] = np.nan
    np.testing.assert_array_equal(missed_curve(std, error, 0.0), missed_curve(std[:, 20:], error[:, 20:], 0.0))
    whole, half = FactorFit(), FactorFit()
    whole.add(std**2, error, 32)
    half.add(std[:, 20:] ** 2, error[:, 20:], 32)
    np.testing.assert_array_equal(whole.fit(), half.fit())
    record = CoverageRecord(32, 4)
    record.add(std, error, 0.0)
    assert sum(record.tables([])["pixels"]) == error[:, 20:].size
