"""Labels of objects from probability maps."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects, label
from skimage.segmentation import watershed


def label_objects(maps: NDArray[np.float32], threshold: float = 0.5, smallest: int = 0) -> NDArray[np.int32]:
    """Label the objects in probability maps of the foreground, or of foreground and borders.

    Connected components of the foreground, in which corners connect, are split by a watershed from the parts where the
    foreground exceeds the borders by `threshold`. A component that is border everywhere stays one object: small objects
    may have no interior.

    Parameters
    ----------
    maps : ndarray
        `outputs x y x x`, one or two outputs, in [0, 1].
    threshold : float
        Probability from which a pixel belongs to the foreground.
    smallest : int
        Objects with fewer pixels are dropped.

    Returns
    -------
    ndarray
        `y x x`, int32: 0 is background; objects are numbered from 1.
    """
    foreground = maps[0] >= threshold
    components, count = label(foreground, structure=np.ones((3, 3)))
    if len(maps) > 1:
        count = _split(components, count, foreground, maps[0] - maps[1], threshold)
    sizes = np.bincount(components.ravel(), minlength=1)
    large = sizes >= max(smallest, 1)
    large[0] = False
    labels: NDArray[np.int32] = np.where(large, np.cumsum(large), 0).astype(np.int32)[components]
    return labels


def _split(
    components: NDArray[np.int32],
    count: int,
    foreground: NDArray[np.bool_],
    interior: NDArray[np.float32],
    threshold: float,
) -> int:
    """Split components that hold several seeds, in place, and return the largest label."""
    seeds, largest = label(foreground & (interior >= threshold))
    seeded = seeds > 0
    component_of_seed = np.zeros(largest + 1, np.int64)
    component_of_seed[seeds[seeded]] = components[seeded]
    boxes = find_objects(components)
    # One component at a time: a watershed of a whole image takes many times its memory.
    for component in np.flatnonzero(np.bincount(component_of_seed[1:], minlength=count + 1) > 1).tolist():
        box = boxes[component - 1]
        mask = components[box] == component
        flooded = watershed(-interior[box], np.where(mask, seeds[box], 0), mask=mask, connectivity=2)
        numbers, order = np.unique(flooded[mask], return_inverse=True)
        components[box][mask] = count + 1 + order
        count += len(numbers)
    return count
