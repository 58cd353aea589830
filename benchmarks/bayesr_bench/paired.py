"""Paired comparisons of methods on the same images: difference, effect size and significance.

The sampling unit is the image, not the pixel, since the pixels of an image are not independent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayesr.errors import InvalidArgument

Doubles = NDArray[np.float64]
Alternative = Literal["two-sided", "greater", "less"]


@dataclass(frozen=True)
class Comparison:
    """Comparison of two methods, image by image.

    Attributes
    ----------
    first, second : str
        Names of the methods.
    images : int
        Number of pairs.
    difference : float
        Mean of first - second, in the units of the score.
    low, high : float
        95% confidence interval of this mean, by the bootstrap over images.
    effect : float
        Effect size in [-1, 1], see `rank_biserial`; positive if `first` has the larger scores.
    p : float
        p-value of this comparison alone, see `wilcoxon`.
    p_holm : float
        p-value corrected for all comparisons made together, see `holm`.
    """

    first: str
    second: str
    images: int
    difference: float
    low: float
    high: float
    effect: float
    p: float
    p_holm: float


def compare(
    figures: Mapping[str, ArrayLike],
    pairs: Iterable[tuple[str, str]],
    alternative: Alternative = "two-sided",
    seed: int = 0,
) -> list[Comparison]:
    """Compare methods on the same images, and correct for multiple comparisons.

    Parameters
    ----------
    figures : mapping of str to array_like
        For each method, one score per image, in the same order of images.
    pairs : iterable of (str, str)
        Methods to compare. Holm's correction is applied over all of these pairs.
    alternative : str
        ``"two-sided"``, or ``"greater"`` or ``"less"`` if the first method is tested for larger or smaller scores.
    seed : int
        Seed of the bootstrap.

    Returns
    -------
    list of Comparison
        In the order of `pairs`.

    Raises
    ------
    InvalidArgument
        When a method is unknown, methods have different numbers of images, or scores are NaN.
    """
    pairs = list(pairs)
    unknown = {name for pair in pairs for name in pair} - set(figures)
    if unknown:
        raise InvalidArgument(f"No scores of {', '.join(sorted(unknown))}: there are those of {', '.join(figures)}.")
    values = {name: np.asarray(figures[name], np.float64) for pair in pairs for name in pair}
    sizes = {name: v.shape for name, v in values.items()}
    if len(set(sizes.values())) > 1:
        raise InvalidArgument(f"Methods must have scores of the same images; the shapes differ: {sizes}.")
    differences = [_differences(values[a] - values[b]) for a, b in pairs]
    p = [wilcoxon(d, alternative) for d in differences]
    rows = []
    for (a, b), d, alone, corrected in zip(pairs, differences, p, holm(p), strict=True):
        chosen = np.random.default_rng(seed).integers(0, d.size, (2000, d.size))
        low, high = np.quantile(d[chosen].mean(1), (0.025, 0.975))
        effect = rank_biserial(d)
        rows.append(Comparison(a, b, d.size, float(d.mean()), float(low), float(high), effect, alone, float(corrected)))
    return rows


def wilcoxon(differences: ArrayLike, alternative: Alternative = "two-sided") -> float:
    """Return the p-value of Wilcoxon's signed-rank test.

    Under the null hypothesis, differences are symmetric about 0. Their absolute values are ranked, and the
    statistic is the sum of the ranks of the positive differences. Zeros are ranked and then left out (Pratt), so
    that images on which two methods agree are no evidence for either. The p-value is exact for up to 50
    differences without ties and zeros, and for up to 13 with them if SciPy is new enough; otherwise it is the
    normal approximation with continuity correction.

    Parameters
    ----------
    differences : array_like
        One difference per image, in any unit.
    alternative : str
        ``"two-sided"``, or ``"greater"`` or ``"less"`` for differences above or below 0.

    Returns
    -------
    float
        In [0, 1]; 1 if all differences are 0.

    Raises
    ------
    InvalidArgument
        When there are no differences, or some are NaN.

    References
    ----------
    F. Wilcoxon, "Individual comparisons by ranking methods", 1945, doi:10.2307/3001968. J. W. Pratt,
    "Remarks on zeros and ties in the Wilcoxon signed rank procedures", 1959, doi:10.1080/01621459.1959.10501526.
    """
    from scipy import stats  # slow to import

    d = _differences(differences)
    if not d.any():
        return 1.0
    result = stats.wilcoxon(d, zero_method="pratt", correction=True, alternative=alternative)
    return float(result.pvalue)


def holm(p_values: ArrayLike) -> Doubles:
    """Correct p-values for multiple tests by Holm's step-down procedure.

    ``p'_(i) = max_{j <= i} min(1, (m - j + 1) p_(j))`` for the m p-values in increasing order. If
    hypotheses with p' of at most alpha are rejected, the probability of any false rejection is at most alpha,
    whatever the dependence between the tests.

    Parameters
    ----------
    p_values : array_like
        p-values of all tests of one family, in [0, 1].

    Returns
    -------
    ndarray
        Corrected p-values in the same order, in [0, 1].

    Raises
    ------
    InvalidArgument
        When a value lies outside [0, 1].

    References
    ----------
    S. Holm, "A simple sequentially rejective multiple test procedure", 1979, https://www.jstor.org/stable/4615733.
    """
    p = np.asarray(p_values, np.float64)
    if p.ndim != 1 or not ((p >= 0) & (p <= 1)).all():
        raise InvalidArgument(f"p-values must be a sequence of numbers in [0, 1], not {p_values!r}.")
    order = np.argsort(p, kind="stable")
    steps = np.minimum(1, np.maximum.accumulate(p[order] * np.arange(p.size, 0, -1)))
    corrected = np.empty_like(p)
    corrected[order] = steps
    return corrected


def rank_biserial(differences: ArrayLike) -> float:
    """Return the matched-pairs rank-biserial correlation, the effect size of Wilcoxon's test.

    ``r = (R+ - R-) / (R+ + R-)``, where R+ and R- are the sums of the ranks of positive and negative
    differences, ranked by absolute value as in `wilcoxon`.

    Parameters
    ----------
    differences : array_like
        One difference per image, in any unit.

    Returns
    -------
    float
        In [-1, 1]: 1 if no difference is negative, 0 if both signs have equal weight or all differences are 0.

    Raises
    ------
    InvalidArgument
        When there are no differences, or some are NaN.

    References
    ----------
    D. S. Kerby, "The simple difference formula: an approach to teaching nonparametric correlation",
    2014, doi:10.2466/11.IT.3.1.
    """
    from scipy.stats import rankdata  # slow to import

    d = _differences(differences)
    ranks = rankdata(np.abs(d))
    total = ranks[d != 0].sum()
    return float((np.sign(d) * ranks).sum() / total) if total else 0.0


def _differences(given: ArrayLike) -> Doubles:
    d = np.asarray(given, np.float64)
    if d.ndim != 1 or not d.size:
        raise InvalidArgument(f"Differences must be a sequence of one number per image, not of the shape {d.shape}.")
    if not np.isfinite(d).all():
        raise InvalidArgument(
            f"{np.count_nonzero(~np.isfinite(d))} of {d.size} differences are NaN or infinite: leave out these images "
            "for all methods, and state it."
        )
    return d
