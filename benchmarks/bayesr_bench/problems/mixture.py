"""A posterior of finitely many candidates with known probabilities."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from bayesr.observe import Separable, bicubic
from bayesr.training.pairs import PairSource
from bayesr_bench.problems.dataset import known_answers
from bayesr_bench.problems.gaussian_field import DEVIATION, MIDDLE, GaussianField


@dataclass(frozen=True)
class Mixture(PairSource):
    """A finite posterior: K candidates with known probabilities that have the same low-resolution image.

    A scene is a smooth background with a mark on one low-resolution pixel. The mark stands for stripes in one of K
    orientations, under a Gaussian window. The stripes lie in the null space of the forward operator and are
    invisible at low resolution: ``x_k = A+ y + P d_k``. The probabilities depend on the background b at the mark,
    ``p_k ~ exp(k slope b)`` for b in [-1.5, 1.5]. A model must therefore learn the probabilities as well as the
    candidates.

    Parameters
    ----------
    operator : Separable
        The forward operator A.
    size : int
        Low-resolution pixels along a side.
    candidates : int
        Number of candidates, K.
    contrast : float
        Amplitude of the stripes, in network units.
    slope : float
        Strength of the dependence of the probabilities on the background.
    bands, low_pixels : int, float
        1 band, and infinitely many pixels, because scenes never repeat.
    """

    operator: Separable = field(default_factory=bicubic)
    size: int = 6
    candidates: int = 3
    contrast: float = 0.3
    slope: float = 0.7
    bands: int = 1
    low_pixels: float = np.inf

    @cached_property
    def background(self) -> GaussianField:
        """Distribution of the backgrounds."""
        return GaussianField(self.operator, self.size, slope=4.0)

    def scenes(self, count: int, random: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Draw (low, candidates, probability) of shapes `n x 1 x h x h`, `n x K x 1 x H x H` and `n x K`."""
        scale, side = self.operator.scale, self.size * self.operator.scale
        y = self.operator.observe(self.background.draw(count, random))
        row, column = torch.randint(2, self.size - 2, (2, count), generator=random)
        every = torch.arange(count)
        tone = ((y[every, 0, row, column] - MIDDLE) / DEVIATION).clamp(-1.5, 1.5)
        probability = torch.softmax(self.slope * tone[:, None] * torch.arange(self.candidates), 1)
        y[every, 0, row, column] += 0.25
        at = torch.arange(side, dtype=torch.float64)
        v = at[None, :, None] - (row * scale + (scale - 1) / 2)[:, None, None]
        u = at[None, None, :] - (column * scale + (scale - 1) / 2)[:, None, None]
        window = torch.exp(-(v**2 + u**2) / (2 * (0.9 * scale) ** 2))
        angles = torch.arange(self.candidates) * torch.pi / self.candidates
        stripes = [torch.cos(2 * torch.pi / scale * (u * a.cos() + v * a.sin())) * window for a in angles]
        detail = self.operator.project(self.contrast * torch.stack(stripes, 1)[:, :, None])
        return y, self.operator.invert(y)[:, None] + detail, probability

    def draw_pairs(self, count: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
        low, candidates, probability = self.scenes(count, random)
        chosen = torch.multinomial(probability, 1, generator=random)[:, 0]
        return low.float(), candidates[torch.arange(count), chosen].float()

    def posterior(self, candidates: Tensor, probability: Tensor, count: int, random: torch.Generator) -> Tensor:
        """Draw exact posterior samples of scenes, `n x count x 1 x H x H`."""
        chosen = torch.multinomial(probability, count, replacement=True, generator=random)
        return candidates[torch.arange(len(candidates))[:, None], chosen]

    def dataset(self, scenes: int, seed: int = 0) -> xr.Dataset:
        """Return random scenes with all their candidates; see `known_answers`."""
        low, candidates, probability = self.scenes(scenes, torch.Generator().manual_seed(seed))
        card = {
            "title": "Finite mixtures: candidates that share one observation exactly",
            "description": "Smooth backgrounds with a mark, which stands for stripes in one of several orientations "
            "that cannot be seen; their probabilities depend on the background.",
            "licence": "computed: no rights attach",
            "contrast": self.contrast,
            "slope": self.slope,
            "seed": seed,
        }
        return known_answers(low.float().numpy(), candidates.float().numpy(), probability.numpy(), self.operator, card)
