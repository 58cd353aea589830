"""Interpolation as a network that has nothing to learn: the baselines of every table."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from bayesr.networks.generator import Generator
from bayesr.networks.heads.stochastic import BackboneFeatures
from bayesr.observe import ForwardOperator, from_description
from bayesr.resampling import resize


class Interpolation(Generator):
    """A point estimator without weights: interpolation, or ``A+ y``.

    The detail that a network adds is counted from ``A+ y``, so this one's is the difference of the two.

    Parameters
    ----------
    interpolation : {"nearest", "bilinear", "bicubic", "lanczos", "pseudo-inverse"}
    observation : mapping
        The operator, as it describes itself.
    bands, scale : int
    """

    def __init__(self, interpolation: str, observation: dict[str, Any], bands: int = 3, scale: int = 4) -> None:
        nn.Module.__init__(self)
        self.architecture = dict(bands=bands, scale=scale, interpolation=interpolation, observation=observation)
        self.scale, self.head, self.kind = scale, None, interpolation
        self._operator: ForwardOperator = from_description(observation)

    @property
    def reach(self) -> int:
        """Three low-resolution pixels of Lanczos' kernel, and what ``A+`` needs."""
        return 3 + self._operator.reach

    @property
    def local(self) -> bool:
        return True

    @property
    def multiple(self) -> int:
        return 1

    def prepare(self, y: Tensor) -> BackboneFeatures | Tensor:
        base = self._operator.invert(y)
        x = base if self.kind == "pseudo-inverse" else resize(y, self.kind, self.scale)
        return F.pixel_unshuffle(x - base, self.scale)
