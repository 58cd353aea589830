"""Statistics of ratings: mean opinion scores with their intervals, and differences between systems."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from bayesr.errors import InvalidArgument
from bayesr_bench.paired import Comparison, compare
from bayesr_bench.rating.ratings import SCORES, Rating

RESAMPLES = 4000


@dataclass(frozen=True)
class Opinion:
    """The mean opinion score of one system.

    Attributes
    ----------
    system : str
    mos : float
        Mean of all scores, in [1, 5].
    low, high : float
        Its 95% interval: see `interval`.
    ratings, raters, images : int
        Their numbers.
    counts : tuple of int
        Number of ratings with each score from 1 to 5.
    """

    system: str
    mos: float
    low: float
    high: float
    ratings: int
    raters: int
    images: int
    counts: tuple[int, ...]


def opinions(ratings: Sequence[Rating], seed: int = 0) -> list[Opinion]:
    """Return the mean opinion score of every system, the best first.

    Parameters
    ----------
    ratings : sequence of Rating
        At most one of every rater, system and image.
    seed : int
        Seed of the bootstrap.

    Raises
    ------
    InvalidArgument
        If there are no ratings.

    References
    ----------
    C. Ledig et al., "Photo-realistic single image super-resolution using a generative adversarial network", 2017,
    arXiv:1609.04802, section 3.4.
    """
    if not ratings:
        raise InvalidArgument("There are no ratings yet: rate with `bayesr rate SYSTEM=FOLDER ... --out ratings.csv`.")
    found = []
    for system in dict.fromkeys(rating.system for rating in ratings):
        scores = _scores([rating for rating in ratings if rating.system == system])
        given = scores[np.isfinite(scores)]
        low, high = interval(scores, seed)
        counts = tuple(int((given == score).sum()) for score in SCORES)
        raters, images = scores.shape
        found.append(Opinion(system, float(given.mean()), low, high, given.size, raters, images, counts))
    return sorted(found, key=lambda opinion: -opinion.mos)


def interval(scores: NDArray[np.float64], seed: int = 0) -> tuple[float, float]:
    """Return the 95% interval of a mean over raters and images, for other raters and other images.

    This is the pigeonhole bootstrap. Raters and images are drawn with replacement, independently of each other. The
    weight of a score is the number of draws of its rater times that of its image. The interval is between the 2.5% and
    the 97.5% quantile of 4000 such means. Its variance contains the variance between R raters (1 - 1/R) times, that
    between I images (1 - 1/I) times, and that of single scores about three times. It is therefore rather too wide,
    except for very few raters. A single rater, or a single image, is not resampled: the interval holds for it alone.

    Parameters
    ----------
    scores : ndarray of shape (raters, images)
        NaN if a rater has not rated an image.
    seed : int

    Returns
    -------
    tuple of float
        NaN if there is only one rater and one image.

    References
    ----------
    A. B. Owen, "The pigeonhole bootstrap", Annals of Applied Statistics, 2007, doi:10.1214/07-AOAS122.
    """
    raters, images = scores.shape
    if raters == images == 1:
        return float("nan"), float("nan")
    generator = np.random.default_rng(seed)
    drawn = [generator.multinomial(size, np.full(size, 1 / size), RESAMPLES).astype(float) for size in (raters, images)]
    known = np.isfinite(scores)
    weights = ((drawn[0] @ known) * drawn[1]).sum(1)
    sums = ((drawn[0] @ np.where(known, scores, 0)) * drawn[1]).sum(1)
    known_draws = weights > 0  # if few pairs are rated, a draw may contain none of them
    low, high = np.quantile(sums[known_draws] / weights[known_draws], (0.025, 0.975))
    return float(low), float(high)


def differences(ratings: Sequence[Rating], seed: int = 0) -> list[Comparison]:
    """Compare all pairs of systems, the better one first, by Wilcoxon's test over images with Holm's correction.

    A rater's ratings of an image are used only if the rater has rated this image of all systems. So a generous rater
    or an easy image affects all systems alike. The score of an image is the mean over these raters.

    Parameters
    ----------
    ratings : sequence of Rating
    seed : int
        Seed of the bootstrap of the differences' intervals.

    Returns
    -------
    list of Comparison
        Empty for one system, or if no rater has rated an image of all systems.
    """
    ranked = [opinion.system for opinion in opinions(ratings, seed)]
    blocks: dict[tuple[str, str], dict[str, int]] = {}
    for rating in ratings:
        blocks.setdefault((rating.rater, rating.image), {})[rating.system] = rating.score
    whole = {block: scores for block, scores in blocks.items() if len(scores) == len(ranked)}
    images = list(dict.fromkeys(image for _, image in whole))
    if len(ranked) < 2 or not images:
        return []
    figures = {
        system: [np.mean([scores[system] for (_, of), scores in whole.items() if of == image]) for image in images]
        for system in ranked
    }
    return compare(figures, combinations(ranked, 2), seed=seed)


def _scores(ratings: Sequence[Rating]) -> NDArray[np.float64]:
    raters = {rater: i for i, rater in enumerate(dict.fromkeys(rating.rater for rating in ratings))}
    images = {image: i for i, image in enumerate(dict.fromkeys(rating.image for rating in ratings))}
    scores = np.full((len(raters), len(images)), np.nan)
    for rating in ratings:
        scores[raters[rating.rater], images[rating.image]] = rating.score
    return scores
