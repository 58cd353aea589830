"""The point-spread function of an instrument from an image of beads that are smaller than it resolves."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayesr.errors import InvalidArgument, InvalidPixels

if TYPE_CHECKING:
    import xarray as xr

Doubles = NDArray[np.float64]
Profile = Callable[[Doubles, float], Doubles]

_FIRST_ZERO = 3.8317059702075125
"""First zero of the Bessel function J1: the radius ``0.61 wavelength / NA`` in its argument."""
_CONTRAST = 6.0
"""Height of a bead over the noise, at least."""
_LEAST = 3
_WIDTHS = 3.5
"""Half the side of a bead's window, in standard deviations."""
_DRAWS = 1000


def fit_beads(image: Any, *, scale: int = 1, psf: str = "gaussian", level: float = 0.9, seed: int = 0) -> xr.Dataset:
    """Fit the point-spread function to an image of beads, each at a position between pixels.

    ``y = b + a h((r - c) / w)`` is fitted to every isolated bead by least squares, weighted by the noise, which may
    grow with the signal. The logarithms of the widths w are averaged with weights by their precision, and the error of
    the mean follows from their spread if that is larger. Widths far from the median belong to clusters, and are left
    out.

    Parameters
    ----------
    image : array
        Image `y x x` of 3 beads or more, which do not touch, over a dark background. Beads are much smaller than the
        width that is estimated. Values as recorded.
    scale : int
        High-resolution pixels per pixel of the image: the scale factor of a model that is to assume the result.
    psf : {"gaussian", "airy", "measured"}
        `observe.gaussian` with the standard deviation w, pixel included; `observe.airy` with ``w = 0.61 wavelength /
        NA``, averaged over pixels; or the mean of all beads, with `scale` 1 (`observe.measured`).
    level : float
        Level of the intervals, in (0, 1).
    seed : int
        Seed of the draws.

    Returns
    -------
    Dataset
        ``psf_width`` in high-resolution pixels along `draw`, from Student's distribution about the mean; attributes
        ``psf_width`` and ``psf_width_interval``. ``width``, ``y`` and ``x`` of each bead, in pixels of the image. With
        ``"measured"`` also ``kernel`` and its standard error. `observe.fitted` makes an operator of it.

    Raises
    ------
    InvalidArgument
        If fewer than 3 isolated beads are found, or an argument is out of range.
    InvalidPixels
        For NaN and infinite values.

    Examples
    --------
    >>> import numpy as np
    >>> from bayesr import observe
    >>> random, grid = np.random.default_rng(0), np.arange(96.0)
    >>> y = random.normal(100, 2, (96, 96))
    >>> for cy, cx in random.uniform(-3, 3, (16, 2)) + np.mgrid[12:96:24, 12:96:24].reshape(2, -1).T:
    ...     y += 80 * np.exp(-((grid[:, None] - cy) ** 2 + (grid - cx) ** 2) / (2 * 1.5**2))
    >>> found = observe.fit_beads(y, scale=2)
    >>> bool(abs(found.attrs["psf_width"] - 3.0) < 0.1)
    True
    """
    if psf not in (*_PROFILES, "measured"):
        raise InvalidArgument(f"psf must be 'gaussian', 'airy' or 'measured', not {psf!r}.")
    if not 0 < level < 1:
        raise InvalidArgument(f"level must lie between 0 and 1 (0.9 for a 90% interval), not {level!r}.")
    if isinstance(scale, bool) or not isinstance(scale, int) or scale < 1:
        raise InvalidArgument(f"scale must be a whole number, at least 1, not {scale!r}.")
    if psf == "measured" and scale != 1:
        raise InvalidArgument(
            f"A measured function at scale {scale} would contain the pixel, which `observe.measured` adds: use "
            "scale=1, or psf='gaussian' or 'airy'."
        )
    y = np.asarray(image)
    if y.ndim != 2 or min(y.shape) < 16:
        raise InvalidArgument(f"Give one image (y, x) of 16 pixels or more along a side, not shape {y.shape}.")
    saturated = y == np.iinfo(y.dtype).max if y.dtype.kind in "ui" else np.zeros(y.shape, bool)
    y = y.astype(np.float64)
    if not np.isfinite(y).all():
        raise InvalidPixels("The image contains NaN or infinite values: crop to where it has data.")
    found = _fitted(y, saturated, _PROFILES.get(psf, _gaussian))
    centre, error, freedom = _combined(found)
    from scipy import stats  # slow to import

    t = stats.t(freedom)
    draws = np.exp(centre + error * t.rvs(_DRAWS, random_state=np.random.default_rng(seed))) * scale
    reach = error * float(t.ppf((1 + level) / 2))
    attributes: dict[str, Any] = {
        "psf": psf, "scale": scale, "level": level, "psf_width": math.exp(centre) * scale,
        "psf_width_interval": [math.exp(centre - reach) * scale, math.exp(centre + reach) * scale],
        "beads": len(found), "seed": seed,
    }  # fmt: skip
    import xarray as xr  # start-up time: networks, which use operators, need no xarray

    variables: dict[str, Any] = {"psf_width": ("draw", draws, {"units": "high-resolution pixels"})}
    for name in ("width", "y", "x"):
        variables[name] = ("bead", [getattr(bead, name) for bead in found], {"units": "pixels of the image"})
    if psf == "measured":
        kernel, errors = _mean_bead(y, found, math.exp(centre))
        variables["kernel"] = (("kernel_y", "kernel_x"), kernel)
        variables["kernel_error"] = (("kernel_y", "kernel_x"), errors)
    return xr.Dataset(variables, attrs=attributes)


@dataclass(frozen=True)
class _Bead:
    background: float
    height: float
    y: float
    x: float
    width: float
    error: float
    """Standard error of the logarithm of the width."""


def _gaussian(squared: Doubles, width: float) -> Doubles:
    return np.exp(-0.5 * squared / width**2)


def _airy(squared: Doubles, width: float) -> Doubles:
    from scipy.special import j1  # slow to import

    v = np.maximum(_FIRST_ZERO * np.sqrt(squared) / width, 1e-6)
    profile: Doubles = (2 * j1(v) / v) ** 2
    return profile


_PROFILES: dict[str, Profile] = {"gaussian": _gaussian, "airy": _airy}


def _fitted(y: Doubles, saturated: NDArray[np.bool_], profile: Profile) -> list[_Bead]:
    """Find isolated beads and fit each, first with equal weights, then with those of the noise."""
    peaks = _peaks(y)
    width = _usual_width(y, peaks)
    half = max(3, math.ceil(_WIDTHS * width))
    apart = _isolated(peaks, half + 2, y.shape)
    windows = [window for window in (_window(peak, half) for peak in apart) if not saturated[window].any()]
    if len(windows) < _LEAST:
        raise InvalidArgument(
            f"{len(windows)} isolated beads were found, of {len(peaks)} bright spots; {_LEAST} are needed, better 20. "
            f"Beads must be {2 * half} pixels apart, {half} from the border, and not saturated."
        )
    start = width * (2.9 if profile is _airy else 1.0)  # the radius of an Airy disc whose core has that deviation
    first = [_fit(y, window, profile, start, None) for window in windows]
    level, gain = _noise_of([residual for _, residual in first])
    weights = [1 / np.sqrt(level + gain * np.maximum(signal, 0)) for _, (_, signal) in first]
    beads = [_fit(y, window, profile, start, own)[0] for window, own in zip(windows, weights, strict=True)]
    logs = np.log([bead.width for bead in beads])
    middle = np.median(logs)
    spread = max(float(np.median(np.abs(logs - middle))) * 1.4826, float(np.median([b.error for b in beads])))
    return [bead for bead, log in zip(beads, logs, strict=True) if abs(log - middle) < 4 * spread]


def _peaks(y: Doubles) -> list[tuple[int, int]]:
    """Return the brightest pixels of spots, brightest first."""
    from scipy import ndimage  # slow to import

    smooth = ndimage.gaussian_filter(y, 1.0)
    background = float(np.median(smooth))
    noise = 1.4826 * float(np.median(np.abs(smooth - background)))
    highest = ndimage.maximum_filter(smooth, 5)
    found = np.argwhere((smooth == highest) & (smooth > background + _CONTRAST * noise))
    order = np.argsort(-smooth[tuple(found.T)])
    return [(int(row), int(column)) for row, column in found[order]]


def _usual_width(y: Doubles, peaks: list[tuple[int, int]]) -> float:
    """Return a first standard deviation, from the area at half of the height of bright spots."""
    from scipy import ndimage  # slow to import

    widths = []
    background = float(np.median(y))
    for row, column in peaks[:30]:
        for half in (4, 8, 16):
            part = y[max(0, row - half) : row + half + 1, max(0, column - half) : column + half + 1]
            centre = (min(row, half), min(column, half))
            labels, _ = ndimage.label(part > background + (y[row, column] - background) / 2)
            area = int((labels == labels[centre]).sum())
            if area < half**2:
                break
        widths.append(math.sqrt(area / (2 * math.pi * math.log(2))))
    return max(0.5, float(np.median(widths))) if widths else 1.0


def _isolated(peaks: list[tuple[int, int]], half: int, shape: tuple[int, ...]) -> list[tuple[int, int]]:
    """Return the peaks whose windows lie in the image and hold no other peak's core."""
    places = np.array(peaks, float).reshape(-1, 2)
    kept = []
    for i, (row, column) in enumerate(peaks):
        inside = half <= row < shape[0] - half and half <= column < shape[1] - half
        near = np.abs(places - places[i]).max(1) < 1.5 * half
        if inside and near.sum() == 1:
            kept.append((row, column))
    return kept


def _window(peak: tuple[int, int], half: int) -> tuple[slice, slice]:
    return slice(peak[0] - half, peak[0] + half + 1), slice(peak[1] - half, peak[1] + half + 1)


def _fit(
    y: Doubles, window: tuple[slice, slice], profile: Profile, width: float, weights: Doubles | None
) -> tuple[_Bead, tuple[Doubles, Doubles]]:
    """Fit a bead, with the inverse standard deviations of the noise as weights; equal ones if None.

    Return it with the squared residuals and the expected signal over the background.
    """
    from scipy import optimize  # slow to import

    values = y[window]
    rows, columns = (np.arange(part.start, part.stop, dtype=np.float64) for part in window)
    middle = len(rows) // 2
    background = float(np.median(values[[0, -1]]))
    start = [background, values[middle, middle] - background, rows[middle], columns[middle], math.log(width)]

    def shape(p: Doubles) -> Doubles:
        parts = (0.0,) if profile is _gaussian else (-1 / 3, 0.0, 1 / 3)  # averages over the pixel
        squared = np.stack([(rows[:, None] - p[2] + i) ** 2 + (columns - p[3] + j) ** 2 for i in parts for j in parts])
        signal: Doubles = p[1] * profile(squared, math.exp(min(max(p[4], -3), 6))).mean(0)
        return signal

    factors = 1.0 if weights is None else weights
    found = optimize.least_squares(lambda p: ((p[0] + shape(p) - values) * factors).ravel(), start, x_scale="jac")
    p = found.x
    residuals = (values - p[0] - shape(p)) ** 2
    freedom = values.size - 5
    scatter = float(2 * found.cost) / freedom if weights is None else 1.0
    covariance = np.linalg.pinv(found.jac.T @ found.jac) * scatter
    bead = _Bead(p[0], p[1], p[2], p[3], math.exp(p[4]), math.sqrt(max(covariance[4, 4], 1e-16)))
    return bead, (residuals * values.size / freedom, shape(p))


def _noise_of(residuals: list[tuple[Doubles, Doubles]]) -> tuple[float, float]:
    """Return the variance of the noise without signal, and its growth with the signal."""
    from scipy import optimize  # slow to import

    squares, signal = (np.concatenate([part.ravel() for part in parts]) for parts in zip(*residuals, strict=True))
    matrix = np.stack([np.ones_like(signal), np.maximum(signal, 0)], 1)
    expected = np.full_like(squares, squares.mean())
    found = np.array([squares.mean(), 0.0])
    for _ in range(5):  # squares spread in proportion to their expectation
        found, _ = optimize.nnls(matrix / expected[:, None], squares / expected)
        expected = np.maximum(matrix @ found, 1e-3 * squares.mean() + 1e-300)
    return max(float(found[0]), 1e-3 * float(squares.mean()) + 1e-300), float(found[1])


def _combined(beads: list[_Bead]) -> tuple[float, float, int]:
    """Return the mean logarithm of widths, its standard error, and the degrees of freedom."""
    logs, errors = np.log([bead.width for bead in beads]), np.array([bead.error for bead in beads])
    weights = 1 / errors**2
    mean = float((weights * logs).sum() / weights.sum())
    freedom = len(beads) - 1
    excess = float((weights * (logs - mean) ** 2).sum()) / freedom
    return mean, math.sqrt(max(1.0, excess) / weights.sum()), freedom


def _mean_bead(y: Doubles, beads: list[_Bead], width: float) -> tuple[Doubles, Doubles]:
    """Return the mean of beads that are moved to the centre of a pixel, with sum one, and its standard error."""
    from scipy import ndimage  # slow to import

    half = math.ceil(_WIDTHS * width)
    aligned = []
    for bead in beads:
        row, column = round(bead.y), round(bead.x)
        rows, columns = _window((row, column), half + 2)  # two pixels more, which interpolation needs
        values = (y[rows, columns] - bead.background) / bead.height
        aligned.append(ndimage.shift(values, (row - bead.y, column - bead.x), mode="nearest")[2:-2, 2:-2])
    heights = np.array([bead.height for bead in beads])[:, None, None] ** 2
    stack = np.stack(aligned)
    mean = (heights * stack).sum(0) / heights.sum()
    error = np.sqrt((heights**2 * (stack - mean) ** 2).sum(0)) / heights.sum()
    return mean / mean.sum(), error / mean.sum()
