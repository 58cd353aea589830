"""Interpolation as a network without weights, for baselines."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from bayesr.errors import InvalidModel
from bayesr.networks.generator import Generator
from bayesr.networks.heads.base import BackboneFeatures, NoHead
from bayesr.observe import ForwardOperator, from_description
from bayesr.resampling import resize

KINDS = ("nearest", "bilinear", "bicubic", "lanczos", "pseudo-inverse")
"""Interpolations by name."""


class Interpolation(Generator):
    """A point estimator without weights: interpolation, or the pseudo-inverse ``A+ y``.

    Details are added to ``A+ y``, so this network returns the difference.

    Parameters
    ----------
    interpolation : {"nearest", "bilinear", "bicubic", "lanczos", "pseudo-inverse"}
    observation : mapping
        Description of the forward operator.
    bands, scale : int
        Bands, and the scale factor.

    Raises
    ------
    InvalidModel
        For another interpolation, and an operator of another scale.
    """

    def __init__(self, interpolation: str, observation: dict[str, Any], bands: int = 3, scale: int = 4) -> None:
        nn.Module.__init__(self)
        self.architecture = dict(bands=bands, scale=scale, interpolation=interpolation, observation=observation)
        self.scale, self.kind = scale, interpolation
        self.head = NoHead()
        self._operator: ForwardOperator = from_description(observation)
        if interpolation not in KINDS or self._operator.scale != scale:
            raise InvalidModel(
                f"There is no interpolation {interpolation!r} at scale {scale} beside an operator of scale "
                f"{self._operator.scale}: the scales must agree, and the interpolation be one of {', '.join(KINDS)}."
            )

    @property
    def reach(self) -> int:
        """Three pixels for the Lanczos kernel, and the reach of ``A+``."""
        return 3 + self._operator.reach

    @property
    def backbone_reach(self) -> int:
        return 0

    @property
    def local(self) -> bool:
        return True

    @property
    def multiple(self) -> int:
        return 1

    def prepare(self, y: Tensor) -> BackboneFeatures:
        base = self._operator.invert(y)
        x = base if self.kind == "pseudo-inverse" else resize(y, self.kind, self.scale)
        return BackboneFeatures.of_detail(F.pixel_unshuffle(x - base, self.scale))
