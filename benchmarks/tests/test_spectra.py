"""Power by frequency, of noise whose power is known."""

import numpy as np

from bayesr_bench.spectra import EDGES, decades, powers, rounded


def test_power_is_known_of_noise():
    found = powers(np.random.default_rng(0).normal(0, 3, (6, 2, 96, 120)))
    assert found.shape == (len(EDGES) - 1,)
    np.testing.assert_allclose(found[1:], 9, rtol=0.1)


def test_decades_are_those_of_the_power():
    truth = np.random.default_rng(0).normal(0, 3, (2, 64, 48))
    np.testing.assert_allclose(decades(10 * truth[None], truth), 2)
    assert rounded(np.array([-3.0, 1.5, 2.5, 300.0])).tolist() == [0, 2, 2, 255]
