"""Fits the input check on a calibration's own low-resolution images.

Each rule is a ridge logistic regression that tells the images from degraded versions of themselves. Its
threshold is set by five-fold cross-validation over images: at what 99.5% of the images stay below, or, where
there is a gap, a third of the way from there to what 95% of the degraded versions exceed.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from bayesr.calibration.inputs import RULES, TEXTURE, InputStatistics
from bayesr.images.image_statistics import SMALLEST, luma, names, statistics

Array = NDArray[np.floating]

FEWEST = 20
"""Images below which there are too few to know what is usual."""
_FOLDS = 5
_RIDGE = 1e-3
_SHRINKAGE = 0.3
"""Of the covariance towards its diagonal: with it, images of other domains came out farther than photographs."""
_USUAL, _NEAR, _CAUGHT = 0.995, 0.99, 0.05
"""Shares of the calibration images below a rule's threshold, and below the distance 1; of degraded ones missed."""
_BLUR, _JPEG, _NOISE = (0.5, 2.0), (25, 75), (8.0, 25.0)
"""From mild to strong: pixels, quality, grey levels. What is milder hardly hurts the coverage of intervals."""
_GOOD_JPEG = (92, 98)


def fit_inputs(lows: Iterable[Array], bands: int, seed: int = 0) -> InputStatistics | None:
    """What low-resolution images look like, and how their degraded versions differ.

    Parameters
    ----------
    lows : iterable of ndarray
        Images `band x y x x`, in network units.
    bands : int
        Bands that the model takes at once. Where that is one, every image gives one of its bands.
    seed : int
        Of crops and degradations.

    Returns
    -------
    InputStatistics or None
        None where fewer than `FEWEST` images are large enough to know what is usual.
    """
    taken = (x if bands > 1 else x[i % len(x)][None] for i, x in enumerate(lows))
    large = [np.asarray(x, np.float64) for x in taken if min(x.shape[1:]) >= SMALLEST and np.ptp(x) > 0]
    if len(large) < FEWEST:
        return None
    random = np.random.default_rng(seed)
    known = names(bands)
    usual: list[Array] = []
    compressed: list[Array] = []
    degraded: dict[str, list[Array]] = {kind: [] for kind in RULES}
    for whole in large:
        for x in (whole, _crop(whole, random)):
            usual.append(statistics(x))
            compressed.append(statistics(_jpeg(x, int(random.integers(*_GOOD_JPEG)))))
            for kind, version in _degraded(x, random):
                degraded[kind].append(statistics(version))
    table = np.array(usual)
    fold = np.repeat(np.arange(len(large)) % _FOLDS, 2)
    rules = {}
    for kind, versions in degraded.items():
        if versions:
            use = [known.index(name) for name in RULES[kind]]
            # Intervals survive a JPEG of good quality, as which most photographs come: no reason to warn. And
            # what has no fine coefficients on any grid is blurred, not compressed.
            others = [*compressed, *degraded["blurred"]] if kind == "JPEG blocks" else []
            negative = np.array([*usual, *others])
            rules[kind] = _rule(negative[:, use], np.array(versions)[:, use], fold)
    typical = np.median(table, 0)
    texture = [known.index(name) for name in TEXTURE]
    return InputStatistics(
        bands=bands,
        images=len(large),
        typical=dict(zip(known, typical.tolist(), strict=True)),
        rules=rules,
        whitening=_whitening(table[:, texture] - typical[texture], fold),
        scale=_scale(large),
    )


def _crop(x: Array, random: np.random.Generator) -> Array:
    """A part of random size, so that the rules have seen how statistics scatter in small images."""
    size = int(random.integers(SMALLEST, max(SMALLEST, min(x.shape[1:])) + 1))
    top, left = (int(random.integers(0, edge - size + 1)) for edge in x.shape[1:])
    return x[:, top : top + size, left : left + size]


# -- degrading -------------------------------------------------------------------------------


def _degraded(x: Array, random: np.random.Generator) -> Iterator[tuple[str, Array]]:
    from scipy.ndimage import gaussian_filter

    blur, noise = np.exp(random.uniform(np.log(_BLUR[0]), np.log(_BLUR[1]))), random.uniform(*_NOISE, 2) / 255
    yield "blurred", gaussian_filter(x, (0, blur, blur), mode="mirror")
    yield "JPEG blocks", _jpeg(x, int(random.integers(*_JPEG)))
    yield "noisy", x + random.normal(0, noise[0], x.shape[1:])  # the same in every band, as in a grey picture
    if len(x) > 1:
        yield "colour noise", x + random.normal(0, noise[1], x.shape)


def _jpeg(x: Array, quality: int) -> Array:
    """Through JPEG and back, as a colour picture of three bands or as grey ones."""
    import PIL.Image

    pixels = np.clip(np.round(np.moveaxis(x, 0, -1) * 255), 0, 255).astype(np.uint8)
    pictures = [pixels] if len(x) == 3 else [pixels[..., band] for band in range(len(x))]
    read = []
    for picture in pictures:
        file = io.BytesIO()
        PIL.Image.fromarray(picture).save(file, "JPEG", quality=quality)
        with PIL.Image.open(file) as decoded:
            read.append(np.atleast_3d(np.asarray(decoded, np.float64)))
    return np.moveaxis(np.concatenate(read, -1), -1, 0) / 255


# -- fitting ---------------------------------------------------------------------------------


def _rule(usual: Array, degraded: Array, fold: NDArray[np.integer]) -> Array:
    """Weights and, last, minus the threshold; rows belong to the fold of their place modulo the folds' length."""
    folds = [np.resize(fold, len(rows)) for rows in (usual, degraded)]
    scores: tuple[list[Array], list[Array]] = ([], [])
    for k in range(_FOLDS):
        weights = _logistic(usual[folds[0] != k], degraded[folds[1] != k])
        for rows, of, found in zip((usual, degraded), folds, scores, strict=True):
            found.append(rows[of == k] @ weights[:-1] + weights[-1])
    below, above = np.quantile(np.concatenate(scores[0]), _USUAL), np.quantile(np.concatenate(scores[1]), _CAUGHT)
    weights = _logistic(usual, degraded)
    weights[-1] -= max(below, (2 * below + above) / 3)
    return weights


def _logistic(usual: Array, degraded: Array) -> Array:
    """Weights and bias of a ridge logistic regression, both classes of equal weight."""
    from scipy.optimize import minimize

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
    found: Array = np.append(w[:-1] / spread, w[-1] - w[:-1] @ (centre / spread))
    return found


def _whitening(away: Array, fold: NDArray[np.integer]) -> Array:
    """W, so that 99% of rows left out of its covariance have ``|W row| <= 1``."""

    def whiten(rows: Array) -> Array:
        values, vectors = np.linalg.eigh(rows.T @ rows / len(rows) + _SHRINKAGE * np.diag(rows.var(0)))
        found: Array = vectors.T / np.sqrt(values)[:, None]
        return found

    far = [np.linalg.norm(away[fold == k] @ whiten(away[fold != k]).T, axis=1) for k in range(_FOLDS)]
    fitted: Array = whiten(away) / np.quantile(np.concatenate(far), _NEAR)
    return fitted


def _scale(images: Sequence[Array]) -> tuple[float, float, float]:
    """See `InputStatistics.scale`; with room to either side, since a few dozen images show no extremes."""
    low, high = np.transpose([np.percentile(luma(x), [1, 99]) for x in images])
    return float(low.min() - 0.1), float(high.max() + 0.1), float((high - low).min() / 2)
