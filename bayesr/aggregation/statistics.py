"""Statistics of segments: the values of many regions, one after another in one array."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesr.aggregation.regions import Regions
from bayesr.errors import InvalidArgument

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
"""The statistics that go by name, as CF conventions call them."""


@dataclass(frozen=True, eq=False)
class Segments:
    """Where regions lie in an array of their pixels: `counts` of each, and where those begin."""

    counts: Counts
    starts: Counts

    @classmethod
    def from_regions(cls, regions: Regions, known: NDArray[np.bool_]) -> Segments:
        """Those of `regions` after the pixels that are not `known` were taken out."""
        counts = regions.counts
        if not known.all():
            before = np.concatenate([[0], np.cumsum(known)])
            counts = before[regions.starts + counts] - before[regions.starts]
        return cls(counts, np.cumsum(counts) - counts)

    def reduce(self, operation: np.ufunc, values: Array) -> Doubles:
        """`operation` over the values of every region, NaN where it has none."""
        found = np.full(self.counts.size, np.nan)
        full = self.counts > 0
        if full.any():
            found[full] = operation.reduceat(values, self.starts[full], dtype=np.float64)
        return found

    def sums(self, values: Array) -> Doubles:
        return self.reduce(np.add, values)

    def sorted(self, values: Array) -> Array:
        """The values of every region in increasing order."""
        owner = np.repeat(np.arange(self.counts.size), self.counts)
        return values[np.lexsort((values, owner))]


@dataclass(frozen=True)
class Statistic:
    """What is computed of every region.

    Attributes
    ----------
    name, label : str
        For attributes, and in words.
    compute : callable
        From values, `pixel` or with all bands `band x pixel`, and their segments, to a number per region.
    weight : callable, optional
        From pixel counts to the weight of a pixel, of statistics that are weighted sums.
    shift : callable
        From pixel counts to how much the statistic grows when all values grow by 1; 0 where nobody knows.
    all_bands : bool
        Whether `compute` takes all bands.
    """

    name: str
    label: str
    compute: Callable[[Array, Segments], Doubles]
    weight: Callable[[Counts], Array] | None = None
    shift: Callable[[Counts], Array] = np.zeros_like
    all_bands: bool = False


def resolve_statistic(statistic: Any, threshold: float | None, all_bands: bool) -> Statistic:
    """The statistic of this name, or a user's function.

    Raises
    ------
    InvalidArgument
        When it is unknown, or `threshold` or `all_bands` do not go with it.
    """
    if callable(statistic):
        if threshold is not None:
            raise InvalidArgument("threshold goes with statistic='share'; a function has its own.")
        name = getattr(statistic, "__name__", type(statistic).__name__)
        return Statistic(name, name, _per_region(statistic, name), all_bands=all_bands)
    if all_bands:
        raise InvalidArgument(f"all_bands goes with a function; {statistic!r} is of one band.")
    if statistic == "share":
        if threshold is None or not np.isfinite(threshold):
            raise InvalidArgument("'share' is of pixels above a threshold: give threshold=, in the image's units.")
        limit = threshold
        return Statistic(
            "share", f"share of pixels above {limit:g}", lambda v, s: s.sums(v > limit) / _at_least_one(s.counts)
        )
    if threshold is not None:
        raise InvalidArgument(f"threshold goes with statistic='share', not with {statistic!r}.")
    if statistic not in _NAMED:
        raise InvalidArgument(
            f"statistic must be one of {', '.join(map(repr, CELL_METHODS))} or a function, not {statistic!r}."
        )
    return _NAMED[statistic]


def _at_least_one(counts: Counts) -> Counts:
    """Numbers to divide by: what has no pixels is NaN already."""
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
    """A user's function of every region that has pixels."""

    def compute(values: Array, segments: Segments) -> Doubles:
        found = np.full(segments.counts.size, np.nan)
        for region in np.flatnonzero(segments.counts):
            start = segments.starts[region]
            part = values[..., start : start + segments.counts[region]].astype(np.float64)
            answer = function(part)
            if np.ndim(answer) or np.asarray(answer).dtype.kind not in "iufb":
                raise InvalidArgument(
                    f"{name} must turn an array of shape {part.shape} into one number, and returned "
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
    "min": Statistic("min", "least value", lambda v, s: s.reduce(np.minimum, v), shift=_ONE),
    "max": Statistic("max", "largest value", lambda v, s: s.reduce(np.maximum, v), shift=_ONE),
    "median": Statistic("median", "median", _median, shift=_ONE),
}
