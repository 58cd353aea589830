"""Which members are drawn, and in which batches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

_BATCH_PIXELS = 4 * 128 * 128
"""Low-resolution pixels in a batch of members, which fit into a CPU's caches."""
_BATCH = 4


@dataclass(frozen=True)
class Plan:
    """Everything that decides the values of members, but for the image and the model. See `bayesr.sample`.

    Members are drawn from number `first` on, a multiple of `masks`. Earlier ones are known.
    """

    n: int
    masks: int
    seed: int
    tile: int
    first: int = 0

    @property
    def drawn(self) -> int:
        """Number of members to draw."""
        return self.n - self.first

    def batches(self, pixels: int) -> Iterator[tuple[int, list[int]]]:
        """Yield (mask, members) to draw together: members of one mask, as many as a window of `pixels` allows."""
        size = max(1, min(_BATCH, _BATCH_PIXELS // pixels))
        for mask in range(self.masks):
            members = list(range(self.first + mask, self.n, self.masks))
            for start in range(0, len(members), size):
                yield mask, members[start : start + size]


def default_masks(n: int, max_masks: int | None = None) -> int:
    """Return the largest divisor of `n` that is at most 8, n/2 and `max_masks`; 1 for n = 1."""
    return max(k for k in range(1, max(1, min(max_masks or 8, 8, n // 2)) + 1) if n % k == 0)
