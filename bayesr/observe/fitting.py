"""The posterior of point-spread width and noise, given pairs of images."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from bayesr.errors import InvalidArgument, InvalidForwardOperator, InvalidPixels
from bayesr.isolation import isolated
from bayesr.observe.aperture import RADIUS
from bayesr.observe.base import ForwardOperator
from bayesr.observe.likelihood import FAMILIES, Family, Misfit, Posterior, sampled
from bayesr.observe.point_spread import Airy, Measured
from bayesr.observe.separable import Separable

if TYPE_CHECKING:
    import xarray as xr

Doubles = NDArray[np.float64]

_PIXELS = 10_000
"""Most low-resolution pixels to compare; more would make the posterior narrower than the model allows."""
_INSIDE = 16
"""Smallest side inside the border, in low-resolution pixels."""


@isolated
def fit(
    low: Any,
    high: Any,
    *,
    psf: str = "gaussian",
    widest: float | None = None,
    level: float = 0.9,
    draws: int = 1000,
    seed: int = 0,
) -> xr.Dataset:
    """Sample the posterior of point-spread function and noise, given low- and high-resolution images.

    The model is ``y = A(w) x + n`` with ``n ~ N(0, s^2)`` in every pixel, the sampler the No-U-Turn sampler. The prior
    of ``log w`` is normal with standard deviation 1 around half a low-resolution pixel (Airy: one and a half),
    truncated to the widths considered; that of ``log s`` is normal with standard deviation 2 around a twentieth of the
    low-resolution images' standard deviation.

    Parameters
    ----------
    low : array or sequence of arrays
        Low-resolution images, each `... x h x w`. Leading axes (bands, scenes) share width and noise.
    high : array or sequence of arrays
        High-resolution images of the same scenes, `... x sh x sw`, registered and in the same units. Low-resolution
        pixel 0 covers high-resolution pixels 0 to s - 1.
    psf : {"gaussian", "airy"}
        `observe.gaussian` with width sigma, or `observe.airy` with width ``0.61 wavelength / NA``.
    widest : float, optional
        Largest width considered, in high-resolution pixels; by default 2 low-resolution pixels (Airy: 4), at least 4
        high-resolution ones. A border of 5 (Airy: 4) such widths is left out, because pixels beyond the image are
        unknown.
    level : float
        Level of the credible intervals, in (0, 1).
    draws : int
        Number of draws, at least 100.
    seed : int
        Seed of the sampler; the caller's random state does not change.

    Returns
    -------
    Dataset
        ``psf_width`` (high-resolution pixels) and ``noise`` (units of the images) along `draw`. Attributes:
        ``psf_width_interval`` and ``noise_interval``, the central intervals at ``level``; ``r_hat`` and ``n_eff``, the
        worse of the two variables; ``divergences``; ``scale``, ``psf``, ``seed``; ``pixels``, the number compared.
        `observe.fitted` makes an operator of it.

    Raises
    ------
    InvalidArgument
        For shapes without an integer scale factor, images that are too small or constant, and arguments out of range.
    InvalidPixels
        For NaN and infinite values.
    InvalidForwardOperator
        If the point-spread function is wider than `widest`.

    Notes
    -----
    At most 10,000 low-resolution pixels around the images' centres are compared. The intervals are too narrow if noise
    grows with the signal, if the point-spread function has another shape, or if images are shifted against each other
    by a tenth of a pixel.

    References
    ----------
    M. D. Hoffman and A. Gelman, "The No-U-Turn Sampler", 2014, arXiv:1111.4246. E. Bingham et al., "Pyro: Deep
    Universal Probabilistic Programming", 2019, arXiv:1810.09538.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from bayesr import observe
    >>> x = np.random.default_rng(0).random((256, 256))
    >>> y = observe.gaussian(4, sigma=1.6).observe(torch.from_numpy(x))
    >>> found = observe.fit(y + 0.01 * torch.randn(64, 64), x)
    >>> bool(abs(found["psf_width"].mean() - 1.6) < 0.1)
    True
    """
    if psf not in FAMILIES:
        raise InvalidArgument(f"psf must be one of {', '.join(map(repr, FAMILIES))}, not {psf!r}.")
    if not 0 < level < 1:
        raise InvalidArgument(f"level must lie between 0 and 1 (0.9 for a 90% interval), not {level!r}.")
    if draws < 100:
        raise InvalidArgument(f"{draws} draws are too few to estimate an interval: use at least 100.")
    family = FAMILIES[psf]
    pairs, scale = image_pairs(low, high)
    largest = max(family.widest * scale, 4.0) if widest is None else float(widest)
    if not 2 * family.least < largest < math.inf:
        raise InvalidArgument(f"widest must exceed {2 * family.least:g} high-resolution pixels, not {widest!r}.")
    misfit = Misfit(psf, scale, largest, cropped_pairs(pairs, scale, largest, family))
    values, diagnostics = sampled(Posterior(misfit, family), draws, seed)
    ends = [(1 - level) / 2, (1 + level) / 2]
    names = ("psf_width", "noise")
    intervals = {f"{name}_interval": np.quantile(values[name], ends).tolist() for name in names}
    import xarray as xr  # start-up time: networks, which use operators, need no xarray

    units = {"psf_width": "high-resolution pixels", "noise": "units of the images"}
    texts = {"psf_width": family.meaning, "noise": "standard deviation of the noise"}
    return xr.Dataset(
        {name: ("draw", values[name], {"units": units[name], "long_name": texts[name]}) for name in names},
        {"draw": np.arange(draws)},
        {"psf": psf, "scale": scale, "level": level, **intervals, **diagnostics, "pixels": misfit.pixels, "seed": seed},
    )


def fitted(posterior: xr.Dataset, *, regularisation: float | None = None) -> ForwardOperator:
    """Return the operator at the posterior mean of the width.

    Parameters
    ----------
    posterior : Dataset
        The result of `fit` or `fit_beads`.
    regularisation : float, optional
        Regularisation of the inverse, for noisy images; by default none for a Gaussian that has an exact inverse.

    Returns
    -------
    ForwardOperator
        `observe.gaussian` or `observe.airy`; for a Gaussian too wide for an exact inverse, a Fourier operator: the
        variances of its pixel and point-spread function add up to the Gaussian's. `observe.measured` for the mean of
        beads.
    """
    scale, options = int(posterior.attrs["scale"]), {} if regularisation is None else {"regularisation": regularisation}
    if posterior.attrs["psf"] == "measured":
        return Measured(tuple(map(tuple, posterior["kernel"].to_numpy().tolist())), scale, **options)
    return of_width(posterior.attrs["psf"], scale, float(posterior["psf_width"].mean()), regularisation)


def of_width(psf: str, scale: int, width: float, regularisation: float | None = None) -> ForwardOperator:
    """Return the operator of a family at a width; see `fitted`."""
    options = {} if regularisation is None else {"regularisation": regularisation}
    if psf == "airy":
        return Airy(scale, RADIUS / width, 1.0, 1.0, **options)
    try:
        return Separable("gaussian", scale, width, **options)
    except InvalidForwardOperator:
        sigma = math.sqrt(width**2 - (scale**2 - 1) / 12)
        radius = min(32, math.ceil(5 * sigma))
        t = np.arange(-radius, radius + 1)
        rows = np.exp(-0.5 * (t[:, None] ** 2 + t**2) / sigma**2)
        return Measured(tuple(map(tuple, rows.tolist())), scale, **options)


def image_pairs(low: Any, high: Any) -> tuple[list[tuple[Doubles, Doubles]], int]:
    """Return every pair of images, `h x w` and `sh x sw`, and the scale factor."""
    lows, highs = (list(given) if isinstance(given, list | tuple) else [given] for given in (low, high))
    if len(lows) != len(highs) or not lows:
        raise InvalidArgument(
            f"{len(lows)} low- and {len(highs)} high-resolution images do not form pairs: give as many of one as of "
            "the other."
        )
    planes: list[tuple[Doubles, Doubles]] = []
    scales = set()
    for y, x in (map(_array, pair) for pair in zip(lows, highs, strict=True)):
        s = x.shape[-1] // y.shape[-1] if y.ndim > 1 and y.size else 0
        if s < 1 or x.shape != (*y.shape[:-2], s * y.shape[-2], s * y.shape[-1]):
            raise InvalidArgument(
                f"A pair must have the shapes ... x h x w and ... x sh x sw with an integer s, not {y.shape} and "
                f"{x.shape}: crop the high-resolution image to a multiple, and put bands first."
            )
        scales.add(s)
        planes += zip(y.reshape(-1, *y.shape[-2:]), x.reshape(-1, *x.shape[-2:]), strict=True)
    if len(scales) > 1:
        raise InvalidArgument(f"All pairs must have the same scale factor, not {sorted(scales)}: fit them separately.")
    return planes, scales.pop()


def _array(image: Any) -> Doubles:
    image = image.detach().cpu() if isinstance(image, Tensor) else image
    try:
        values = np.asarray(image, np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidArgument(f"Pairs must be arrays of numbers: {error}.") from error
    if not np.isfinite(values).all():
        raise InvalidPixels("A pair contains NaN or infinite values: crop to where both images are known.")
    return values


def cropped_pairs(
    pairs: list[tuple[Doubles, Doubles]], scale: int, widest: float, family: Family
) -> list[tuple[Doubles, Doubles]]:
    """Crop pairs around their centres to the low-resolution pixels to compare and all pixels that influence them."""
    border = math.ceil(family.radius * widest / scale) + 1
    smallest = min(min(y.shape) for y, _ in pairs)
    if smallest < 2 * border + _INSIDE:
        raise InvalidArgument(
            f"Low-resolution images must have {2 * border + _INSIDE} pixels along a side, not {smallest}: {border} at "
            f"every border are left out for a point-spread function up to {widest:g} high-resolution pixels wide. "
            "Give larger images or a smaller widest."
        )
    pairs = pairs[:: math.ceil(len(pairs) * _INSIDE**2 / _PIXELS)]
    side = max(_INSIDE, math.isqrt(_PIXELS // len(pairs)))
    cropped = []
    for y, x in pairs:
        height, width = (size - 2 * border for size in y.shape)
        rows, columns = min(height, max(side, side**2 // width)), min(width, max(side, side**2 // height))
        top, left = (height - rows) // 2, (width - columns) // 2
        inside = y[top + border : top + border + rows, left + border : left + border + columns]
        around = x[
            top * scale : (top + rows + 2 * border) * scale, left * scale : (left + columns + 2 * border) * scale
        ]
        cropped.append((inside, around))
    if all(np.ptp(x) == 0 for _, x in cropped) or all(np.ptp(y) == 0 for y, _ in cropped):
        raise InvalidArgument(
            "The images are constant around their centres, where they are compared, so blur cannot be estimated: give "
            "pairs with structure."
        )
    return cropped
