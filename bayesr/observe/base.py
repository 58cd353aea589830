"""What every forward operator can do, and what changes where observations bind no member."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor


class ForwardOperator(ABC):
    """An operator ``A`` that turns scenes into low-resolution images, and an inverse ``A+`` that goes back.

    Low-resolution images are tensors of shape `... x h x w`, high-resolution ones `... x sh x sw`, where `s` is
    the scale. Operators are frozen dataclasses: equal ones are of equal fields, and hash alike. All that they do
    is differentiable and runs where its tensors lie.

    What is written here holds for inverses that are approximate, so that members come near the observation; an
    operator whose inverse is exact overrides it.

    Attributes
    ----------
    scale : int
        High-resolution pixels per low-resolution pixel along each axis.
    """

    scale: int

    @abstractmethod
    def observe(self, x: Tensor) -> Tensor:
        """``A x``: from `... x sh x sw` to `... x h x w`."""

    @abstractmethod
    def invert(self, y: Tensor) -> Tensor:
        """``A+ y``: from `... x h x w` to `... x sh x sw`."""

    @property
    @abstractmethod
    def reach(self) -> int:
        """Low-resolution pixels beyond which ``A+`` and ``A+ A`` do not show: what a tile's halo must add."""

    @abstractmethod
    def unconstrained(self, **most: Any) -> ForwardOperator:
        """The same operator for networks whose members are not bound to reproduce what was seen (`Unconstrained`).

        `most` are the `blur`, `noise` and `photon` that it puts on record.
        """

    @property
    def exact(self) -> bool:
        """Whether ``A x = y`` binds every member."""
        return False

    def project(self, x: Tensor) -> Tensor:
        """``P x = x - A+ A x``: the part of `x` that the observation leaves open."""
        return x - self.invert(self.observe(x))

    def project_onto_data_(self, x: Tensor, y: Tensor) -> Tensor:
        """``A+ y + P x``, computed in the memory of `x`: `x`, moved to explain `y`."""
        return x.add_(self.invert(y - self.observe(x)))

    def clip_consistently_(self, x: Tensor, y: Tensor, low: float, high: float, passes: int = 3) -> Tensor:
        """Bring images `n x band x sh x sw` that explain `y` inside the bounds, in their memory: by clipping."""
        return x.clamp_(low, high)

    def null_space_variance(self, height: int, width: int) -> Tensor:
        """The share of white noise's variance that a pixel keeps in ``P``, `s*height x s*width`: here, one."""
        return torch.ones(self.scale * height, self.scale * width)

    def describe(self) -> dict[str, Any]:
        """The operator as plain values, for a model file; `from_description` reads it back."""
        return {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]


@dataclass(frozen=True)
class Unconstrained(ForwardOperator):
    """What an operator does where observations are noisy, or blurred by more than it knows: it binds no member.

    Members are ``A+ y + g``, without the projection, for consistent ones would reproduce the noise. What is
    asked of them instead is that ``|y - A x|^2`` has the size that noise gives it.

    Parameters
    ----------
    blur, noise, photon : float
        The most of each that training drew (`bayesr.training.degradation.Degradation`).
    """

    blur: float = 0.0
    noise: float = 0.0
    photon: float = 0.0

    def unconstrained(self, **most: Any) -> Unconstrained:
        """Itself, but for what is put on record."""
        return replace(self, **most)

    @property
    def exact(self) -> bool:
        """False."""
        return False

    def project(self, x: Tensor) -> Tensor:
        """`x`: nothing is hidden from the network."""
        return x

    def project_onto_data_(self, x: Tensor, y: Tensor) -> Tensor:
        """``A+ y + x``, computed in the memory of `x`."""
        return x.add_(self.invert(y))

    def clip_consistently_(self, x: Tensor, y: Tensor, low: float, high: float, passes: int = 0) -> Tensor:
        """Clip to the bounds: there is no consistency to keep."""
        return x.clamp_(low, high)

    def null_space_variance(self, height: int, width: int) -> Tensor:
        """One everywhere."""
        return torch.ones(self.scale * height, self.scale * width)
