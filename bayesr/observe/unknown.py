"""An observation of which nothing is known but its scale: what is learnt without pairs has no operator to invert."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from bayesr.errors import InvalidObservation
from bayesr.networks.interpolation import resize
from bayesr.observe.base import Unbound


@dataclass(frozen=True)
class Unknown(Unbound):
    """``A+ y = U y``, bicubic interpolation; at scale 1, y itself. Members are ``U y + g``, and nothing binds them.

    Parameters
    ----------
    scale : int
        High-resolution pixels per low-resolution pixel along each axis, at least 1.

    Raises
    ------
    InvalidObservation
        For a scale below 1.
    """

    scale: int = 4

    def __post_init__(self) -> None:
        if self.scale < 1:
            raise InvalidObservation(f"The scale must be at least 1, not {self.scale}.")

    def observe(self, x: Tensor) -> Tensor:
        """Raises `InvalidObservation`: nobody knows."""
        raise InvalidObservation(
            "This model was trained without pairs, and does not know how low-resolution images come about: give pairs "
            "of low- and high-resolution images, not high-resolution images alone."
        )

    def invert(self, y: Tensor) -> Tensor:
        """``U y``: from `... x h x w` to `... x sh x sw`."""
        return y.clone() if self.scale == 1 else resize(y, "bicubic", self.scale)

    @property
    def reach(self) -> int:
        """The two low-resolution pixels of Keys' cubic."""
        return 2

    def describe(self) -> dict[str, Any]:
        """The operator as plain values, for a model file."""
        return {"kernel": "unknown"} | super().describe()
