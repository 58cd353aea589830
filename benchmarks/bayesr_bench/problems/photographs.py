"""Patches of photographs that have the same low-resolution image within a tolerance."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import xarray as xr
from scipy.spatial import cKDTree

from bayesr.errors import InvalidArgument
from bayesr.observe import ForwardOperator
from bayesr.training.data import ImageSet
from bayesr_bench.problems.dataset import known_answers


def equal_observations(
    images: ImageSet, operator: ForwardOperator, *, patch: int = 3, tolerance: float = 2.0, scenes: int = 100,
    candidates: int = 16, seed: int = 0,
) -> xr.Dataset:  # fmt: skip
    """Group patches of photographs whose low-resolution images are equal within a tolerance.

    A scene is a random low-resolution patch. Its candidates are the high-resolution patches of the most similar
    low-resolution patches in other images, one per image, with a root mean squared difference of at most
    `tolerance`. They count as equally probable. This is an empirical posterior, which is the better the smaller the
    tolerance is.

    Parameters
    ----------
    images : ImageSet
        Images to take patches from.
    operator : ForwardOperator
        The forward operator A, applied to whole images.
    patch : int
        Low-resolution pixels along a side of a patch.
    tolerance : float
        Largest root mean squared difference, in grey levels.
    scenes, candidates : int
        Largest number of scenes, and of candidates of a scene. Scenes with fewer than two candidates are left out.
        Missing candidates are NaN and have probability 0.
    seed : int
        Seed of the choice of scenes.

    Returns
    -------
    Dataset
        See `known_answers`. ``observed`` is the low-resolution image of every candidate.

    Raises
    ------
    InvalidArgument
        If no two patches are equal within the tolerance.
    """
    s = operator.scale
    lows, highs, owners = [], [], []
    for owner, image in enumerate(images.images):
        height, width = (edge // s for edge in image.shape[:2])
        if min(height, width) < patch:
            continue
        high = torch.from_numpy(image[: height * s, : width * s].astype(np.float32)).permute(2, 0, 1)
        low = operator.observe(high)
        cut = low.unfold(1, patch, patch).unfold(2, patch, patch).permute(1, 2, 0, 3, 4)
        cut_high = high.unfold(1, patch * s, patch * s).unfold(2, patch * s, patch * s).permute(1, 2, 0, 3, 4)
        lows.append(cut.flatten(0, 1).flatten(1).numpy())
        highs.append(cut_high.flatten(0, 1).numpy().astype(np.uint8))
        owners.append(np.full(len(lows[-1]), owner))
    points, patches, owner_of = np.concatenate(lows), np.concatenate(highs), np.concatenate(owners)
    tree = cKDTree(points)
    reach = tolerance * points.shape[1] ** 0.5
    rows: list[list[int]] = []
    for first in np.random.default_rng(seed).permutation(len(points)):
        near = tree.query(points[first], k=min(len(points), 8 * candidates), distance_upper_bound=reach)[1]
        group: dict[int, int] = {}
        for index in near[near < len(points)].tolist():
            group.setdefault(int(owner_of[index]), index)  # nearest first
        if len(group) > 1:
            rows.append(list(group.values())[:candidates])
        if len(rows) == scenes:
            break
    if not rows:
        raise InvalidArgument(
            f"No two low-resolution patches agree within {tolerance:g} grey levels: give more images, a larger "
            "tolerance, or a smaller patch."
        )
    shape = (len(rows), max(map(len, rows)))
    grouped = np.full((*shape, *patches.shape[1:]), np.nan, np.float32)
    observed = np.full((*shape, images.bands, patch, patch), np.nan, np.float32)
    probability = np.zeros(shape)
    for i, row in enumerate(rows):
        grouped[i, : len(row)], probability[i, : len(row)] = patches[row], 1 / len(row)
        observed[i, : len(row)] = points[row].reshape(len(row), *observed.shape[2:])
    card: dict[str, Any] = {
        "title": "Real patches grouped by equal observation",
        "description": "Patches of photographs whose observations differ by at most the tolerance (root mean square, "
        "grey levels); the first candidate of a scene is the one whose observation is `low`.",
        "licence": "that of the images",
        "sources": sorted({name.split("/")[0] for name in images.names}),
        "tolerance": tolerance,
        "images": len(images.names),
        "seed": seed,
    }
    ds = known_answers(observed[:, 0], grouped, probability, operator, card)
    return ds.assign(observed=(("scene", "candidate", "band", "y_low", "x_low"), observed))
