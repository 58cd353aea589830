"""Statistics of regions whose pixels lie one region after another in one array."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesr.aggregation.regions import Regions
from bayesr.errors import InvalidArgument
from bayesr.product.arguments import shown

Array = NDArray[Any]
Doubles = NDArray[np.float64]
Counts = NDArray[np.int64]

CELL_METHODS: dict[str, str | None] = {
    "mean": "area: mean",
    "sum": "area: sum",
    "min": "area: minimum",
    "max": "area: maximum",
    "median": "area: median",
    "share": None,
}
"""Statistics by name, with their CF cell methods."""


@dataclass(frozen=True, eq=False)
class Segments:
    """Position of regions in an array of their pixels: `counts`, and the index `starts` of the first pixel."""

    counts: Counts
    starts: Counts

    @classmethod
    def from_regions(cls, regions: Regions, known: NDArray[np.bool_]) -> Segments:
        """Return the segments of regions without the pixels that are not `known`."""
        counts = regions.counts
        if not known.all():
            before = np.concatenate([[0], np.cumsum(known)])
            counts = before[regions.starts + counts] - before[regions.starts]
        return cls(counts, np.cumsum(counts) - counts)

    def reduce(self, operation: np.ufunc, values: Array) -> Doubles:
        """Reduce the values of each region by `operation`; NaN if a region is empty."""
        found = np.full(self.counts.size, np.nan)
        full = self.counts > 0
        if full.any():
            found[full] = operation.reduceat(values, self.starts[full], dtype=np.float64)
        return found

    def sums(self, values: Array) -> Doubles:
        """Return the sum of the values of each region."""
        return self.reduce(np.add, values)

    def sorted(self, values: Array) -> Array:
        """Return the values, in increasing order within each region."""
        owner = np.repeat(np.arange(self.counts.size), self.counts)
        return values[np.lexsort((values, owner))]


@dataclass(frozen=True)
class Statistic:
    """A statistic of regions: its name, and its `label` in words.

    Attributes
    ----------
    compute : callable
        Computes a number per region from values, ``pixel`` or with `all_bands` ``band x pixel``, and their segments.
    weight : callable, optional
        Computes the weight of a pixel from the pixel counts, for weighted sums.
    shift : callable
        Computes from the pixel counts how much the statistic grows when all values grow by 1; 0 if unknown.
    """

    name: str
    label: str
    compute: Callable[[Array, Segments], Doubles]
    weight: Callable[[Counts], Array] | None = None
    shift: Callable[[Counts], Array] = np.zeros_like
    all_bands: bool = False


def resolve_statistic(statistic: Any, threshold: float | None, all_bands: bool) -> Statistic:
    """Return the statistic with a name, or that of a user's function.

    Raises
    ------
    InvalidArgument
        When the statistic is unknown, or does not support `threshold` or `all_bands`.
    """
    if callable(statistic):
        if threshold is not None:
            raise InvalidArgument("threshold goes with statistic='share'; a function must contain its own threshold.")
        name = getattr(statistic, "__name__", type(statistic).__name__)
        return Statistic(name, name, _per_region(statistic, name), all_bands=all_bands)
    if not isinstance(statistic, str) or statistic not in (*_NAMED, "share"):
        raise InvalidArgument(
            f"statistic must be one of {', '.join(map(repr, CELL_METHODS))} or a function, not {shown(statistic)}."
        )
    if all_bands:
        raise InvalidArgument(f"all_bands goes with a function; {statistic!r} is computed band by band.")
    if statistic == "share":
        if threshold is None or not np.isfinite(threshold):
            raise InvalidArgument(
                "'share' counts the pixels above a threshold: give threshold= in the units of the image."
            )
        limit = threshold
        return Statistic(
            "share", f"share of pixels above {limit:g}", lambda v, s: s.sums(v > limit) / _at_least_one(s.counts)
        )
    if threshold is not None:
        raise InvalidArgument(f"threshold goes with statistic='share', not with {statistic!r}.")
    return _NAMED[statistic]


def _at_least_one(counts: Counts) -> Counts:
    """Return divisors that are never 0; empty regions are NaN already."""
    return np.maximum(counts, 1)


def _median(values: Array, segments: Segments) -> Doubles:
    ordered = segments.sorted(values)
    found = np.full(segments.counts.size, np.nan)
    full = segments.counts > 0
    start, count = segments.starts[full], segments.counts[full]
    middle = ordered[start + (count - 1) // 2].astype(np.float64), ordered[start + count // 2]
    found[full] = (middle[0] + middle[1]) / 2
    return found


def _per_region(function: Callable[[Array], Any], name: str) -> Callable[[Array, Segments], Doubles]:
    """Apply a user's function to each region that has pixels."""

    def compute(values: Array, segments: Segments) -> Doubles:
        found = np.full(segments.counts.size, np.nan)
        for region in np.flatnonzero(segments.counts):
            start = segments.starts[region]
            part = values[..., start : start + segments.counts[region]].astype(np.float64)
            answer = function(part)
            if np.ndim(answer) or np.asarray(answer).dtype.kind not in "iufb":
                raise InvalidArgument(
                    f"{name} must turn an array of shape {part.shape} into one number, but it returned "
                    f"{type(answer).__name__} {str(answer)[:60]!r}."
                )
            found[region] = answer
        return found

    return compute


_ONE = np.ones_like
_NAMED = {
    "mean": Statistic(
        "mean", "mean", lambda v, s: s.sums(v) / _at_least_one(s.counts), lambda c: 1 / _at_least_one(c), _ONE
    ),
    "sum": Statistic("sum", "sum", lambda v, s: s.sums(v), _ONE, lambda c: c),
    "min": Statistic("min", "smallest value", lambda v, s: s.reduce(np.minimum, v), shift=_ONE),
    "max": Statistic("max", "largest value", lambda v, s: s.reduce(np.maximum, v), shift=_ONE),
    "median": Statistic("median", "median", _median, shift=_ONE),
}
