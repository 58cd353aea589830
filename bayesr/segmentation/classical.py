"""Segmentation without training: Otsu's threshold and the watershed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, gaussian_filter
from skimage.feature import peak_local_max
from skimage.filters import threshold_otsu
from skimage.measure import label
from skimage.segmentation import watershed as flood


def otsu(image: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return the pixels brighter than Otsu's threshold on the mean over bands; none if all values are equal.

    References
    ----------
    N. Otsu, "A threshold selection method from gray-level histograms", 1979, doi:10.1109/TSMC.1979.4310076.
    """
    grey = image.mean(0)
    if grey.min() == grey.max():
        return np.zeros(grey.shape, np.bool_)
    foreground: NDArray[np.bool_] = grey > threshold_otsu(grey)
    return foreground


def watershed(image: NDArray[np.float32]) -> NDArray[np.int32]:
    """Return labels of Otsu's foreground, split by a watershed of the smoothed distance to the background.

    Seeds are the maxima of the distance, after a Gaussian of standard deviation 1 pixel, at least 5 pixels apart.

    References
    ----------
    F. Meyer, "Topographic distance and watershed lines", 1994, doi:10.1016/0165-1684(94)90060-4.
    """
    mask = otsu(image)
    distance = gaussian_filter(distance_transform_edt(mask), 1.0)
    seeds = np.zeros(mask.shape, np.int32)
    components = label(mask, connectivity=1)
    peaks = peak_local_max(distance, min_distance=5, labels=components, exclude_border=False)
    seeds[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    labels: NDArray[np.int32] = flood(-distance, seeds, mask=mask)
    return labels
