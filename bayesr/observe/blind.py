"""An observation that networks are not told of: what is learnt without pairs knows no operator that it could invert."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from bayesr.observe.base import ForwardOperator, Unconstrained
from bayesr.resampling import resize


@dataclass(frozen=True, kw_only=True)
class Blind(Unconstrained):
    """``A+ y = U y``, bicubic interpolation; at scale 1, y itself. Members are ``U y + g``, and nothing binds them.

    Parameters
    ----------
    of : Observation
        What made the low-resolution images. It makes others, to measure by, and tells how well members explain
        theirs; the network and its base see nothing of it but its scale.
    blur, noise, photon : float
        As of `Unconstrained`.
    """

    of: ForwardOperator
    scale: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "scale", self.of.scale)

    def observe(self, x: Tensor) -> Tensor:
        """``A x``: from `... x sh x sw` to `... x h x w`."""
        return self.of.observe(x)

    def invert(self, y: Tensor) -> Tensor:
        """``U y``: from `... x h x w` to `... x sh x sw`."""
        return resize(y, "bicubic", self.scale)

    @property
    def reach(self) -> int:
        """The two low-resolution pixels of Keys' cubic."""
        return 2

    def describe(self) -> dict[str, Any]:
        """The operator as plain values, for a model file."""
        most = {"blur": self.blur, "noise": self.noise, "photon": self.photon}
        return {"kernel": "blind", "of": self.of.describe()} | most
