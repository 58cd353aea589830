"""Comparison of Datasets of scores."""

import numpy as np


def same(a, b, tolerance=1e-6):
    assert set(a.variables) == set(b.variables)
    for name in a.variables:
        np.testing.assert_allclose(a[name], b[name], rtol=tolerance, atol=tolerance, err_msg=str(name))
