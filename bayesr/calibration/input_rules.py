"""Fit of the out-of-distribution check, on the low-resolution images of a calibration.

Each rule is a ridge logistic regression that separates the images from degraded versions of themselves. Its threshold,
from five-fold cross-validation over images, is the score that 99.5% of the images stay below or, if 95% of the degraded
versions exceed a higher score, a third of the way to that.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import PIL.Image
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.optimize import minimize

from bayesr.calibration.input_check import RULES, TEXTURE, InputStatistics
from bayesr.images.image_statistics import SMALLEST, luma, names, statistics

Array = NDArray[np.floating]

FEWEST = 20
"""Smallest number of images for a fit."""
_FOLDS = 5
_RIDGE = 1e-3
_SHRINKAGE = 0.3
"""Shrinkage of the covariance towards its diagonal: other domains are then farther away than photographs."""
_USUAL, _NEAR, _CAUGHT = 0.995, 0.99, 0.05
"""Fractions of calibration images below a rule's threshold and below distance 1, and of degraded ones missed."""
_BLUR, _JPEG, _NOISE = (0.5, 2.0), (25, 75), (8.0, 25.0)
"""Ranges of degradation: pixels, quality, grey levels. Milder ones hardly change coverage."""
_GOOD_JPEG = (92, 98)


def fit_inputs(lows: Iterable[Array], bands: int, seed: int = 0) -> InputStatistics | None:
    """Fit statistics of low-resolution images, and rules that detect degraded versions of them.

    Parameters
    ----------
    lows : iterable of ndarray
        Images `band x y x x`, in network units.
    bands : int
        Bands that the model takes at once; if one, one band of every image is used.
    seed : int
        Seed of the crops and degradations.

    Returns
    -------
    InputStatistics or None
        None where fewer than `FEWEST` images are large enough.
    """
    taken = (x if bands > 1 else x[i % len(x)][None] for i, x in enumerate(lows))
    large = [np.asarray(x, np.float64) for x in taken if min(x.shape[1:]) >= SMALLEST and np.ptp(x) > 0]
    if len(large) < FEWEST:
        return None
    random = np.random.default_rng(seed)
    order = names(bands)
    usual: list[Array] = []
    compressed: list[Array] = []
    degraded: dict[str, list[Array]] = {kind: [] for kind in RULES}
    for whole in large:
        for x in (whole, _crop(whole, random)):
            usual.append(statistics(x))
            compressed.append(statistics(compress_jpeg(x, int(random.integers(*_GOOD_JPEG)))))
            for kind, version in _degraded(x, random):
                degraded[kind].append(statistics(version))
    table = np.array(usual)
    fold = np.repeat(np.arange(len(large)) % _FOLDS, 2)
    rules = {}
    for kind, versions in degraded.items():
        if versions:
            use = [order.index(name) for name in RULES[kind]]
            # Good JPEG files hardly change coverage; an image without fine coefficients on any grid is blurred.
            others = [*compressed, *degraded["blurred"]] if kind == "JPEG blocks" else []
            negative = np.array([*usual, *others])
            rules[kind] = _rule(negative[:, use], np.array(versions)[:, use], fold)
    typical = np.median(table, 0)
    texture = [order.index(name) for name in TEXTURE]
    return InputStatistics(
        bands=bands,
        images=len(large),
        typical=dict(zip(order, typical.tolist(), strict=True)),
        rules=rules,
        whitening=_whitening(table[:, texture] - typical[texture], fold),
        scale=_scale(large),
    )


def _crop(x: Array, random: np.random.Generator) -> Array:
    """Crop to a random size, so that rules see the scatter of statistics in small images, too."""
    size = int(random.integers(SMALLEST, max(SMALLEST, min(x.shape[1:])) + 1))
    top, left = (int(random.integers(0, edge - size + 1)) for edge in x.shape[1:])
    return x[:, top : top + size, left : left + size]


# -- degrading --


def _degraded(x: Array, random: np.random.Generator) -> Iterator[tuple[str, Array]]:
    """Yield (kind, degraded version) pairs."""
    blur, noise = np.exp(random.uniform(np.log(_BLUR[0]), np.log(_BLUR[1]))), random.uniform(*_NOISE, 2) / 255
    yield "blurred", gaussian_filter(x, (0, blur, blur), mode="mirror")
    yield "JPEG blocks", compress_jpeg(x, int(random.integers(*_JPEG)))
    yield "noisy", x + random.normal(0, noise[0], x.shape[1:])  # the same in every band, as in a grey picture
    if len(x) > 1:
        yield "colour noise", x + random.normal(0, noise[1], x.shape)


def compress_jpeg(x: Array, quality: int) -> Array:
    """Compress with JPEG and decode, as one colour picture for three bands, else as grey pictures."""
    pixels = np.clip(np.round(np.moveaxis(x, 0, -1) * 255), 0, 255).astype(np.uint8)
    pictures = [pixels] if len(x) == 3 else [pixels[..., band] for band in range(len(x))]
    read = []
    for picture in pictures:
        file = io.BytesIO()
        PIL.Image.fromarray(picture).save(file, "JPEG", quality=quality)
        with PIL.Image.open(file) as decoded:
            read.append(np.atleast_3d(np.asarray(decoded, np.float64)))
    return np.moveaxis(np.concatenate(read, -1), -1, 0) / 255


# -- fitting --


def _rule(usual: Array, degraded: Array, fold: NDArray[np.integer]) -> Array:
    """Return weights and, last, minus the threshold; row i belongs to ``fold[i % len(fold)]``."""
    folds = [np.resize(fold, len(rows)) for rows in (usual, degraded)]
    scores: tuple[list[Array], list[Array]] = ([], [])
    for k in range(_FOLDS):
        weights = _logistic(usual[folds[0] != k], degraded[folds[1] != k])
        for rows, row_folds, held_out in zip((usual, degraded), folds, scores, strict=True):
            held_out.append(rows[row_folds == k] @ weights[:-1] + weights[-1])
    below, above = np.quantile(np.concatenate(scores[0]), _USUAL), np.quantile(np.concatenate(scores[1]), _CAUGHT)
    weights = _logistic(usual, degraded)
    weights[-1] -= max(below, (2 * below + above) / 3)
    return weights


def _logistic(usual: Array, degraded: Array) -> Array:
    """Return weights and bias of a ridge logistic regression with classes of equal weight."""
    rows = np.concatenate([usual, degraded])
    centre, spread = rows.mean(0), rows.std(0) + 1e-6
    z = np.column_stack([(rows - centre) / spread, np.ones(len(rows))])
    sign = np.repeat([-1.0, 1.0], [len(usual), len(degraded)])
    share = np.repeat([0.5 / len(usual), 0.5 / len(degraded)], [len(usual), len(degraded)])
    ridge = np.append(np.full(len(centre), _RIDGE), 0)

    def loss(w: Array) -> tuple[float, Array]:
        margin = sign * (z @ w)
        slope = -share * sign * np.exp(-np.logaddexp(0, margin))
        return float(share @ np.logaddexp(0, -margin) + ridge @ w**2 / 2), slope @ z + ridge * w

    w = minimize(loss, np.zeros(z.shape[1]), jac=True, method="L-BFGS-B").x
    weights: Array = np.append(w[:-1] / spread, w[-1] - w[:-1] @ (centre / spread))
    return weights


def _whitening(difference: Array, fold: NDArray[np.integer]) -> Array:
    """Return W such that 99% of the rows held out of its covariance have ``|W row| <= 1``."""

    def whiten(rows: Array) -> Array:
        values, vectors = np.linalg.eigh(rows.T @ rows / len(rows) + _SHRINKAGE * np.diag(rows.var(0)))
        matrix: Array = vectors.T / np.sqrt(values)[:, None]
        return matrix

    distances = [np.linalg.norm(difference[fold == k] @ whiten(difference[fold != k]).T, axis=1) for k in range(_FOLDS)]
    fitted: Array = whiten(difference) / np.quantile(np.concatenate(distances), _NEAR)
    return fitted


def _scale(images: Sequence[Array]) -> tuple[float, float, float]:
    """Return `InputStatistics.scale`, with margins, since a few dozen images lack extremes."""
    low, high = np.transpose([np.percentile(luma(x), [1, 99]) for x in images])
    return float(low.min() - 0.1), float(high.max() + 0.1), float((high - low).min() / 2)
