"""Problems whose answer is known: one low-resolution image, many high-resolution ones, their probabilities exact.

A trained model can be compared with the truth only where the truth is a distribution that can be
computed. `GaussianField` has a normal posterior with a known mean and covariance; `Mixture` a finite
one, whose candidates share one observation exactly; `equal_observations` collects real patches that
share an observation within a tolerance. Each makes a data set ``(scene, candidate, band, y, x)`` with
a ``probability``, and the first two are sources that a trainer draws pairs from.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bayesr.errors import InvalidArgument
from bayesr.observe import ForwardOperator, Separable, bicubic
from bayesr.training.data import PairSource

if TYPE_CHECKING:
    import xarray as xr

    from bayesr.training.data import ImageSet

MIDDLE, DEVIATION = 0.5, 0.15
"""Mean and standard deviation of the fields, in network units: nearly all of a field lies in [0, 1]."""


@dataclass(frozen=True)
class GaussianField(PairSource):
    """Stationary Gaussian random fields: ``x ~ N(1/2, C)``, with a power spectrum of chosen slope and scale.

    The spectrum is ``(|k|^2 + length^-2)^(-slope / 2)``, cut from a torus twice as large, so that
    borders are not periodic. With ``K = C A^T (A C A^T)^-1`` the posterior given ``y = A x`` is normal,
    with mean ``1/2 + K (y - 1/2)`` and covariance ``C - K A C``.

    Parameters
    ----------
    operator : Separable
        The observation A.
    size : int
        Low-resolution pixels along a side.
    slope, length : float
        Slope of the power spectrum, and correlation length in high-resolution pixels.
    scenes : int, optional
        A finite training set of that many scenes; none for scenes that never repeat.
    seed : int
        Of the finite training set.
    bands : int
        1.
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
    def low_pixels(self) -> float:  # type: ignore[override]
        return np.inf if self.scenes is None else float(self.scenes * self.size**2)

    @cached_property
    def _filter(self) -> Tensor:
        """Amplitudes on the torus, which white noise is multiplied with; they make variance one."""
        k = torch.fft.fftfreq(2 * self.side, dtype=torch.float64)
        power = (k[:, None] ** 2 + k**2 + self.length**-2) ** (-self.slope / 2)
        amplitude: Tensor = (power / power.mean()).sqrt()
        return amplitude

    @cached_property
    def covariance(self) -> Tensor:
        """C, `side^2 x side^2`, double precision."""
        lags = torch.fft.ifft2(self._filter**2).real * DEVIATION**2
        i = torch.arange(self.side)
        d = (i[:, None] - i) % (2 * self.side)
        found: Tensor = lags[d[:, None, :, None], d[None, :, None, :]].reshape(self.side**2, self.side**2)
        return found

    @cached_property
    def _gain(self) -> Tensor:
        """K, from observations to the posterior mean."""
        rows = torch.from_numpy(self.operator.matrices(self.size)[0])
        a = torch.kron(rows, rows)
        seen = self.covariance @ a.T
        gain: Tensor = torch.linalg.solve(a @ seen, seen.T).T
        return gain

    @cached_property
    def posterior_covariance(self) -> Tensor:
        """``C - K A C``, `side^2 x side^2`, the same for every observation."""
        rows = torch.from_numpy(self.operator.matrices(self.size)[0])
        return self.covariance - self._gain @ (torch.kron(rows, rows) @ self.covariance)

    @cached_property
    def posterior_variance(self) -> Tensor:
        """Its diagonal, `side x side`."""
        return self.posterior_covariance.diag().clamp(min=0).reshape(self.side, self.side)

    def posterior_mean(self, low: Tensor) -> Tensor:
        """The exact posterior mean of observations `n x 1 x size x size`."""
        deviation = (low.double() - MIDDLE).flatten(1) @ self._gain.T
        return (MIDDLE + deviation).reshape(-1, 1, self.side, self.side)

    def draw(self, count: int, random: torch.Generator) -> Tensor:
        """Fields, `count x 1 x side x side`, double precision."""
        torus = (count, 1, 2 * self.side, 2 * self.side)
        noise = torch.fft.fft2(torch.randn(torus, generator=random, dtype=torch.float64))
        made: Tensor = torch.fft.ifft2(noise * self._filter).real[..., : self.side, : self.side]
        return MIDDLE + DEVIATION * made

    def posterior(self, low: Tensor, count: int, random: torch.Generator) -> Tensor:
        """Exact posterior samples, `n x count x 1 x side x side`: a fresh field, moved to explain `low`.

        ``x + K (y - A x)`` has the posterior's mean and covariance when x has the prior's.
        """
        fresh = self.draw(len(low) * count, random)
        wanted = low.double().repeat_interleave(count, 0)
        moved = fresh + ((wanted - self.operator.observe(fresh)).flatten(1) @ self._gain.T).reshape(fresh.shape)
        found: Tensor = moved.unflatten(0, (len(low), count))
        return found

    @cached_property
    def _kept(self) -> Tensor:
        assert self.scenes is not None
        return self.draw(self.scenes, torch.Generator().manual_seed(self.seed)).float()

    def batch(self, size: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
        """(low, high) of random fields, as float32."""
        if self.scenes is None:
            high = self.draw(size, random).float()
        else:
            high = self._kept[torch.randint(self.scenes, (size,), generator=random)]
        return self.operator.observe(high), high

    def dataset(self, scenes: int, candidates: int, seed: int = 0) -> xr.Dataset:
        """Equally probable posterior samples of random observations; see `known_answers`."""
        random = torch.Generator().manual_seed(seed)
        low, _ = self.batch(scenes, random)
        found = self.posterior(low, candidates, random)
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
        return known_answers(low.numpy(), found.float().numpy(), probability, self.operator, card)


@dataclass(frozen=True)
class Mixture(PairSource):
    """A finite posterior: K candidates that share one observation exactly, with known probabilities.

    A scene is a smooth background with a mark on one low-resolution pixel. What the mark stands for
    cannot be seen: stripes in one of K orientations, under a Gaussian window around it, all in the null
    space: ``x_k = A+ y + P d_k``. The probabilities depend on the background b at the mark,
    ``p_k ~ exp(k slope b)`` for b in [-1.5, 1.5], so that they must be learnt, not only the candidates.

    Parameters
    ----------
    operator : Separable
        The observation A.
    size : int
        Low-resolution pixels along a side.
    candidates : int
        K.
    contrast : float
        Amplitude of the stripes, in network units.
    slope : float
        How much the probabilities depend on the background.
    bands, low_pixels : int, float
        1, and infinite: scenes never repeat.
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
        """Where the low-resolution images come from."""
        return GaussianField(self.operator, self.size, slope=4.0)

    def scenes(self, count: int, random: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """(low, candidates, probability) of shapes `n x 1 x h x h`, `n x K x 1 x H x H` and `n x K`."""
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

    def batch(self, size: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
        """(low, high) of random scenes, one candidate each, drawn with its probability, as float32."""
        low, found, probability = self.scenes(size, random)
        chosen = torch.multinomial(probability, 1, generator=random)[:, 0]
        return low.float(), found[torch.arange(size), chosen].float()

    def posterior(self, found: Tensor, probability: Tensor, count: int, random: torch.Generator) -> Tensor:
        """Exact posterior samples of scenes, `n x count x 1 x H x H`."""
        chosen = torch.multinomial(probability, count, replacement=True, generator=random)
        return found[torch.arange(len(found))[:, None], chosen]

    def dataset(self, scenes: int, seed: int = 0) -> xr.Dataset:
        """Random scenes with all their candidates; see `known_answers`."""
        low, found, probability = self.scenes(scenes, torch.Generator().manual_seed(seed))
        card = {
            "title": "Finite mixtures: candidates that share one observation exactly",
            "description": "Smooth backgrounds with a mark, which stands for stripes in one of several orientations "
            "that cannot be seen; their probabilities depend on the background.",
            "licence": "computed: no rights attach",
            "contrast": self.contrast,
            "slope": self.slope,
            "seed": seed,
        }
        return known_answers(low.float().numpy(), found.float().numpy(), probability.numpy(), self.operator, card)


def equal_observations(
    images: ImageSet, operator: ForwardOperator, *, patch: int = 3, tolerance: float = 2.0, scenes: int = 100,
    candidates: int = 16, seed: int = 0,
) -> xr.Dataset:  # fmt: skip
    """Real patches, grouped by equal observation within a tolerance.

    A scene is a random low-resolution patch; its candidates are the high-resolution patches under
    the low-resolution ones nearest to it, in other images, whose root mean squared difference is at most
    `tolerance`, the nearest of every image alone. They count as equally probable: an empirical
    posterior, as good as the tolerance is small.

    Parameters
    ----------
    images : ImageSet
        Where patches come from.
    operator : Observation
        The observation A, applied to whole images.
    patch : int
        Low-resolution pixels along a side of a patch.
    tolerance : float
        In grey levels.
    scenes, candidates : int
        The most scenes, and the most candidates of a scene; scenes with fewer than two are left out.
        Missing candidates are NaN and have probability 0.
    seed : int
        Decides the scenes.

    Returns
    -------
    Dataset
        See `known_answers`; ``observed`` holds the observation of every candidate.

    Raises
    ------
    InvalidArgument
        When no two patches share an observation within the tolerance.
    """
    from scipy.spatial import cKDTree

    s = operator.scale
    lows, highs, owners = [], [], []
    for owner, image in enumerate(images.images):
        height, width = (edge // s for edge in image.shape[:2])
        if min(height, width) < patch:
            continue
        high = torch.from_numpy(image[: height * s, : width * s].astype(np.float32)).permute(2, 0, 1)
        low = operator.observe(high)
        cut = low.unfold(1, patch, patch).unfold(2, patch, patch).permute(1, 2, 0, 3, 4)
        cut_high = high.unfold(1, patch * s, patch * s).unfold(2, patch * s, patch * s).permute(1, 2, 0, 3, 4)
        lows.append(cut.flatten(0, 1).flatten(1).numpy())
        highs.append(cut_high.flatten(0, 1).numpy().astype(np.uint8))
        owners.append(np.full(len(lows[-1]), owner))
    points, patches, owner_of = np.concatenate(lows), np.concatenate(highs), np.concatenate(owners)
    tree = cKDTree(points)
    reach = tolerance * points.shape[1] ** 0.5
    rows: list[list[int]] = []
    for first in np.random.default_rng(seed).permutation(len(points)):
        near = tree.query(points[first], k=min(len(points), 8 * candidates), distance_upper_bound=reach)[1]
        group: dict[int, int] = {}
        for index in near[near < len(points)].tolist():
            group.setdefault(int(owner_of[index]), index)  # nearest first
        if len(group) > 1:
            rows.append(list(group.values())[:candidates])
        if len(rows) == scenes:
            break
    if not rows:
        raise InvalidArgument(
            f"No two patches share an observation within {tolerance:g} grey levels: give more images, a larger "
            "tolerance, or a smaller patch."
        )
    shape = (len(rows), max(map(len, rows)))
    found = np.full((*shape, *patches.shape[1:]), np.nan, np.float32)
    seen = np.full((*shape, images.bands, patch, patch), np.nan, np.float32)
    probability = np.zeros(shape)
    for i, row in enumerate(rows):
        found[i, : len(row)], probability[i, : len(row)] = patches[row], 1 / len(row)
        seen[i, : len(row)] = points[row].reshape(len(row), *seen.shape[2:])
    card: dict[str, Any] = {
        "title": "Real patches grouped by equal observation",
        "description": "Patches of photographs whose observations differ by at most the tolerance (root mean square, "
        "grey levels); the first candidate of a scene is the one whose observation is `low`.",
        "licence": "that of the images",
        "sources": sorted({name.split("/")[0] for name in images.names}),
        "tolerance": tolerance,
        "images": len(images.names),
        "seed": seed,
    }
    ds = known_answers(seen[:, 0], found, probability, operator, card)
    return ds.assign(observed=(("scene", "candidate", "band", "y_low", "x_low"), seen))


def known_answers(
    low: NDArray[Any], high: NDArray[Any], probability: NDArray[Any], operator: ForwardOperator, card: dict[str, Any]
) -> xr.Dataset:
    """One low-resolution image, many high-resolution ones: as one Dataset, which zarr and netCDF take as it is.

    Parameters
    ----------
    low : ndarray
        Observations, `scene x band x h x w`.
    high : ndarray
        Candidates, `scene x candidate x band x sh x sw`.
    probability : ndarray
        Of every candidate, `scene x candidate`; rows sum to one.
    operator : Observation
        What observed them.
    card : dict
        Plain values that say what the data are: title, licence, seed, parameters.

    Returns
    -------
    Dataset
        ``low`` (scene, band, y_low, x_low), ``high`` (scene, candidate, band, y, x) and ``probability``
        (scene, candidate), with the card and the operator as attributes.
    """
    import json

    import xarray as xr

    return xr.Dataset(
        {
            "low": (("scene", "band", "y_low", "x_low"), low, {"long_name": "observation"}),
            "high": (("scene", "candidate", "band", "y", "x"), high, {"long_name": "what may have been observed"}),
            "probability": (("scene", "candidate"), probability, {"units": "1", "long_name": "posterior probability"}),
        },
        attrs={"Conventions": "CF-1.11", "observation": json.dumps(operator.describe())} | card,
    )
