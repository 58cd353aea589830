"""The same object in every member: instance labels matched as members pass by, and what that says of each object."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects

Array = NDArray[Any]
Box = tuple[int, int, int, int]
"""Top, bottom, left, right, ends excluded."""


@dataclass
class Footprint:
    """An object: where members saw it, and what each found there.

    Attributes
    ----------
    box : tuple of int
        Of the part of the image that `counts` covers.
    counts : ndarray
        `y x x`: the members that saw the object at each pixel.
    areas : dict of int to int
        Pixels, by member.
    intensities : dict of int to ndarray
        Mean over those pixels, by member; `band`.
    """

    box: Box
    counts: NDArray[np.uint16]
    areas: dict[int, int] = field(default_factory=dict)
    intensities: dict[int, NDArray[np.float64]] = field(default_factory=dict)

    @property
    def majority(self) -> NDArray[np.bool_]:
        """Pixels that at least half of the members which saw the object put into it."""
        found: NDArray[np.bool_] = 2 * self.counts >= max(1, len(self.areas))
        return found

    def add(self, member: int, box: Box, mask: NDArray[np.bool_], intensity: NDArray[np.float64]) -> None:
        """What a member saw of it."""
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
    """Objects of all members so far.

    A region of a member is the object whose majority footprint (the pixels that half of its members share) it
    overlaps most, if their intersection over union is more than `overlap`; pairs are taken in the order of their
    overlap, each region and each object once. A region that finds no object is a new one. So where members disagree
    whether there are two objects or one, all three are listed, each with the share of members that see it.

    Parameters
    ----------
    overlap : float
        In [0, 1). From 0.5 on, no region fits two disjoint objects.
    """

    def __init__(self, overlap: float = 0.5) -> None:
        self.overlap = overlap
        self.found: list[Footprint] = []
        self.counts: dict[int, int] = {}

    def add(self, member: int, labels: NDArray[np.int32], image: NDArray[np.float32]) -> None:
        """Match a member's labels, `y x x`, and measure them in the member itself, `band x y x x`."""
        regions = list(_regions(labels))
        self.counts[member] = len(regions)
        boxes = np.array([f.box for f in self.found], np.int64).reshape(-1, 4)
        footprints = [f.majority for f in self.found]
        pairs = []
        for r, (box, mask) in enumerate(regions):
            near = np.flatnonzero(
                (boxes[:, 0] < box[1]) & (box[0] < boxes[:, 1]) & (boxes[:, 2] < box[3]) & (box[2] < boxes[:, 3])
            )
            for k in near.tolist():
                shared = _overlap(box, mask, self.found[k].box, footprints[k])
                if shared > self.overlap:
                    pairs.append((-shared, r, k))
        of_region: dict[int, int] = {}
        taken: set[int] = set()
        for _, r, k in sorted(pairs):
            if r not in of_region and k not in taken:
                of_region[r] = k
                taken.add(k)
        for r, (box, mask) in enumerate(regions):
            top, bottom, left, right = box
            intensity = image[:, top:bottom, left:right][:, mask].mean(1, dtype=np.float64)
            k = of_region.get(r, len(self.found))
            if k == len(self.found):
                self.found.append(Footprint(box, np.zeros(mask.shape, np.uint16)))
            self.found[k].add(member, box, mask, intensity)

    def table(self, n: int, bands: int, shape: tuple[int, int]) -> dict[str, Array]:
        """What n members say.

        Returns
        -------
        dict of str to ndarray
            ``existence`` (object), ``centre`` (object x 2, rows and columns in pixels), ``area`` (member x object),
            ``intensity`` (member x object x band), both NaN where a member lacks the object, ``count`` (member), and
            ``labels`` (`shape`, int32): the number, from 1, of every object that at least half of the members see.
            Objects are in the order of their centres, row by row.
        """
        centres = np.array([_centre(f) for f in self.found]).reshape(-1, 2)
        order = np.lexsort((centres[:, 1], centres[:, 0])).tolist()
        area = np.full((n, len(order)), np.nan)
        intensity = np.full((n, len(order), bands), np.nan)
        for column, k in enumerate(order):
            footprint = self.found[k]
            for member, pixels in footprint.areas.items():
                area[member, column] = pixels
                intensity[member, column] = footprint.intensities[member]
        existence = np.isfinite(area).mean(0) if len(order) else np.zeros(0)
        labels = np.zeros(shape, np.int32)
        for column in np.argsort(existence, kind="stable").tolist():  # where objects overlap, the surer one is on top
            if existence[column] >= 0.5:
                footprint = self.found[order[column]]
                top, bottom, left, right = footprint.box
                labels[top:bottom, left:right][footprint.majority] = column + 1
        count = np.array([self.counts.get(i, 0) for i in range(n)], np.int64)
        return dict(existence=existence, centre=centres[order], area=area, intensity=intensity, count=count) | {
            "labels": labels
        }


def interval(values: NDArray[np.float64], level: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The central interval that one more draw falls into with probability `level`, from draws along the first axis.

    With m draws, not counting NaN, its ends are the order statistics of ranks (m + 1)(1 -+ level)/2, interpolated
    linearly, and no further out than the least and the largest draw; NaN for m < 2.
    """
    edges = [(1 - level) / 2, (1 + level) / 2]
    if not values[0].size:
        return np.empty(values.shape[1:]), np.empty(values.shape[1:])
    few = np.isfinite(values).sum(0) < 2
    filled = np.where(few, 0.0, values)
    lower, upper = np.nanquantile(filled, edges, axis=0, method="weibull")
    return np.where(few, np.nan, lower), np.where(few, np.nan, upper)


def _regions(labels: NDArray[np.int32]) -> Iterator[tuple[Box, NDArray[np.bool_]]]:
    """(box, mask in it) of every label but 0."""
    if labels.max(initial=0) > labels.size:  # find_objects lists every number up to the largest
        values, inverse = np.unique(labels, return_inverse=True)
        labels = (inverse + (0 if values[0] == 0 else 1)).reshape(labels.shape).astype(np.int32)
    for number, found in enumerate(find_objects(labels), start=1):
        if found is not None:
            rows, columns = found
            yield (rows.start, rows.stop, columns.start, columns.stop), labels[found] == number


def _inside(part: Box, whole: Box) -> tuple[slice, slice]:
    return slice(part[0] - whole[0], part[1] - whole[0]), slice(part[2] - whole[2], part[3] - whole[2])


def _overlap(a: Box, mask: NDArray[np.bool_], b: Box, other: NDArray[np.bool_]) -> float:
    """Intersection over union of masks in boxes that overlap."""
    both = (max(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), min(a[3], b[3]))
    shared = int((mask[_inside(both, a)] & other[_inside(both, b)]).sum())
    return shared / (int(mask.sum()) + int(other.sum()) - shared)


def _centre(footprint: Footprint) -> tuple[float, float]:
    weights = footprint.counts.astype(np.float64)
    total = weights.sum()
    rows, columns = (np.arange(size) for size in weights.shape)
    y, x = weights.sum(1) @ rows / total, weights.sum(0) @ columns / total
    return footprint.box[0] + float(y), footprint.box[2] + float(x)
