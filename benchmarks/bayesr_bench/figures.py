"""Which direction of a figure is better: the one place that says it, by the figure's name."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

Merit = Callable[[float], float]

LOWER = (
    "CRPS", "energy", "variogram score", "squared error", "error", "Brier", "ECE", "distance", "total variation", "MAE",
    "off nominal", "decades off", "MiB", "seconds", "minutes", r"\bms\b", "with start", "writing / ", "reading / ",
    "32 members / ", "before the first tile",
)  # fmt: skip
HIGHER = (
    "PSNR", "SSIM", "Dice", "dice", r"\bF1\b", "jaccard", "precision", "Mpixel/s", "MB/s", "efficiency", "/ in memory",
    r"^ratio, ",
)  # fmt: skip
"""Patterns of figures of which less, or more, is better. `HIGHER` comes first: MB/s is no size."""

NEAR = {r"^spread ?/ ?skill": 1.0, r"^AUC\b": 0.5}
"""Figures that are best at a value."""
COVERAGE = ("covered", "coverage")
"""How figures begin that are best at the nominal level."""

NEITHER = (
    r"^p$", r"^p, ",  # of a test
    r"^standard error", " ±$",
    r"^climatology", r"^bicubic", r"^A\+ y", r"^ms, SRResNet",  # of what is measured against, whatever the model
    r"^member PSNR",  # of a right posterior it is 3 dB below that of the mean
    r"^processor seconds", r"^naive",
)  # fmt: skip
"""Figures that are no merit, though their names have parts of those above."""


def target(figure: str, nominal: float | None = None) -> float | None:
    """The best value of a figure: infinite where more is better, minus infinite where less is; None of others.

    Parameters
    ----------
    figure : str
        The name of a column, or of a row where rows are figures. A difference, ``X minus Y's``, has the direction of
        ``X`` if that has one.
    nominal : float, optional
        The level of the table's intervals, which coverage should have.
    """
    of, minus, _ = figure.partition(" minus ")
    if minus:
        found = target(of)
        return found if found is not None and math.isinf(found) else None
    if any(re.search(pattern, figure) for pattern in NEITHER):
        return None
    if figure.startswith(COVERAGE):
        return nominal
    for pattern, value in NEAR.items():
        if re.search(pattern, figure):
            return value
    for patterns, value in ((HIGHER, math.inf), (LOWER, -math.inf)):
        if any(re.search(pattern, figure) for pattern in patterns):
            return value
    return None


def merit(figure: str, nominal: float | None = None) -> Merit | None:
    """A function that is larger for better values of a figure; None where no value is better. Arguments of `target`."""
    best = target(figure, nominal)
    if best is None:
        return None
    if math.isinf(best):
        return lambda value: math.copysign(1, best) * value
    return lambda value: -abs(value - best)
