"""Matching of objects across members, one member at a time, and their statistics."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects

Array = NDArray[Any]
Box = tuple[int, int, int, int]
"""Top, bottom, left, right; bottom and right are excluded."""


@dataclass
class Footprint:
    """An object: its pixels, and its area and intensity in each member.

    Attributes
    ----------
    box : tuple of int
        Part of the image that `counts` covers.
    counts : ndarray
        `y x x`: number of members that detect the object at the pixel.
    areas : dict of int to int
        Number of pixels, by member.
    intensities : dict of int to ndarray
        Mean of the member over these pixels, `band`, by member.
    """

    box: Box
    counts: NDArray[np.uint16]
    areas: dict[int, int] = field(default_factory=dict)
    intensities: dict[int, NDArray[np.float64]] = field(default_factory=dict)

    @property
    def majority(self) -> NDArray[np.bool_]:
        """Pixels that belong to the object in at least half of the members that detected it."""
        majority: NDArray[np.bool_] = 2 * self.counts >= max(1, len(self.areas))
        return majority

    def add(self, member: int, box: Box, mask: NDArray[np.bool_], intensity: NDArray[np.float64]) -> None:
        """Add the region of a member."""
        top, bottom, left, right = self.box
        whole = (min(top, box[0]), max(bottom, box[1]), min(left, box[2]), max(right, box[3]))
        if whole != self.box:
            counts = np.zeros((whole[1] - whole[0], whole[3] - whole[2]), np.uint16)
            counts[_inside(self.box, whole)] = self.counts
            self.box, self.counts = whole, counts
        self.counts[_inside(box, whole)] += mask
        self.areas[member] = int(mask.sum())
        self.intensities[member] = intensity


class Objects:
    """The objects of all members so far.

    Regions of a member are matched with objects by intersection over union with `Footprint.majority`: pairs with more
    than `overlap` in descending order, each region and each object once. A region without a match becomes a new object.
    Where members disagree whether there are two objects or one, all three are listed.

    Parameters
    ----------
    overlap : float
        In [0, 1). With 0.5 or more, a region matches at most one of several disjoint objects.
    """

    def __init__(self, overlap: float = 0.5) -> None:
        self.overlap = overlap
        self.footprints: list[Footprint] = []
        self.counts: dict[int, int] = {}

    def add(self, member: int, labels: NDArray[np.int32], image: NDArray[np.float32]) -> None:
        """Match the labels of a member, `y x x`, with objects, and measure them in the member, `band x y x x`."""
        regions = list(_regions(labels))
        self.counts[member] = len(regions)
        boxes = np.array([f.box for f in self.footprints], np.int64).reshape(-1, 4)
        majorities = [f.majority for f in self.footprints]
        pairs = []
        for r, (box, mask) in enumerate(regions):
            near = np.flatnonzero(
                (boxes[:, 0] < box[1]) & (box[0] < boxes[:, 1]) & (boxes[:, 2] < box[3]) & (box[2] < boxes[:, 3])
            )
            for k in near.tolist():
                shared = _overlap(box, mask, self.footprints[k].box, majorities[k])
                if shared > self.overlap:
                    pairs.append((-shared, r, k))
        object_of_region: dict[int, int] = {}
        matched: set[int] = set()
        for _, r, k in sorted(pairs):
            if r not in object_of_region and k not in matched:
                object_of_region[r] = k
                matched.add(k)
        for r, (box, mask) in enumerate(regions):
            top, bottom, left, right = box
            intensity = image[:, top:bottom, left:right][:, mask].mean(1, dtype=np.float64)
            k = object_of_region.get(r, len(self.footprints))
            if k == len(self.footprints):
                self.footprints.append(Footprint(box, np.zeros(mask.shape, np.uint16)))
            self.footprints[k].add(member, box, mask, intensity)

    def table(self, n: int, bands: int, shape: tuple[int, int]) -> dict[str, Array]:
        """Return the table of objects of n members.

        Returns
        -------
        dict of str to ndarray
            - ``existence``, `object`: fraction of members that detect the object.
            - ``centre``, `object x 2`: row and column in pixels.
            - ``area``, `member x object`, in pixels; NaN where not detected.
            - ``intensity``, `member x object x band`, likewise.
            - ``count``, `member`: number of objects.
            - ``labels``, of `shape`, int32: objects that at least half of the members detect, by their number from 1.

            Objects are sorted by their centres, row by row.
        """
        centres = np.array([_centre(f) for f in self.footprints]).reshape(-1, 2)
        order = np.lexsort((centres[:, 1], centres[:, 0])).tolist()
        area = np.full((n, len(order)), np.nan)
        intensity = np.full((n, len(order), bands), np.nan)
        for column, k in enumerate(order):
            footprint = self.footprints[k]
            for member, pixels in footprint.areas.items():
                area[member, column] = pixels
                intensity[member, column] = footprint.intensities[member]
        existence = np.isfinite(area).mean(0) if len(order) else np.zeros(0)
        labels = np.zeros(shape, np.int32)
        # Ascending, so that the more frequent of two overlapping objects is on top.
        for column in np.argsort(existence, kind="stable").tolist():
            if existence[column] >= 0.5:
                footprint = self.footprints[order[column]]
                top, bottom, left, right = footprint.box
                labels[top:bottom, left:right][footprint.majority] = column + 1
        count = np.array([self.counts.get(i, 0) for i in range(n)], np.int64)
        return dict(existence=existence, centre=centres[order], area=area, intensity=intensity, count=count) | {
            "labels": labels
        }


def interval(values: NDArray[np.float64], level: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Compute the central interval that contains one more draw with probability `level`.

    With m draws along the first axis, not counting NaN, the bounds are the order statistics of ranks
    ``(m + 1)(1 -+ level)/2``, interpolated linearly and limited to the draws; NaN for m < 2.
    """
    edges = [(1 - level) / 2, (1 + level) / 2]
    if not values[0].size:
        return np.empty(values.shape[1:]), np.empty(values.shape[1:])
    few = np.isfinite(values).sum(0) < 2
    filled = np.where(few, 0.0, values)
    lower, upper = np.nanquantile(filled, edges, axis=0, method="weibull")
    return np.where(few, np.nan, lower), np.where(few, np.nan, upper)


def _regions(labels: NDArray[np.int32]) -> Iterator[tuple[Box, NDArray[np.bool_]]]:
    """Yield the box and the mask in the box of every label except 0."""
    if labels.max(initial=0) > labels.size:  # find_objects lists every number up to the largest
        values, inverse = np.unique(labels, return_inverse=True)
        labels = (inverse + (0 if values[0] == 0 else 1)).reshape(labels.shape).astype(np.int32)
    for number, box in enumerate(find_objects(labels), start=1):
        if box is not None:
            rows, columns = box
            yield (rows.start, rows.stop, columns.start, columns.stop), labels[box] == number


def _inside(part: Box, whole: Box) -> tuple[slice, slice]:
    return slice(part[0] - whole[0], part[1] - whole[0]), slice(part[2] - whole[2], part[3] - whole[2])


def _overlap(a: Box, mask: NDArray[np.bool_], b: Box, other: NDArray[np.bool_]) -> float:
    """Intersection over union of two masks whose boxes overlap."""
    both = (max(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), min(a[3], b[3]))
    shared = int((mask[_inside(both, a)] & other[_inside(both, b)]).sum())
    return shared / (int(mask.sum()) + int(other.sum()) - shared)


def _centre(footprint: Footprint) -> tuple[float, float]:
    weights = footprint.counts.astype(np.float64)
    total = weights.sum()
    rows, columns = (np.arange(size) for size in weights.shape)
    y, x = weights.sum(1) @ rows / total, weights.sum(0) @ columns / total
    return footprint.box[0] + float(y), footprint.box[2] + float(x)
