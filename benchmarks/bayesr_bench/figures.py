"""Which values of a figure are better, by its name. Tables, pages and comparisons all use this module."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

Merit = Callable[[float], float]

LOWER = (
    "CRPS", "energy", "variogram score", "squared error", "error", "Brier", "ECE", "distance", "total variation", "MAE",
    "off nominal", "decades off", "MiB", "seconds", "minutes", r"\bms\b", "with start", "writing / ", "reading / ",
    r"\bmembers / ", "one output / ", "before the first tile", "LPIPS",
)  # fmt: skip
HIGHER = (
    "PSNR", "SSIM", "Dice", "dice", r"\bF1\b", "jaccard", "precision", "Mpixel/s", "MB/s", "efficiency", "/ in memory",
    r"^ratio, ", "^diversity",
)  # fmt: skip
"""Patterns of figures whose lower, or higher, values are better. `HIGHER` is tried first, since MB/s is no size."""

NEAR = {r"^spread ?/ ?skill": 1.0, r"^AUC\b": 0.5, "^lattice": 1.0}
"""Figures with a best value."""
COVERAGE = ("covered", "coverage")
"""Beginnings of figures whose best value is the nominal level."""

NEITHER = (
    r"^p$", r"^p, ",  # p-values
    r"^standard error", " ±$",
    r"^climatology", r"^bicubic", r"^A\+ y", r"^ms, SRResNet",  # of references, whatever the model
    r"^member PSNR",  # for the true posterior it is 3 dB below that of the mean
    r"^processor seconds", r"^naive",
)  # fmt: skip
"""Figures without a better direction, although their names match a pattern above."""


def target(figure: str, nominal: float | None = None) -> float | None:
    """Return the best value of a figure.

    Parameters
    ----------
    figure : str
        The name of a column, or of a row where rows are figures. A difference, ``X minus Y's``, has the direction of
        ``X`` if that has one.
    nominal : float, optional
        Level of the table's intervals, the best value of coverage.

    Returns
    -------
    float or None
        Infinity if higher values are better, minus infinity if lower values are, None if no value is better.
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
    """Return a function that increases with better values of a figure, or None; the arguments are those of `target`."""
    best = target(figure, nominal)
    if best is None:
        return None
    if math.isinf(best):
        return lambda value: math.copysign(1, best) * value
    return lambda value: -abs(value - best)
