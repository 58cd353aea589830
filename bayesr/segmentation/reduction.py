"""Reduction of the segmentations of all members to maps, one member at a time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import entr

Array = NDArray[np.float32]


def entropy(probability: Array) -> Array:
    """Compute the entropy ``-sum_c p_c log p_c`` in nats, of foreground `y x x` or of classes `class x y x x`."""
    total: Array = entr(probability[0] if probability.ndim == 3 else probability)
    for other in probability[1:] if probability.ndim == 3 else [1 - probability]:
        total += entr(other)
    return total


class Agreement:
    """Accumulates the means of members' probabilities and of their entropies."""

    def __init__(self) -> None:
        self.n = 0
        self._sum: Array | None = None
        self._entropies: Array | None = None

    def add(self, probability: Array) -> None:
        """Add the probabilities of a member, `y x x` or `class x y x x`; NaN marks pixels without data."""
        if self._sum is None or self._entropies is None:
            self._sum, self._entropies = np.zeros_like(probability), np.zeros(probability.shape[-2:], np.float32)
        self._sum += probability
        self._entropies += entropy(probability)
        self.n += 1

    def variables(self, threshold: float) -> dict[str, NDArray[np.generic]]:
        """Return ``probability``, ``mask``, ``entropy`` and ``mutual_information``, ``H(mean p) - mean H(p)`` >= 0."""
        assert self._sum is not None and self._entropies is not None
        mean = np.clip(self._sum / np.float32(self.n), 0, 1)
        total = entropy(mean)
        with np.errstate(invalid="ignore"):
            mask = mean >= threshold if mean.ndim == 2 else np.nan_to_num(mean).argmax(0)  # 0 where NaN
        mutual = np.maximum(total - self._entropies / np.float32(self.n), np.float32(0))
        return dict(probability=mean, mask=mask.astype(np.uint8), entropy=total, mutual_information=mutual)
