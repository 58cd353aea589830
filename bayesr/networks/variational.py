"""Distributions for variational inference with Pyro, which is slow to import and only training needs."""

from __future__ import annotations

from typing import Any

from pyro import distributions as dist
from torch import Tensor


class GivenNoiseNormal(dist.Normal):
    """Normal distribution ``N(mean, std^2)`` whose sample is ``mean + std e`` with given standard normal values e.

    So the caller, not Pyro, draws random numbers.

    Parameters
    ----------
    mean, std, e : Tensor
        Of one shape.
    """

    def __init__(self, mean: Tensor, std: Tensor, e: Tensor) -> None:
        super().__init__(mean, std)
        self.e = e

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Return the sample."""
        value: Tensor = self.loc + self.scale * self.e
        return value
