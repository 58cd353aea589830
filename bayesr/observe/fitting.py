"""What pairs tell of their observation: the posterior of the point-spread function's width and of the noise."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from bayesr.errors import InvalidArgument, InvalidObservation, InvalidPixels
from bayesr.observe.aperture import RADIUS
from bayesr.observe.base import ForwardOperator
from bayesr.observe.likelihood import FAMILIES, Family, Misfit, Posterior, sampled
from bayesr.observe.point_spread import Airy, Measured
from bayesr.observe.separable import Separable

if TYPE_CHECKING:
    import xarray as xr

Doubles = NDArray[np.float64]

_PIXELS = 10_000
"""Low-resolution pixels that are compared: more would sharpen the posterior beyond what models are true to."""
_INSIDE = 16
"""Low-resolution pixels along a side that must be left within the border."""


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
    """The posterior of point-spread function and noise, given low- and high-resolution images of the same scenes.

    ``y = A(w) x + n`` with ``n ~ N(0, s^2)`` in every pixel, by the No-U-Turn sampler. Priors: ``log w`` normal
    about half a low-resolution pixel (Airy: one and a half) with standard deviation 1, within the widths
    considered; ``log s`` normal about a twentieth of the low-resolution images' standard deviation, with standard
    deviation 2.

    Parameters
    ----------
    low : array or sequence of arrays
        Low-resolution images, each `... x h x w`; leading axes (bands, scenes) share width and noise.
    high : array or sequence of arrays
        The high-resolution images of the same scenes, `... x sh x sw`, registered and in the same units.
        Low-resolution pixel 0 covers high-resolution pixels 0 to s - 1.
    psf : {"gaussian", "airy"}
        The family: `observe.gaussian`, of width sigma, or `observe.airy`, of width ``0.61 wavelength / NA``.
    widest : float, optional
        The widest considered, in high-resolution pixels: by default 2 low-resolution pixels, for Airy 4, and no
        less than 4 high-resolution pixels. A border of 5 (Airy: 4) such widths is left out, for nobody knows
        what lies beyond the image.
    level : float
        Of the credible intervals, in (0, 1).
    draws : int
        From the posterior, at least 100.
    seed : int
        Of the sampler. The caller's random state stays as it is.

    Returns
    -------
    Dataset
        ``psf_width`` (high-resolution pixels) and ``noise`` (units of the images) along `draw`. Attributes:
        ``psf_width_interval`` and ``noise_interval``, central, at ``level``; ``r_hat`` and ``n_eff``, the worse
        of the two, ``divergences``; ``scale``, ``psf``, ``pixels`` compared, ``seed``. `observe.fitted` makes an
        operator of it.

    Raises
    ------
    InvalidArgument
        For shapes of no whole scale, images too small, constant images, and arguments out of range.
    InvalidPixels
        For NaN and infinite values.
    InvalidObservation
        When the point-spread function is wider than `widest`.

    Notes
    -----
    At most 10,000 low-resolution pixels about the centres of the images are compared. The interval is as good as
    the model: noise that grows with the signal, another shape of the point-spread function or images that are
    shifted against each other by a tenth of a pixel make it too narrow.

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
        raise InvalidArgument(f"psf is one of {', '.join(map(repr, FAMILIES))}, not {psf!r}.")
    if not 0 < level < 1:
        raise InvalidArgument(f"level must lie between 0 and 1 (0.9 for a 90% interval), not {level!r}.")
    if draws < 100:
        raise InvalidArgument(f"{draws} draws are too few to tell an interval: ask for 100 at least.")
    family = FAMILIES[psf]
    planes, scale = image_pairs(low, high)
    most = max(family.widest * scale, 4.0) if widest is None else float(widest)
    if not 2 * family.least < most < math.inf:
        raise InvalidArgument(f"widest must exceed {2 * family.least:g} high-resolution pixels, not {widest!r}.")
    misfit = Misfit(psf, scale, most, cropped_pairs(planes, scale, most, family))
    found, how = sampled(Posterior(misfit, family), draws, seed)
    heads = [(1 - level) / 2, (1 + level) / 2]
    names = ("psf_width", "noise")
    intervals = {f"{name}_interval": np.quantile(found[name], heads).tolist() for name in names}
    import xarray as xr

    units = {"psf_width": "high-resolution pixels", "noise": "units of the images"}
    texts = {"psf_width": family.meaning, "noise": "standard deviation of the noise"}
    return xr.Dataset(
        {name: ("draw", found[name], {"units": units[name], "long_name": texts[name]}) for name in names},
        {"draw": np.arange(draws)},
        {"psf": psf, "scale": scale, "level": level, **intervals, **how, "pixels": misfit.pixels, "seed": seed},
    )


def fitted(posterior: xr.Dataset, *, regularisation: float | None = None) -> ForwardOperator:
    """The operator at the posterior mean of the width that `fit` found.

    Parameters
    ----------
    posterior : Dataset
        What `fit` returned.
    regularisation : float, optional
        Of a Fourier operator.

    Returns
    -------
    Observation
        `observe.gaussian` or `observe.airy`. A Gaussian too wide for an exact inverse becomes a Fourier operator
        whose pixels' and point-spread function's variances add up to that of the Gaussian.
    """
    scale, width = int(posterior.attrs["scale"]), float(posterior["psf_width"].mean())
    options = {} if regularisation is None else {"regularisation": regularisation}
    if posterior.attrs["psf"] == "airy":
        return Airy(scale, RADIUS / width, 1.0, 1.0, **options)
    try:
        return Separable("gaussian", scale, width)
    except InvalidObservation:
        sigma = math.sqrt(width**2 - (scale**2 - 1) / 12)
        radius = min(32, math.ceil(5 * sigma))
        t = np.arange(-radius, radius + 1)
        rows = np.exp(-0.5 * (t[:, None] ** 2 + t**2) / sigma**2)
        return Measured(tuple(map(tuple, rows.tolist())), scale, **options)


def image_pairs(low: Any, high: Any) -> tuple[list[tuple[Doubles, Doubles]], int]:
    """Every pair of images `h x w` and `sh x sw`, and the scale."""
    lows, highs = (list(given) if isinstance(given, list | tuple) else [given] for given in (low, high))
    if len(lows) != len(highs) or not lows:
        raise InvalidArgument(f"{len(lows)} low- and {len(highs)} high-resolution images are no pairs.")
    planes: list[tuple[Doubles, Doubles]] = []
    scales = set()
    for y, x in (map(_array, pair) for pair in zip(lows, highs, strict=True)):
        s = x.shape[-1] // y.shape[-1] if y.ndim > 1 and y.size else 0
        if s < 1 or x.shape != (*y.shape[:-2], s * y.shape[-2], s * y.shape[-1]):
            raise InvalidArgument(
                f"A pair has the shapes ... x h x w and ... x sh x sw with a whole scale s, not {y.shape} and "
                f"{x.shape}: crop the high-resolution image to a multiple, and put bands first."
            )
        scales.add(s)
        planes += zip(y.reshape(-1, *y.shape[-2:]), x.reshape(-1, *x.shape[-2:]), strict=True)
    if len(scales) > 1:
        raise InvalidArgument(f"All pairs have one scale, not {sorted(scales)}: fit them apart.")
    return planes, scales.pop()


def _array(image: Any) -> Doubles:
    image = image.detach().cpu() if isinstance(image, Tensor) else image
    try:
        values = np.asarray(image, np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidArgument(f"Pairs are arrays of numbers: {error}.") from error
    if not np.isfinite(values).all():
        raise InvalidPixels("A pair holds NaN or infinite values: crop to where both images are known.")
    return values


def cropped_pairs(
    planes: list[tuple[Doubles, Doubles]], scale: int, widest: float, family: Family
) -> list[tuple[Doubles, Doubles]]:
    """Pairs cropped about their centres: low-resolution pixels to compare, and all that they see."""
    border = math.ceil(family.radius * widest / scale) + 1
    smallest = min(min(y.shape) for y, _ in planes)
    if smallest < 2 * border + _INSIDE:
        raise InvalidArgument(
            f"Low-resolution images must have {2 * border + _INSIDE} pixels along a side, not {smallest}: {border} at "
            f"every border are left out for a point-spread function up to {widest:g} high-resolution pixels wide. "
            "Give larger images, or a smaller widest."
        )
    planes = planes[:: math.ceil(len(planes) * _INSIDE**2 / _PIXELS)]
    side = max(_INSIDE, math.isqrt(_PIXELS // len(planes)))
    found = []
    for y, x in planes:
        height, width = (size - 2 * border for size in y.shape)
        rows, columns = min(height, max(side, side**2 // width)), min(width, max(side, side**2 // height))
        top, left = (height - rows) // 2, (width - columns) // 2
        inside = y[top + border : top + border + rows, left + border : left + border + columns]
        around = x[
            top * scale : (top + rows + 2 * border) * scale, left * scale : (left + columns + 2 * border) * scale
        ]
        found.append((inside, around))
    if all(np.ptp(x) == 0 for _, x in found) or all(np.ptp(y) == 0 for y, _ in found):
        raise InvalidArgument(
            "The images are constant where they are compared, about their centres, and tell nothing of blur: give "
            "pairs with structure."
        )
    return found
