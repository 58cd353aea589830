"""The figure of the table of segmentation."""

import numpy as np

from bayesr_bench.nuclei import ALL
from bayesr_bench.nuclei_figure import pooled


def test_reliability_is_pooled_over_pixels(nuclei_found):
    predicted, share = pooled(nuclei_found.diagrams[ALL])
    np.testing.assert_allclose(predicted, [0, 1])
    np.testing.assert_allclose(share, [0, 1])
