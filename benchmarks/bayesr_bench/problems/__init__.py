"""Problems with a known posterior: many high-resolution images for one low-resolution image, with exact probabilities.

A trained model can be compared with the true posterior only where that can be computed. `GaussianField` has a normal
posterior with a known mean and covariance. `Mixture` has a finite posterior, whose candidates share one low-resolution
image exactly. `equal_observations` collects patches of photographs that share a low-resolution image within a
tolerance. Each can be written as a data set with dimensions ``(scene, candidate, band, y, x)`` and a ``probability``.
The first two are sources of training pairs as well.
"""

from bayesr_bench.problems.gaussian_field import DEVIATION, MIDDLE, GaussianField
from bayesr_bench.problems.mixture import Mixture
from bayesr_bench.problems.photographs import equal_observations

__all__ = ["DEVIATION", "MIDDLE", "GaussianField", "Mixture", "equal_observations"]
