"""The operator of models that learn without pairs and do not know how their input came about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from torch import Tensor

from bayesr.observe.base import Unconstrained
from bayesr.observe.registry import from_description, register
from bayesr.resampling import resize


@register("blind")
@dataclass(frozen=True)
class Blind(Unconstrained):
    """``A+ y = U y``, bicubic interpolation (at scale 1, `y` itself). Members are ``U y + g`` without a constraint.

    Parameters
    ----------
    of : ForwardOperator
        The operator that made the low-resolution images. Measurements use it; the network and its base image depend on
        its scale alone.
    blur, noise, photon : float
        See `Unconstrained`.
    """

    def __post_init__(self) -> None:
        self._record_scale()  # `of` may be unconstrained itself

    def invert(self, y: Tensor) -> Tensor:
        """Compute ``U y``."""
        return resize(y, "bicubic", self.scale)

    @property
    def reach(self) -> int:
        """The two low-resolution pixels of Keys' cubic."""
        return 2

    def describe(self) -> dict[str, Any]:
        """Return plain values for a model file."""
        return {"kernel": "blind", "of": self.of.describe()} | self.recorded

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Self:
        """Make the operator from `describe`'s values."""
        values = {name: value for name, value in plain.items() if name not in ("kernel", "of")}
        return cls(from_description(plain["of"]), **values)
