"""Posterior samplers of deepinv, with the forward operator of the benchmarks.

Images are in [0, 1], of shape ``n x band x y x x``. The samplers of the package are used unchanged. They receive the
forward operator as a singular value decomposition of bayesr's matrices, so that ``A``, its adjoint, pseudo-inverse and
proximal operator are exact. The matrices are all that the samplers share with bayesr.

References
----------
J. Tachella et al., "DeepInverse: a Python package for solving imaging inverse problems with deep learning", 2025,
arXiv:2505.20160.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bayesr.observe import Separable
from bayesr_bench.denoiser import deepinv

ROUNDING = 12**-0.5 / 255
"""Standard deviation of the error that rounding to 8 bits causes in a low-resolution image."""
_BATCH = 8
"""Members at a time, as many as the caches of a processor hold."""


def physics(operator: Separable, height: int, width: int, bands: int = 3, noise: float = ROUNDING) -> Any:
    """Return the forward operator for low-resolution images of one size, as `deepinv.physics.DecomposablePhysics`.

    With ``R = U S V^T`` along each axis, ``A x = U_h (S_h S_w^T * V_h^T x V_w) U_w^T``. The coefficients of a
    low-resolution image are the first rows and columns of those of a high-resolution image.

    Parameters
    ----------
    operator : Separable
    height, width, bands : int
    noise : float
        Standard deviation of the noise that samplers assume.
    """
    (rows, down, rows_high), (columns, across, columns_high) = (_decomposed(operator, size) for size in (height, width))
    values = torch.zeros(1, bands, len(rows_high), len(columns_high))
    values[..., :height, :width] = down[:, None] * across

    def from_coefficients(c: Tensor) -> Tensor:
        return rows.to(c) @ c[..., :height, :width] @ columns.to(c).T

    def to_coefficients(y: Tensor) -> Tensor:
        c = y.new_zeros(*y.shape[:-2], len(rows_high), len(columns_high))
        c[..., :height, :width] = rows.to(y).T @ y @ columns.to(y)
        return c

    package = deepinv()
    return package.physics.DecomposablePhysics(
        U=from_coefficients, U_adjoint=to_coefficients, mask=values, img_size=tuple(values.shape[1:]),
        V=lambda c: rows_high.to(c) @ c @ columns_high.to(c).T,
        V_adjoint=lambda x: rows_high.to(x).T @ x @ columns_high.to(x),
        noise_model=package.physics.GaussianNoise(noise),
    )  # fmt: skip


def _decomposed(operator: Separable, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return U, the singular values, and V of an axis. V includes the null space."""
    u, s, vt = np.linalg.svd(operator.matrices(size)[0])
    return tuple(torch.from_numpy(np.ascontiguousarray(part)).float() for part in (u, s, vt.T))  # type: ignore[return-value]


class Sampler(Protocol):
    """A sampler of the posterior."""

    name: ClassVar[str]
    """The label of its rows."""

    def draw(self, denoiser: nn.Module, y: Tensor, operator: Separable, n: int) -> Tensor:
        """Draw members ``n x band x sh x sw`` given ``band x h x w``, with torch's global random generator."""


@dataclass(frozen=True)
class Restoration:
    """DDRM: the reversed diffusion in the basis of the operator's singular vectors.

    This is the package's ``DDRM``, with a geometric noise schedule. Members are independent.

    Attributes
    ----------
    steps : int
        Evaluations of the denoiser.
    largest, smallest : float
        Standard deviation of the noise at the first and at the last step.
    eta : float
        Fraction of the noise that is drawn anew at each step, in the null space.
    noise : float
        Standard deviation of the low-resolution image's noise that the sampler assumes.

    References
    ----------
    B. Kawar et al., "Denoising diffusion restoration models", 2022, arXiv:2201.11793.
    """

    name: ClassVar[str] = "deepinv, diffusion (DDRM)"

    steps: int = 20
    largest: float = 1.0
    smallest: float = 0.02
    eta: float = 0.85
    noise: float = ROUNDING

    def draw(self, denoiser: nn.Module, y: Tensor, operator: Separable, n: int) -> Tensor:
        forward = physics(operator, y.shape[1], y.shape[2], len(y), self.noise)
        levels = np.geomspace(self.largest, self.smallest, self.steps)
        sampler = deepinv().sampling.DDRM(denoiser, sigmas=levels, eta=self.eta)
        return torch.cat([sampler(part.contiguous(), forward) for part in y.expand(n, *y.shape).split(_BATCH)])


@dataclass(frozen=True)
class Guidance:
    """PiGDM: the reversed diffusion, guided towards data consistency by the pseudo-inverse.

    This is ``PosteriorDiffusion`` with a variance-exploding diffusion, its ancestral solver and
    ``PiGDMDataFidelity``. It starts from ``A+ y`` plus the largest noise, since the low-resolution image determines
    that part. Members are independent.

    Attributes
    ----------
    steps : int
        Steps of the solver. Each evaluates the denoiser and its gradient.
    largest, smallest : float
        Standard deviation of the diffusion's noise at the start and at the end, of a geometric schedule.
    weight : float
        Weight of the data term.
    noise : float
        Standard deviation of the low-resolution image's noise that the sampler assumes.

    References
    ----------
    J. Song et al., "Pseudoinverse-guided diffusion models for inverse problems", 2023, OpenReview 9_gsMA8MRKQ.
    """

    name: ClassVar[str] = "deepinv, diffusion (PiGDM)"

    steps: int = 10
    largest: float = 0.2
    smallest: float = 0.01
    weight: float = 1.0
    noise: float = ROUNDING

    def draw(self, denoiser: nn.Module, y: Tensor, operator: Separable, n: int) -> Tensor:
        sampling = deepinv().sampling
        forward = physics(operator, y.shape[1], y.shape[2], len(y), self.noise)
        sampler = sampling.PosteriorDiffusion(
            data_fidelity=sampling.PiGDMDataFidelity(weight=self.weight),
            denoiser=denoiser,
            sde=sampling.VarianceExplodingDiffusion(
                sigma_min=self.smallest, sigma_max=self.largest, alpha=1.0, dtype=torch.float32
            ),
            solver=sampling.AncestralSolver(timesteps=torch.linspace(1, 0, self.steps + 1)),
            dtype=torch.float32,
            minus_one_one=False,
        )
        drawn = []
        for part in y.expand(n, *y.shape).split(_BATCH):
            start = forward.A_dagger(part)
            drawn.append(sampler(part, forward, x_init=start + self.largest * torch.randn_like(start)))
        return torch.cat(drawn)


@dataclass(frozen=True)
class Langevin:
    """SK-ROCK: Langevin dynamics with an explicit stabilised step, and the score of the denoiser as prior.

    This is ``BaseSampling`` with ``SKRockIterator``, ``ScorePrior`` and ``L2``. Several chains start from ``A+ y``.
    Members are states of the chains after a burn-in, a number of iterations apart. They are not independent.

    Attributes
    ----------
    stages : int
        Gradients in an iteration.
    burn_in, thinning, chains : int
        Iterations before the first member of a chain, iterations between members, and the number of chains.
    sigma : float
        Standard deviation of the noise that smooths the prior.
    noise : float
        Standard deviation of the low-resolution image's noise that the sampler assumes.
    prior : float
        Weight of the prior's score.
    share : float
        Step, as a fraction of the largest stable step.

    References
    ----------
    M. Pereyra, L. Vargas Mieles, K. Zygalakis, "Accelerating proximal Markov chain Monte Carlo by using an explicit
    stabilized method", 2020, arXiv:1905.11563.
    """

    name: ClassVar[str] = "deepinv, Langevin (SK-ROCK)"

    stages: int = 10
    burn_in: int = 20
    thinning: int = 2
    chains: int = 2
    sigma: float = 0.05
    noise: float = 0.006
    prior: float = 2.0
    share: float = 0.9

    def draw(self, denoiser: nn.Module, y: Tensor, operator: Separable, n: int) -> Tensor:
        package = deepinv()
        forward = physics(operator, y.shape[1], y.shape[2], len(y), self.noise)
        states: list[Tensor] = []
        of_chain = -(-n // self.chains)
        iterations = self.burn_in + of_chain * self.thinning
        damping = 0.05
        step = self.share * self.stable_step(float(forward.mask.max()), damping)
        settings = {
            "step_size": step,
            "alpha": self.prior,
            "sigma": self.sigma,
            "eta": damping,
            "inner_iter": self.stages,
        }
        sampler = package.sampling.BaseSampling(
            package.sampling.SKRockIterator(algo_params=settings, clip=(-1.0, 2.0)),
            data_fidelity=package.optim.data_fidelity.L2(sigma=self.noise),
            prior=package.optim.ScorePrior(denoiser),
            max_iter=iterations,
            burnin_ratio=self.burn_in / iterations,
            thinning=self.thinning,
            history_size=False,
            callback=lambda state, **unused: states.append(state["x"]),
        )
        every = y.expand(self.chains, *y.shape)
        sampler.sample(every, forward, x_init=forward.A_dagger(every))
        return torch.stack(states[-of_chain:], 1).flatten(0, 1)[:n]

    def stable_step(self, norm: float, damping: float = 0.05) -> float:
        """Return the largest stable step, given the Lipschitz constant of prior and data, for an operator's norm."""
        steepest = self.prior / self.sigma**2 + (norm / self.noise) ** 2
        return ((self.stages - 0.5) ** 2 * (2 - 4 / 3 * damping) - 1.5) / steepest


def members(
    sampler: Sampler, denoiser: nn.Module, low: NDArray[np.uint8], operator: Separable, n: int, seed: int
) -> NDArray[np.float32]:
    """Draw members with a seed.

    Parameters
    ----------
    sampler : Sampler
    denoiser : Module
    low : ndarray
        The low-resolution image, ``y x x x band``.
    operator : Separable
    n, seed : int

    Returns
    -------
    ndarray
        Of shape ``n x band x y x x``, in grey levels, clipped to [0, 255].
    """
    y = torch.from_numpy(low.astype(np.float32) / 255).permute(2, 0, 1).contiguous()
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        drawn = sampler.draw(denoiser, y, operator, n)
    found: NDArray[np.float32] = drawn.float().mul(255).clamp(0, 255).numpy()
    return found


def described(sampler: Any) -> dict[str, Any]:
    """Return the name and the parameters of a sampler as plain values."""
    return {"name": sampler.name} | {k: round(v, 8) if isinstance(v, float) else v for k, v in asdict(sampler).items()}


def effective(members: NDArray[np.float32], chains: int = 1) -> float:
    """Return the effective number of independent members among states of Markov chains.

    ``n (1 - r) / (1 + r)``, where r is the lag-1 autocorrelation, averaged over pixels. This is exact for a
    first-order autoregression.
    """
    n = len(members)
    chains = chains if n % chains == 0 else 1
    off = (members - members.mean(0)).reshape(chains, n // chains, -1).astype(np.float64)
    if off.shape[1] < 3:
        return float(n)
    r = float(np.mean(off[:, 1:] * off[:, :-1]) / np.mean(off**2))
    return float(n * (1 - r) / (1 + r)) if r > 0 else float(n)
