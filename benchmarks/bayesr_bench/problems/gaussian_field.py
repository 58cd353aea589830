"""Gaussian random fields, whose posterior is normal with a known mean and covariance."""

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

MIDDLE, DEVIATION = 0.5, 0.15
"""Mean and standard deviation of the fields, in network units: nearly all of a field lies in [0, 1]."""


@dataclass(frozen=True)
class GaussianField(PairSource):
    """Stationary Gaussian random fields ``x ~ N(1/2, C)``.

    The power spectrum is ``(|k|^2 + length^-2)^(-slope / 2)``. Fields are cut from a torus twice as large, so that
    borders are not periodic. With ``K = C A^T (A C A^T)^-1`` the posterior given ``y = A x`` is normal, with mean
    ``1/2 + K (y - 1/2)`` and covariance ``C - K A C``.

    Parameters
    ----------
    operator : Separable
        The forward operator A.
    size : int
        Low-resolution pixels along a side.
    slope, length : float
        Slope of the power spectrum, and correlation length in high-resolution pixels.
    scenes : int, optional
        Number of scenes of a finite training set. None means that scenes never repeat.
    seed : int
        Seed of the finite training set.
    bands : int
        Number of bands, 1.
    """

    operator: Separable = field(default_factory=bicubic)
    size: int = 8
    slope: float = 3.0
    length: float = 16.0
    scenes: int | None = None
    seed: int = 0
    bands: int = 1

    @property
    def side(self) -> int:
        """High-resolution pixels along a side."""
        return self.size * self.operator.scale

    @property
    def low_pixels(self) -> float:
        return np.inf if self.scenes is None else float(self.scenes * self.size**2)

    @cached_property
    def _filter(self) -> Tensor:
        """Amplitudes on the torus that turn white noise into a field of variance one."""
        k = torch.fft.fftfreq(2 * self.side, dtype=torch.float64)
        power = (k[:, None] ** 2 + k**2 + self.length**-2) ** (-self.slope / 2)
        amplitude: Tensor = (power / power.mean()).sqrt()
        return amplitude

    @cached_property
    def covariance(self) -> Tensor:
        """The covariance C, `side^2 x side^2`, double precision."""
        lags = torch.fft.ifft2(self._filter**2).real * DEVIATION**2
        i = torch.arange(self.side)
        d = (i[:, None] - i) % (2 * self.side)
        covariance: Tensor = lags[d[:, None, :, None], d[None, :, None, :]].reshape(self.side**2, self.side**2)
        return covariance

    @cached_property
    def _gain(self) -> Tensor:
        """The matrix K, from low-resolution images to the posterior mean."""
        rows = torch.from_numpy(self.operator.matrices(self.size)[0])
        a = torch.kron(rows, rows)
        cross = self.covariance @ a.T
        gain: Tensor = torch.linalg.solve(a @ cross, cross.T).T
        return gain

    @cached_property
    def posterior_covariance(self) -> Tensor:
        """The posterior covariance ``C - K A C``, `side^2 x side^2`, the same for every low-resolution image."""
        rows = torch.from_numpy(self.operator.matrices(self.size)[0])
        return self.covariance - self._gain @ (torch.kron(rows, rows) @ self.covariance)

    @cached_property
    def posterior_variance(self) -> Tensor:
        """The posterior variance of every pixel, `side x side`."""
        return self.posterior_covariance.diag().clamp(min=0).reshape(self.side, self.side)

    def posterior_mean(self, low: Tensor) -> Tensor:
        """Compute the exact posterior mean of low-resolution images `n x 1 x size x size`."""
        deviation = (low.double() - MIDDLE).flatten(1) @ self._gain.T
        return (MIDDLE + deviation).reshape(-1, 1, self.side, self.side)

    def draw(self, count: int, random: torch.Generator) -> Tensor:
        """Draw fields, `count x 1 x side x side`, double precision."""
        torus = (count, 1, 2 * self.side, 2 * self.side)
        noise = torch.fft.fft2(torch.randn(torus, generator=random, dtype=torch.float64))
        fields: Tensor = torch.fft.ifft2(noise * self._filter).real[..., : self.side, : self.side]
        return MIDDLE + DEVIATION * fields

    def posterior(self, low: Tensor, count: int, random: torch.Generator) -> Tensor:
        """Draw exact posterior samples, `n x count x 1 x side x side`.

        ``x + K (y - A x)`` has the mean and covariance of the posterior if x is drawn from the prior.
        """
        fresh = self.draw(len(low) * count, random)
        y = low.double().repeat_interleave(count, 0)
        moved = fresh + ((y - self.operator.observe(fresh)).flatten(1) @ self._gain.T).reshape(fresh.shape)
        samples: Tensor = moved.unflatten(0, (len(low), count))
        return samples

    @cached_property
    def _training_set(self) -> Tensor:
        assert self.scenes is not None
        return self.draw(self.scenes, torch.Generator().manual_seed(self.seed)).float()

    def draw_pairs(self, count: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
        if self.scenes is None:
            high = self.draw(count, random).float()
        else:
            high = self._training_set[torch.randint(self.scenes, (count,), generator=random)]
        return self.operator.observe(high), high

    def dataset(self, scenes: int, candidates: int, seed: int = 0) -> xr.Dataset:
        """Return equally probable posterior samples of random low-resolution images; see `known_answers`."""
        random = torch.Generator().manual_seed(seed)
        low, _ = self.batch(scenes, random)
        samples = self.posterior(low, candidates, random)
        probability = np.full((scenes, candidates), 1 / candidates)
        card = {
            "title": "Gaussian fields: exact posterior samples",
            "description": f"Stationary fields, mean {MIDDLE}, standard deviation {DEVIATION}, their observations, and "
            "equally probable samples of the normal posterior given each.",
            "licence": "computed: no rights attach",
            "slope": self.slope,
            "length": self.length,
            "seed": seed,
        }
        return known_answers(low.numpy(), samples.float().numpy(), probability, self.operator, card)
