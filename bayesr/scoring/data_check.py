"""Whether members agree with the input up to noise: the chi-squared of ``y - A x``, region by region.

If members are samples of the posterior, ``y - A x`` of a member has the distribution of the noise, as for the truth.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from scipy import stats
from scipy.ndimage import gaussian_filter
from scipy.optimize import minimize_scalar

from bayesr import product
from bayesr.errors import BayesrError, InvalidForwardOperator, InvalidPixels
from bayesr.images import Image
from bayesr.observe import ForwardOperator, Separable, Unconstrained, estimate_noise, from_description
from bayesr.observe.posteriors import width_of

Doubles = NDArray[np.float64]
Mask = NDArray[np.bool_]
Advance = Callable[[float], None]

LEVEL = 0.99
"""Share of regions in the expected band of chi-squared."""
NONE = "no chi-squared: "
"""How the reason begins where there is none."""
_REGIONS, _SMALLEST = 12, 8
"""Regions along the longer side, and the smallest side of one, in low-resolution pixels."""
_MAPS = ("chi_squared", "chi_squared_lower", "chi_squared_upper")
_CROP = 128
"""Low-resolution pixels along a side, at most, in which the unknown blur is fitted."""


@dataclass(frozen=True)
class Instrument:
    """The forward operators of the members of a product.

    Attributes
    ----------
    operators : tuple of ForwardOperator
        One of each dropout mask, or one of all.
    masks : int
        Number of dropout masks; member i has mask ``i % masks``.
    blur : float
        Largest standard deviation of an unknown Gaussian blur before the operator, in high-resolution pixels.
    noisy : bool
        Whether members may differ from the input by its noise.
    """

    operators: tuple[ForwardOperator, ...]
    masks: int = 1
    blur: float = 0.0
    noisy: bool = False

    @classmethod
    def of(cls, ds: xr.Dataset) -> Instrument:
        """Return the instrument that a product was drawn for."""
        masks, model = int(ds.attrs["masks"]), from_description(json.loads(product.attribute(ds, "forward_operator")))
        blur, noisy = getattr(model, "blur", 0.0), isinstance(model, Unconstrained)
        if "forward_operators" in ds.attrs:
            known = product.Provenance.from_dataset(ds).forward_operators
            return cls(tuple(map(_itself, map(from_description, known))), masks, 0.0, noisy)
        return cls((_itself(model),), masks, blur, noisy)

    @property
    def scale(self) -> int:
        return self.operators[0].scale

    @property
    def typical(self) -> ForwardOperator:
        """The operator of median width, with an exact pseudo-inverse where it has one."""
        operator = sorted(self.operators, key=width_of)[len(self.operators) // 2]
        if isinstance(operator, Separable):
            try:
                return replace(operator, regularisation=0.0)
            except InvalidForwardOperator:  # too wide
                return operator
        return operator

    def observe(self, x: Doubles, member: int, blur: float = 0.0) -> Doubles:
        """Return ``A x`` of a member `band x y x x`, after a Gaussian blur."""
        operator = self.operators[member % self.masks % len(self.operators)]
        blurred = gaussian_filter(x, (0, blur, blur), mode="reflect") if blur else x
        low: Doubles = operator.observe(torch.from_numpy(blurred)).numpy()
        return low


def _itself(operator: ForwardOperator) -> ForwardOperator:
    """Return an operator without its records of noise and blur."""
    return _itself(operator.of) if isinstance(operator, Unconstrained) else operator


@dataclass(frozen=True)
class Noise:
    """Noise of the low-resolution image: ``variance = gain signal + constant`` in each band.

    `error` is the relative standard error of the variance.
    """

    gain: Doubles
    constant: Doubles
    error: float
    source: str

    @classmethod
    def of(cls, low: Image, given: float | tuple[float, float] | None, step: float) -> Noise:
        """Return the noise as given (its standard deviation, or gain and read noise), or estimate it from the image.

        `step` is the quantisation step, whose rounding adds to the noise.

        Raises
        ------
        BayesrError
            When it cannot be estimated.
        """
        bands, rounding = len(low.data), step**2 / 12
        if given is not None:
            gain, read = given if isinstance(given, tuple) else (0.0, given)
            return cls(np.full(bands, gain), np.full(bands, read**2 + rounding), 0.0, "as given")
        if low.missing is not None and np.any(low.missing):
            raise InvalidPixels("Pixels are missing.")
        gains, constants, errors = [], [], []
        for band in low.data:
            found = estimate_noise(band.to_numpy())
            signal = float(band.mean())
            drawn = found["gain"] * signal + found["read_noise"] ** 2 + rounding
            gains.append(found.attrs["gain"])
            constants.append(found.attrs["read_noise"] ** 2 + rounding)
            errors.append(float(drawn.std() / max(float(drawn.mean()), 1e-30)))
        return cls(
            np.array(gains), np.array(constants), max(errors), "estimated from the image (observe.estimate_noise)"
        )

    def variance(self, signal: Doubles, least: float) -> Doubles:
        """Return the variance at a signal `band x y x x`, `least` or more."""
        grown: Doubles = self.gain[:, None, None] * np.maximum(signal, 0) + self.constant[:, None, None]
        return np.maximum(grown, least)


def region_side(height: int, width: int) -> int:
    """Return the side of a region in low-resolution pixels."""
    return max(_SMALLEST, -(-max(height, width) // _REGIONS))


def check_data(
    instrument: Instrument,
    members: xr.DataArray,
    low: Image | None,
    noise: float | tuple[float, float] | None,
    step: float,
    valid: Mask,
    advance: Advance,
    inset: int = 0,
) -> tuple[dict[str, Any], str]:
    """Compute the chi-squared of regions, and say which noise was assumed, or why there is none.

    Parameters
    ----------
    instrument : Instrument
    members : DataArray
        ``realization x band x y x x``, in the units of the image.
    low : Image or None
        The low-resolution image, if it is known.
    noise
        See `Noise.of`.
    step : float
        Quantisation step of the image.
    valid : ndarray
        Pixels of the product that are not missing, ``y x x``.
    advance : callable
        Called with 1 after each member.
    inset : int
        Low-resolution pixels to leave out at every border, where the image goes on.
    """
    size = [-(-edge // instrument.scale) for edge in members.shape[-2:]]
    side = region_side(*size)
    shape = tuple(-(-edge // side) for edge in size)
    edges = [np.minimum(np.arange(count + 1) * side, edge) for count, edge in zip(shape, size, strict=True)]
    middles = [(cut[:-1] + cut[1:]) / 2 * instrument.scale - 0.5 for cut in edges]
    nothing: dict[str, Any] = {name: np.full(shape, np.nan) for name in _MAPS}
    nothing |= {"chi_squared_inside": math.nan, "fitted_blur": math.nan}
    nothing |= {"region_y": middles[0], "region_x": middles[1]}

    def without(reason: str) -> tuple[dict[str, Any], str]:
        advance(len(members))
        return nothing, f"{NONE}{reason}"

    if not instrument.noisy:
        return without("the forward operator is exact, and members reproduce the input (lr_psnr)")
    if low is None or any(edge % instrument.scale for edge in members.shape[-2:]):
        return without("the low-resolution image is not known")
    try:
        assumed = Noise.of(low, noise, step)
    except BayesrError as error:
        return without(f"the noise is not known, and could not be estimated ({str(error).rstrip('.')})")
    y = low.data.to_numpy().astype(np.float64)
    clear = _clear(instrument, low, y, valid, inset)
    least = (1e-6 * float(low.value_range[1] - low.value_range[0])) ** 2
    sums, blurs = np.zeros(shape), []
    for number, i in enumerate(_numbers(members)):
        x = np.where(valid, members[number].to_numpy(), 0).astype(np.float64)
        blurs.append(_fitted_blur(instrument, x, y, clear, i))
        seen = instrument.observe(x, i, blurs[-1])
        sums += _by_region(np.where(clear, (y - seen) ** 2 / assumed.variance(seen, least), 0).sum(0), side)
        advance(1)
    counts = _by_region(clear.sum(0).astype(np.float64), side)
    with np.errstate(invalid="ignore", divide="ignore"):
        chi = sums / len(members) / counts
        tails = (1 - LEVEL) / 2
        lower, upper = (np.where(counts > 0, stats.chi2.ppf(p, counts) / counts, np.nan) for p in (tails, 1 - tails))
    unsure = float(stats.norm.ppf(1 - tails)) * assumed.error
    lower, upper = lower * max(1 - unsure, 0), upper * (1 + unsure)
    known = counts > 0
    inside = float(np.mean((chi >= lower)[known] & (chi <= upper)[known])) if known.any() else math.nan
    found = {
        "chi_squared": chi, "chi_squared_lower": lower, "chi_squared_upper": upper, "chi_squared_inside": inside,
        "fitted_blur": float(np.mean(blurs)),
    }  # fmt: skip
    return nothing | found, f"noise {assumed.source}"


def _numbers(members: xr.DataArray) -> list[int]:
    coords = members.coords.get("realization")
    return list(range(len(members))) if coords is None else [int(i) for i in coords.to_numpy()]


def _by_region(values: Doubles, side: int) -> Doubles:
    rows, columns = (np.arange(0, size, side) for size in values.shape)
    sums: Doubles = np.add.reduceat(np.add.reduceat(values, rows, 0), columns, 1)
    return sums


def _clear(instrument: Instrument, low: Image, y: Doubles, valid: Mask, inset: int) -> Mask:
    """Return the pixels ``band x y x x`` of the input that depend on no missing pixel and are not saturated."""
    clear = np.isfinite(y)
    if not valid.all():
        missing = instrument.observe((~valid).astype(np.float64)[None], 0, instrument.blur)
        clear &= np.abs(missing) < 1e-9
    if low.missing is not None:
        clear &= ~np.asarray(low.missing)
    if low.bounds is not None:  # noise is cut off there
        clear &= (y > low.bounds[0]) & (y < low.bounds[1])
    if inset:
        inner = np.zeros(y.shape[-2:], bool)
        inner[inset:-inset, inset:-inset] = True
        clear &= inner
    return clear


def _fitted_blur(instrument: Instrument, x: Doubles, y: Doubles, clear: Mask, member: int) -> float:
    """Return the blur, up to the largest one, with which a member explains the middle of the input best."""
    if not instrument.blur:
        return 0.0
    s, margin = instrument.scale, instrument.operators[0].reach
    rows, columns = (
        slice((size - side) // 2, (size - side) // 2 + side)
        for size, side in ((size, min(size, _CROP)) for size in y.shape[-2:])
    )
    part = x[:, rows.start * s : rows.stop * s, columns.start * s : columns.stop * s]
    counted, target = clear[:, rows, columns].copy(), y[:, rows, columns]
    height, width = target.shape[-2:]
    edge = min(margin, min(height, width) // 4)  # beyond the part, the image goes on
    inner = np.zeros((height, width), bool)
    inner[edge : height - edge, edge : width - edge] = True
    counted &= inner

    def misfit(blur: float) -> float:
        return float(np.square(target - instrument.observe(part, member, blur))[counted].sum())

    options = {"xatol": 0.01 * instrument.blur}
    return float(minimize_scalar(misfit, bounds=(0.0, instrument.blur), method="bounded", options=options).x)
