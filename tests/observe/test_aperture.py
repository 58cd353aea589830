import numpy as np
import pytest

from bayesr.observe.aperture import transfer_function


def test_the_transfer_function_is_the_overlap_of_two_discs():
    """Compare with the overlap of a pupil and its copy, shifted by 2v radii, and with the Airy function."""
    y, x = (np.mgrid[0:1001, 0:1001] + 0.5) / 500.5 - 1
    pupil = np.hypot(x, y) < 1
    for v in (0.0, 0.2, 0.5, 0.9, 1.0, 1.3):
        overlap = pupil & (np.hypot(x - 2 * v, y) < 1)
        assert transfer_function(np.array(v)) == pytest.approx(overlap.sum() / pupil.sum(), abs=2e-3)
