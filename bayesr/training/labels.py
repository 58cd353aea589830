"""Classes of training images, derived from folders or sizes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import PurePath

import numpy as np
from numpy.typing import NDArray

from bayesr.errors import TrainingFailed

_OTHER = "other sizes"


def labels_of(names: Sequence[str], shapes: Sequence[tuple[int, int]]) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Derive a class for each image.

    The first of these rules that gives more than one class is used:

    1. The folder of an image: ``set/nucleus/3.png`` has the class ``set/nucleus``.
    2. The size of an image, in either orientation: many instruments write files of one size. All sizes that occur once
       form one class.
    3. Each image is its own class.

    Parameters
    ----------
    names : sequence of str
        Names with folders, as in `bayesr.training.data.ImageSet`.
    shapes : sequence of (int, int)
        Heights and widths.

    Returns
    -------
    labels : ndarray of int64
        Index of each image's class.
    classes : tuple of str
        Names of the classes, sorted.

    Raises
    ------
    TrainingFailed
        If there are no images, or the numbers of names and shapes differ.

    References
    ----------
    For the third rule: A. Dosovitskiy et al., "Discriminative unsupervised feature learning with exemplar convolutional
    neural networks", 2016, arXiv:1406.6909.
    """
    if not names or len(names) != len(shapes):
        raise TrainingFailed(f"There are {len(names)} names and {len(shapes)} sizes: give equal numbers, at least one.")
    folders = [PurePath(name).parent.as_posix() for name in names]
    sizes = [f"{min(shape)}x{max(shape)}" for shape in shapes]
    repeated = {size for size, count in Counter(sizes).items() if count > 1}
    by_size = [size if size in repeated else _OTHER for size in sizes]
    chosen = next((rule for rule in (folders, by_size) if len(set(rule)) > 1), list(names))
    classes, labels = np.unique(np.array(chosen, dtype=object), return_inverse=True)
    return labels.astype(np.int64), tuple(classes.tolist())
