"""The interface of forward operators, and the wrapper for noisy or unknown degradations."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from numbers import Integral, Real
from typing import Any, Self

import torch
from torch import Tensor

from bayesr.errors import InvalidForwardOperator

LARGEST_SCALE = 64
"""Largest scale factor."""


def check_scale(scale: Any, largest: int = LARGEST_SCALE) -> None:
    """Refuse a scale factor that is no whole number from 1 to `largest`, before anything of its size is made."""
    if isinstance(scale, bool) or not isinstance(scale, Integral) or not 1 <= int(scale) <= largest:
        raise InvalidForwardOperator(
            f"The scale must be at least 1 and at most {largest}, a whole number, not {scale!r}."
        )


def check_number(name: str, value: Any) -> None:
    """Refuse a parameter that is no finite number, 0 or more."""
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= float(value) < math.inf:
        raise InvalidForwardOperator(f"{name} must be a finite number, 0 or more, not {value!r}.")


class ForwardOperator(ABC):
    """A forward operator ``A`` from high- to low-resolution images, and an inverse ``A+``.

    Low-resolution images are tensors `... x h x w`, high-resolution ones `... x sh x sw` for scale factor `s`.
    Operators are frozen dataclasses: those with equal fields are equal and have the same hash. All methods are
    differentiable and run on their arguments' device.

    The methods here suit an approximate inverse, which brings members close to the input; exact inverses override them.

    To add an operator, derive a frozen dataclass, let `describe` return its name as ``kernel``, and register it under
    that name with `bayesr.observe.register`. The fields ``blur``, ``noise`` and ``photon`` are reserved for
    `Unconstrained`.

    Attributes
    ----------
    scale : int
        High-resolution pixels per low-resolution pixel along each axis.
    """

    scale: int

    @abstractmethod
    def observe(self, x: Tensor) -> Tensor:
        """Compute ``A x``, from `... x sh x sw` to `... x h x w`."""

    @abstractmethod
    def invert(self, y: Tensor) -> Tensor:
        """Compute ``A+ y``, from `... x h x w` to `... x sh x sw`."""

    @property
    @abstractmethod
    def reach(self) -> int:
        """Low-resolution pixels beyond which ``A+`` and ``A+ A`` have no visible influence; halos include them."""

    @property
    def clipping_reach(self) -> int:
        """Low-resolution pixels that `clip_consistently_` adds to `reach`; 0 where it clips each pixel by itself."""
        return 0

    @property
    def exact(self) -> bool:
        """Whether every member satisfies ``A x = y``."""
        return False

    def unconstrained(self, **recorded: Any) -> Unconstrained:
        """Return this operator for networks whose members need not reproduce the input.

        Parameters
        ----------
        **recorded : float
            The `blur`, `noise` and `photon` of `Unconstrained`.
        """
        return Unconstrained(self, **recorded)

    def project(self, x: Tensor) -> Tensor:
        """Compute ``P x = x - A+ A x``, the part of `x` that the input does not determine."""
        return x - self.invert(self.observe(x))

    def project_onto_data_(self, x: Tensor, y: Tensor) -> Tensor:
        """Compute ``A+ y + P x`` in the memory of `x`, so that `x` becomes consistent with `y`."""
        return x.add_(self.invert(y - self.observe(x)))

    def clip_consistently_(self, x: Tensor, y: Tensor, low: float, high: float, passes: int = 3) -> Tensor:
        """Clip images `n x band x sh x sw` that are consistent with `y` to the bounds, in their memory."""
        return x.clamp_(low, high)

    def null_space_variance(self, height: int, width: int) -> Tensor:
        """Return the fraction of the variance of white noise that ``P`` keeps, `s*height x s*width`: here one."""
        return torch.ones(self.scale * height, self.scale * width, dtype=torch.float32, device="cpu")

    def describe(self) -> dict[str, Any]:
        """Return the operator as plain values for a model file; `from_description` reads them back."""
        return {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Self:
        """Make the operator from `describe`'s values, perhaps after a round trip through JSON."""
        return cls(**{name: value for name, value in plain.items() if name != "kernel"})


@dataclass(frozen=True)
class Unconstrained(ForwardOperator):
    """An operator whose members need not be consistent with the input, which is noisy or blurred further.

    Members are ``A+ y + g`` without the null-space projection: consistent members would reproduce the noise. Instead,
    ``|y - A x|^2`` has the size that noise gives it.

    Parameters
    ----------
    of : ForwardOperator
        The operator ``A`` with its inverse ``A+``.
    blur, noise, photon : float
        Maximum of each that training drew (`bayesr.training.degradation.Degradation`). They are recorded, and change no
        computation.

    Raises
    ------
    InvalidForwardOperator
        When `of` is unconstrained already, and for a maximum that is negative or not finite.
    """

    of: ForwardOperator
    blur: float = 0.0
    noise: float = 0.0
    photon: float = 0.0
    scale: int = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if isinstance(self.of, Unconstrained):
            raise InvalidForwardOperator(
                "The operator is unconstrained already: use operator.unconstrained(noise=...) to change its record."
            )
        self._record_scale()

    def _record_scale(self) -> None:
        for name, value in self.recorded.items():
            check_number(name, value)
        object.__setattr__(self, "scale", self.of.scale)

    def observe(self, x: Tensor) -> Tensor:
        """Compute ``A x``."""
        return self.of.observe(x)

    def invert(self, y: Tensor) -> Tensor:
        """Compute ``A+ y``."""
        return self.of.invert(y)

    @property
    def reach(self) -> int:
        """That of the operator."""
        return self.of.reach

    def unconstrained(self, **recorded: Any) -> Unconstrained:
        """Return this operator with another record."""
        return replace(self, **recorded)

    def project(self, x: Tensor) -> Tensor:
        """Return `x`: nothing is projected out."""
        return x

    def project_onto_data_(self, x: Tensor, y: Tensor) -> Tensor:
        """Compute ``A+ y + x`` in the memory of `x`."""
        return x.add_(self.invert(y))

    @property
    def recorded(self) -> dict[str, float]:
        """The recorded blur, noise and photon noise."""
        return {"blur": self.blur, "noise": self.noise, "photon": self.photon}

    def describe(self) -> dict[str, Any]:
        """Return the values of ``A`` and the record."""
        return self.of.describe() | self.recorded


def is_projected(operator: ForwardOperator) -> bool:
    """Return whether members of an operator are projected onto its null space, ``A+ y + P g``, not ``A+ y + g``."""
    return not isinstance(operator, Unconstrained)
