"""The class of each training image, where nobody has said: from its folder, from its size, or its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import PurePath

import numpy as np
from numpy.typing import NDArray

from bayesr.errors import TrainingFailed

_OTHER = "other sizes"


def labels_of(names: Sequence[str], shapes: Sequence[tuple[int, int]]) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """The class of each image as an index, and what the classes are called.

    The first of these that tells images apart:

    1. The folder that an image lies in: ``set/nucleus/3.png`` is of class ``set/nucleus``.
    2. Its size, either way up: instruments and experiments write files of one size. Sizes that occur once
       make a class together.
    3. Nothing: each image is a class of its own, to be told from the others by its patches.

    Parameters
    ----------
    names : sequence of str
        Of the images, folders included, as in `bayesr.training.data.ImageSet`.
    shapes : sequence of (int, int)
        Their heights and widths.

    Returns
    -------
    (array of shape `images`, int64, >= 0), (tuple of str, sorted)

    Raises
    ------
    TrainingFailed
        When there is no image, or there are more names than shapes or the other way around.

    References
    ----------
    Of the third: A. Dosovitskiy et al., "Discriminative unsupervised feature learning with exemplar convolutional
    neural networks", 2016, arXiv:1406.6909.
    """
    if not names or len(names) != len(shapes):
        raise TrainingFailed(f"Classes of {len(names)} names with {len(shapes)} sizes: give as many, and one at least.")
    folders = [PurePath(name).parent.as_posix() for name in names]
    sizes = [f"{min(shape)}x{max(shape)}" for shape in shapes]
    often = {size for size, count in Counter(sizes).items() if count > 1}
    known = [size if size in often else _OTHER for size in sizes]
    found = next((kind for kind in (folders, known) if len(set(kind)) > 1), list(names))
    classes, labels = np.unique(np.array(found, dtype=object), return_inverse=True)
    return labels.astype(np.int64), tuple(classes.tolist())
