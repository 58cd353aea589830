"""Photon gain and read noise, estimated from an image or from a stack of images of one scene."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayesr.errors import InvalidArgument, InvalidPixels

if TYPE_CHECKING:
    import xarray as xr

Doubles = NDArray[np.float64]

_GROUPS = 24
"""Groups of pixels of similar signal, at most."""
_LEAST = 200
"""Pixels of a group, at least."""
_SIDE = 32
"""Smallest side of a single image."""
_BLOCK = 16
"""Side of the blocks that are drawn with replacement for standard errors."""
_DRAWS = 100
_WIDTH = 2.0
"""Standard deviation of the filter that finds structure, in pixels."""
_FLATTEST = 0.5
"""Share of pixels that are taken to be smooth at first."""
_SIGNIFICANT, _REACH = 3.0, 4
"""Standard deviations of what noise makes of the filter's result, and pixels around structure that are left out."""
_MAD = 0.6744897501960817
"""Median absolute deviation of standard normal numbers."""


def estimate_noise(image: Any, *, offset: float = 0.0, seed: int = 0) -> xr.Dataset:
    """Estimate the noise of an image: ``var(y) = gain (mean - offset) + read_noise^2``.

    In a stack, variance and mean of each pixel over images are compared (photon transfer). In a single image, the noise
    is what a second difference along both axes leaves of it, in its smooth parts: within groups of pixels of similar
    local mean, the variance follows from the median absolute value, which edges hardly change.

    Parameters
    ----------
    image : array
        One image, `y x x`, or a stack of images of one scene, `n x y x x` with n of 2 or more. Values as recorded: not
        clipped, denoised, interpolated or compressed.
    offset : float
        Value without light, the black level.
    seed : int
        Seed of the resampling of blocks for standard errors.

    Returns
    -------
    Dataset
        ``gain`` (units of the image per photoelectron) and ``read_noise`` (units of the image) along ``draw``, of
        blocks drawn with replacement; attributes ``gain``, ``read_noise`` and their ``_interval`` at 90%. ``signal``
        and ``variance`` along ``group`` are the points through which the line was fitted.

    Raises
    ------
    InvalidArgument
        If an image is too small, constant, or its signal does not vary enough to tell gain and read noise apart.
    InvalidPixels
        For NaN and infinite values.

    Notes
    -----
    The variance of rounding, 1/12, is subtracted from that of integers. Both numbers relative to the value range are
    `photon` and `noise` of `bayesr.training.degradation.Degradation`: ``gain / width`` and ``read_noise / width``.

    References
    ----------
    A. Foi et al., "Practical Poissonian-Gaussian noise modeling and fitting for single-image raw-data", 2008,
    doi:10.1109/TIP.2008.2001399. J. R. Janesick, "Photon Transfer", 2007, doi:10.1117/3.725073.

    Examples
    --------
    >>> import numpy as np
    >>> from bayesr import observe
    >>> random = np.random.default_rng(0)
    >>> scene = np.linspace(20, 400, 256) * np.ones((256, 1))
    >>> y = 2 * random.poisson(scene / 2) + random.normal(0, 3, scene.shape)
    >>> found = observe.estimate_noise(y)
    >>> bool(abs(found.attrs["gain"] - 2) < 0.2)
    True
    """
    values = np.asarray(image)
    rounding = 1 / 12 if values.dtype.kind in "ui" else 0.0
    stack = _checked(values)
    if not np.ptp(stack) > 0:
        raise InvalidArgument("The image is constant: noise is estimated from images whose signal varies.")
    signal, squares, keep = _of_stack(stack) if stack.ndim == 3 else _of_image(stack, offset)
    robust = stack.ndim == 2
    blocks = _blocks(signal.shape)
    every = np.arange(blocks.max() + 1)
    edges = _edges(signal[keep])
    means, variances, counts = _groups(signal, squares, keep, edges, robust)
    fitted = _line(means - offset, variances - rounding, counts)
    random, draws = np.random.default_rng(seed), []
    for _ in range(_DRAWS):
        chosen = np.bincount(random.choice(every, len(every)), minlength=len(every))
        weights = np.where(keep, chosen[blocks], 0)
        found = _groups(signal, squares, keep, edges, robust, weights)
        draws.append(_line(found[0] - offset, found[1] - rounding, found[2]))
    gains, reads = np.array(draws).T
    import xarray as xr  # start-up time: networks, which use operators, need no xarray

    attributes: dict[str, Any] = {"gain": fitted[0], "read_noise": fitted[1], "offset": offset, "level": 0.9}
    for name, drawn in (("gain", gains), ("read_noise", reads)):
        # Centred, because resampling repeats pixels, which moves the estimate itself.
        spread = drawn - np.median(drawn) + attributes[name]
        attributes[f"{name}_interval"] = np.maximum(np.quantile(spread, [0.05, 0.95]), 0).tolist()
    return xr.Dataset(
        {
            "gain": ("draw", gains, {"long_name": "units of the image per photoelectron"}),
            "read_noise": ("draw", reads, {"long_name": "standard deviation of the noise without light"}),
            "signal": ("group", means, {"long_name": "mean of a group of pixels"}),
            "variance": ("group", variances, {"long_name": "variance of the noise of a group of pixels"}),
        },
        attrs=attributes | {"seed": seed},
    )


def _checked(values: NDArray[Any]) -> Doubles:
    if values.ndim not in (2, 3) or (values.ndim == 3 and len(values) < 2):
        raise InvalidArgument(f"Give one image (y, x), or a stack (n, y, x) of 2 or more, not shape {values.shape}.")
    if min(values.shape[-2:]) < _SIDE:
        raise InvalidArgument(f"Images must have {_SIDE} pixels along a side to estimate noise, not {values.shape}.")
    stack = values.astype(np.float64)
    if not np.isfinite(stack).all():
        raise InvalidPixels("The image contains NaN or infinite values: crop to where it has data.")
    return stack


def _of_stack(stack: Doubles) -> tuple[Doubles, Doubles, NDArray[np.bool_]]:
    """Return mean and unbiased variance of each pixel."""
    keep: NDArray[np.bool_] = np.all(_unclipped(stack), 0)
    return stack.mean(0), stack.var(0, ddof=1), keep


def _of_image(y: Doubles, offset: float) -> tuple[Doubles, Doubles, NDArray[np.bool_]]:
    """Return local means, squares of the noise, and where the image is smooth."""
    from scipy import ndimage  # slow to import

    second = np.array([1.0, -2.0, 1.0]) / 6**0.5  # of unit norm, so that white noise keeps its variance
    squares = ndimage.convolve1d(ndimage.convolve1d(y, second, 0), second, 1) ** 2
    local = ndimage.gaussian_filter(y, _WIDTH)
    curved = np.abs(ndimage.gaussian_laplace(y, _WIDTH))
    usable = ~ndimage.binary_dilation(~_unclipped(y), iterations=2)
    usable[[0, 1, -2, -1]] = usable[:, [0, 1, -2, -1]] = False
    point = np.zeros((33, 33))
    point[16, 16] = 1
    of_noise = np.sqrt((ndimage.gaussian_laplace(point, _WIDTH) ** 2).sum())
    # Structure is what noise alone would hardly make. How large that is follows from the noise itself.
    keep = usable & (curved <= np.quantile(curved[usable], _FLATTEST)) if usable.any() else usable
    for _ in range(3):
        gain, read = _line_of(local, squares, keep, offset)
        noise = np.sqrt(np.maximum(gain * (local - offset), 0) + read**2)
        structure = ndimage.binary_dilation(curved > _SIGNIFICANT * of_noise * noise, iterations=_REACH)
        smooth = usable & ~structure
        if smooth.sum() < 4 * _LEAST:
            break
        keep = smooth
    return local, squares, keep


def _line_of(signal: Doubles, squares: Doubles, keep: NDArray[np.bool_], offset: float) -> tuple[float, float]:
    means, variances, counts = _groups(signal, squares, keep, _edges(signal[keep]), True)
    return _line(means - offset, variances, counts)


def _unclipped(values: Doubles) -> NDArray[np.bool_]:
    """Return where values are not at an end of the range that many pixels have."""
    inside = np.ones(values.shape, bool)
    for end in (values.min(), values.max()):
        if (values == end).mean() > 1e-3:
            inside &= values != end
    return inside


def _blocks(shape: tuple[int, ...]) -> NDArray[np.intp]:
    """Return the number of each pixel's block."""
    rows, columns = (np.arange(size) // _BLOCK for size in shape)
    numbers: NDArray[np.intp] = rows[:, None] * (columns[-1] + 1) + columns
    return numbers


def _edges(signal: Doubles) -> Doubles:
    """Return the limits of groups with equally many pixels each."""
    if signal.size < 4 * _LEAST:
        raise InvalidArgument(
            f"Only {signal.size} pixels are smooth and not clipped, too few to estimate noise: give a larger image, or "
            "a stack of images of one scene."
        )
    groups = min(_GROUPS, signal.size // _LEAST)
    return np.unique(np.quantile(signal, np.linspace(0, 1, groups + 1)))


def _groups(
    signal: Doubles,
    squares: Doubles,
    keep: NDArray[np.bool_],
    edges: Doubles,
    robust: bool,
    weights: NDArray[np.integer[Any]] | None = None,
) -> tuple[Doubles, Doubles, Doubles]:
    """Return mean signal, variance and number of the pixels of each group, with pixels repeated by `weights`."""
    signal, squares = signal[keep], squares[keep]
    if weights is not None:
        repeats = weights[keep]
        signal, squares = np.repeat(signal, repeats), np.repeat(squares, repeats)
    which = np.clip(np.searchsorted(edges, signal, side="right") - 1, 0, len(edges) - 2)
    found = []
    for group in range(len(edges) - 1):
        inside = which == group
        if not inside.any():
            continue
        own = squares[inside]
        variance = np.median(own) / _MAD**2 if robust else own.mean()
        found.append((signal[inside].mean(), variance, inside.sum()))
    means, variances, counts = np.array(found, np.float64).T
    return means, variances, counts


def _line(signal: Doubles, variance: Doubles, counts: Doubles) -> tuple[float, float]:
    """Fit gain and read noise, both 0 or more, with weights by the precision of each group's variance."""
    from scipy.optimize import nnls  # slow to import

    scale = max(float(np.abs(signal).max()), 1e-300)
    expected = np.maximum(variance, 1e-12 * max(float(variance.max()), 1e-300))
    found = np.zeros(2)
    for _ in range(5):  # the precision depends on the line itself
        weight = np.sqrt(counts) / expected
        matrix = np.stack([signal / scale, np.ones_like(signal)], 1) * weight[:, None]
        found, _ = nnls(matrix, variance * weight)
        expected = np.maximum(signal / scale * found[0] + found[1], 1e-3 * float(variance.max()) + 1e-300)
    return float(found[0] / scale), float(np.sqrt(found[1]))
