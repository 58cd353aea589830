"""Which members are drawn, and in which batches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bayesr.observe import ForwardOperator
from bayesr.observe.agreement import reach_of

_BATCH_PIXELS = 4 * 128 * 128
"""Low-resolution pixels in a batch of members, which fit into a CPU's caches."""
_BATCH_MEMBERS = 4
"""Most members in a batch on a CPU."""


@dataclass(frozen=True)
class Plan:
    """Everything but the image and the model that decides the values of members. See `bayesr.sample`.

    Members are drawn from number `first` on, a multiple of `masks`. Earlier ones are known. `precision` is that of the
    networks; the projection onto the data, clipping and moments have float32. `operators` are those of the masks, or a
    single one of all, beside that of the model; there are none by default.
    """

    n: int
    masks: int
    seed: int
    tile: int
    first: int = 0
    precision: str = "float32"
    operators: tuple[ForwardOperator, ...] = ()

    @property
    def reach(self) -> int:
        """Low-resolution pixels that `operators` add to the halo of the model."""
        return max(map(reach_of, self.operators), default=0)

    def operator(self, mask: int) -> ForwardOperator | None:
        """Return the operator of a mask, beside that of the model."""
        return self.operators[mask % len(self.operators)] if self.operators else None

    @property
    def new_members(self) -> int:
        """Number of members to draw."""
        return self.n - self.first

    def batches(self, pixels: int, capacity: int | None = None) -> Iterator[list[tuple[int, list[int]]]]:
        """Yield the members to draw together, a list of (mask, members), in the order of masks.

        Parameters
        ----------
        pixels : int
            Low-resolution pixels of a member's window.
        capacity : int, optional
            Low-resolution pixels of all members together, where they may have different masks. By default they have
            one mask, and are few enough for a CPU's caches.
        """
        size = max(1, min(_BATCH_MEMBERS, _BATCH_PIXELS // pixels) if capacity is None else capacity // pixels)
        batch: list[tuple[int, list[int]]] = []
        for mask in range(self.masks):
            members = list(range(self.first + mask, self.n, self.masks))
            while members:
                room = size - sum(len(group) for _, group in batch)
                batch.append((mask, members[:room]))
                members = members[room:]
                if capacity is None or room <= len(batch[-1][1]):
                    yield batch
                    batch = []
        if batch:
            yield batch


def default_masks(n: int, max_masks: int | None = None) -> int:
    """Return the largest divisor of `n` that is at most 8, n/2 and `max_masks`; 1 for n = 1."""
    return max(k for k in range(1, max(1, min(max_masks or 8, 8, n // 2)) + 1) if n % k == 0)
