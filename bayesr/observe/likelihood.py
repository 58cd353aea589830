"""The posterior density of point-spread width and noise, and its sampler.

``y = A(w) x + n``, ``n ~ N(0, s^2)`` has the likelihood ``s^-N exp(-S(w) / 2 s^2)`` with ``S(w) = |y - A(w) x|^2``. The
images enter through ``S`` only, which is computed once, at the nodes of a Chebyshev polynomial over the widths where
the posterior is large. A step of the sampler then takes microseconds for any images.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bayesr.errors import InvalidForwardOperator
from bayesr.observe.aperture import RADIUS, TAPER, tapered_airy

Doubles = NDArray[np.float64]

_NODES = 33
"""Nodes of the Chebyshev polynomial."""
_WARMUP, _ACCEPTED = 50, 0.7
"""Steps in which the sampler adapts its step size, and its target acceptance rate."""
_DEEP = 50.0
"""Largest drop of the log-likelihood from its peak at the widths considered."""


@dataclass(frozen=True)
class Family:
    """A family of point-spread functions.

    Attributes
    ----------
    least : float
        Smallest width considered, in high-resolution pixels.
    radius : float
        Extent of the function, in widths.
    usual, widest : float
        Centre of the prior and default of the largest width, in low-resolution pixels.
    meaning : str
        What the width is.
    """

    least: float
    radius: float
    usual: float
    widest: float
    meaning: str


FAMILIES = {
    "gaussian": Family(0.2, 5.0, 0.5, 2.0, "standard deviation of the Gaussian point-spread function"),
    "airy": Family(0.5, TAPER[1], 1.5, 4.0, "Airy radius of the point-spread function, 0.61 wavelength / NA"),
}


class Misfit:
    """``S(w) = |y - A(w) x|^2``, summed over all pairs."""

    def __init__(self, psf: str, scale: int, widest: float, pairs: list[tuple[Doubles, Doubles]]) -> None:
        self.psf, self.scale, self.widest = psf, scale, widest
        self.pixels = sum(y.size for y, _ in pairs)
        self.spread = math.sqrt(sum(float(y.var()) * y.size for y, _ in pairs) / self.pixels)
        self._pairs = [(y, x.shape, np.fft.rfft2(x)) for y, x in pairs]

    def __call__(self, width: float) -> float:
        # Float32 rounding bounds the noise from below, and keeps the logarithm finite.
        total = self.pixels * (1e-8 * self.spread) ** 2
        for y, shape, transformed in self._pairs:
            low = np.fft.irfft2(transformed * self._transfer(width, shape), shape)[:: self.scale, :: self.scale]
            top, left = ((whole - part) // 2 for whole, part in zip(low.shape, y.shape, strict=True))
            total += float(np.square(y - low[top : top + y.shape[0], left : left + y.shape[1]]).sum())
        return total

    def _transfer(self, width: float, shape: tuple[int, ...]) -> NDArray[np.complex128]:
        """Compute the transfer function of low-resolution pixel 0 for a periodic image."""
        s = self.scale
        steps = [(np.arange(size) + size // 2) % size - size // 2 for size in shape]
        if self.psf == "gaussian":
            rows, columns = (np.exp(-0.5 * ((t - (s - 1) / 2) / width) ** 2) for t in steps)
        else:
            rows, columns = (np.where((t >= 0) & (t < s), 1.0, 0.0) for t in steps)
        transfer = np.multiply.outer(np.fft.fft(rows / rows.sum()), np.fft.rfft(columns / columns.sum())).conj()
        if self.psf == "airy":
            kernel, whole = tapered_airy(RADIUS / width, 1.0, 1.0, None), np.zeros(shape)
            radius = len(kernel) // 2
            whole[: len(kernel), : len(kernel)] = kernel
            transfer *= np.fft.rfft2(np.roll(whole, (-radius, -radius), (0, 1)))
        return transfer


class Posterior:
    """The negative log posterior of ``u`` and ``log s``; the log width is a ``tanh`` of ``u``."""

    def __init__(self, misfit: Misfit, family: Family) -> None:
        self.centre, self.half, self.coefficients = _table(misfit, family)
        self.order = np.arange(len(self.coefficients))
        self.pixels = misfit.pixels
        self.usual = math.log(family.usual * misfit.scale), math.log(misfit.spread / 20)
        # In units of the normal approximation at its peak, the posterior is close to standard normal.
        self.peak = self._peak()
        values, vectors = self._curvature(self.peak)
        self.root = torch.from_numpy(vectors / np.sqrt(values))

    def minus_log(self, u: float, noise: float) -> tuple[float, tuple[float, float]]:
        """Compute value and gradient as plain numbers; an autograd graph would cost more."""
        u = min(max(u, -300.0), 300.0)
        t, sine = math.tanh(u), 1 / math.cosh(u)  # cosine and sine of the Chebyshev polynomials' angle
        angles = self.order * math.acos(t)
        logarithm = float(np.cos(angles) @ self.coefficients)
        slope = sine * float(np.sin(angles) @ (self.order * self.coefficients))
        squares = math.exp(min(logarithm - 2 * noise, 600.0))
        away = self.centre + self.half * t - self.usual[0], noise - self.usual[1]
        value = self.pixels * noise + squares / 2 + away[0] ** 2 / 2 + away[1] ** 2 / 8 - 2 * math.log(sine)
        by_u = squares / 2 * slope + away[0] * self.half * sine**2 + 2 * t
        return value, (by_u, self.pixels - squares + away[1] / 4)

    def potential(self, z: Tensor) -> Tensor:
        """Compute `minus_log` differentiably, of two variables that are nearly standard normal."""
        value: Tensor = _Potential.apply(torch.from_numpy(self.peak) + self.root @ z, self)  # type: ignore[no-untyped-call]
        return value

    def values(self, z: Tensor) -> tuple[Doubles, Doubles]:
        """Convert draws, `draw x 2`, to widths and noise."""
        u, noise = (torch.from_numpy(self.peak) + z @ self.root.mT).numpy().T
        return np.exp(self.centre + self.half * np.tanh(u)), np.exp(noise)

    def _peak(self) -> Doubles:
        grid = np.linspace(-2.5, 2.5, 201)
        logs = np.cos(np.arccos(np.tanh(grid))[:, None] * self.order) @ self.coefficients
        starts = np.stack([grid, (logs - math.log(self.pixels)) / 2], 1)
        peak: Doubles = min(starts, key=lambda start: self.minus_log(*start)[0])
        for _ in range(8):  # Newton steps that improve the value
            values, vectors = self._curvature(peak)
            there = peak - vectors @ ((vectors.T @ self.minus_log(*peak)[1]) / values)
            peak = there if self.minus_log(*there)[0] < self.minus_log(*peak)[0] else peak
        return peak

    def _curvature(self, at: Doubles, step: float = 1e-5) -> tuple[Doubles, Doubles]:
        """Return the eigenvalues of the Hessian, made positive, and its eigenvectors."""
        sides = [np.array([self.minus_log(*(at + e))[1] for e in sign * step * np.eye(2)]) for sign in (1, -1)]
        hessian = (sides[0] - sides[1]) / (2 * step)
        values, vectors = np.linalg.eigh((hessian + hessian.T) / 2)
        return np.maximum(np.abs(values), 0.1), vectors


class _Potential(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, u: Tensor, posterior: Posterior) -> Tensor:
        value, ctx.gradient = posterior.minus_log(*u.tolist())
        return u.new_tensor(value)

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor, None]:
        return outer[0] * outer[0].new_tensor(ctx.gradient), None


def _table(misfit: Misfit, family: Family) -> tuple[float, float, Doubles]:
    """Return centre, half width and Chebyshev coefficients of ``log S`` over likely log widths."""
    low, high = math.log(family.least), math.log(misfit.widest)
    while True:
        grid = np.linspace(low, high, _NODES)
        logs = np.log([misfit(math.exp(width)) for width in grid])
        if logs.argmin() == _NODES - 1:
            raise InvalidForwardOperator(
                f"The point-spread function is wider than {misfit.widest:g} high-resolution pixels, or the pairs are "
                "not registered: pass a larger widest or align the images."
            )
        likely = np.nonzero(misfit.pixels / 2 * (logs - logs.min()) < _DEEP)[0]
        first, last = max(likely[0] - 1, 0), min(likely[-1] + 1, _NODES - 1)
        low, high, before = grid[first], grid[last], high - low
        if high - low > before / 2 or high - low < 1e-9:
            break
    chebyshev = np.polynomial.Chebyshev.interpolate(
        lambda widths: np.log([misfit(math.exp(width)) for width in widths]), _NODES - 1, [low, high]
    )
    return (low + high) / 2, (high - low) / 2, np.asarray(chebyshev.coef, np.float64)


def sampled(posterior: Posterior, draws: int, seed: int) -> tuple[dict[str, Doubles], dict[str, Any]]:
    """Return draws of width and noise by the No-U-Turn sampler, and its diagnostics."""
    from pyro.infer import MCMC, NUTS  # start-up time

    kernel = NUTS(
        potential_fn=lambda parameters: posterior.potential(parameters["z"]),
        adapt_mass_matrix=False,  # `z` has unit scale already
        target_accept_prob=_ACCEPTED,
    )
    start = {"z": torch.zeros(2, dtype=torch.float64)}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        chain = MCMC(kernel, draws, warmup_steps=_WARMUP, initial_params=start, disable_progbar=True)
        chain.run()
    drawn = chain.get_samples()["z"]
    diagnostics = chain.diagnostics()
    width, noise = posterior.values(drawn)
    summary = {
        "r_hat": float(diagnostics["z"]["r_hat"].max()),
        "n_eff": float(diagnostics["z"]["n_eff"].min()),
        "divergences": sum(len(steps) for steps in diagnostics["divergences"].values()),
    }
    return {"psf_width": width, "noise": noise}, summary
