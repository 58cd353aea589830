import numpy as np
import pytest

import bayesr


def test_ssim_by_hand(ds, truth, scores):
    t = np.arange(-5, 6)
    weights = np.exp(-(t**2) / (2 * 1.5**2))
    weights = np.outer(weights, weights) / weights.sum() ** 2
    c1, c2, found = (0.01 * 255) ** 2, (0.03 * 255) ** 2, []
    for a, b in zip(ds["mean"].values.astype(float), truth.astype(float), strict=True):
        a, b = (np.lib.stride_tricks.sliding_window_view(v, (11, 11)) for v in (a, b))
        ma, mb = (np.sum(v * weights, (-2, -1)) for v in (a, b))
        va, vb, ab = (np.sum(p * q * weights, (-2, -1)) for p, q in ((a, a), (b, b), (a, b)))
        va, vb, ab = va - ma**2, vb - mb**2, ab - ma * mb
        found.append((2 * ma * mb + c1) * (2 * ab + c2) / ((ma**2 + mb**2 + c1) * (va + vb + c2)))
    assert float(scores["ssim"]) == pytest.approx(np.mean(found), rel=1e-6)


def test_levels(ds, truth, scores, model):
    assert list(scores["level"].values) == [0.5, 0.8, 0.9, 0.95]
    assert (np.diff(scores["width"]) > 0).all() and (np.diff(scores["coverage"]) >= 0).all()
    assert "calibration of tiny" in scores.attrs["interval_source"]
    fallback = bayesr.score(ds, truth, dims="byx", levels=(0.5, 0.999))
    assert "Student" in fallback.attrs["interval_source"], "no model of this name is found"
    too_far = bayesr.score(ds, truth, dims="byx", levels=(0.999,), model=model)
    assert np.isnan(too_far["coverage"]).all(), "60 images do not support this level"
