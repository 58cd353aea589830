"""Probability maps of large images, computed window by window."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from bayesr.segmentation.protocol import SegmentationNetwork

SIDE = 768
"""Largest side, in pixels, of an image that is not divided, if windows do not change its maps."""

Window = tuple[slice, slice]


def windows(shape: tuple[int, ...], network: SegmentationNetwork, side: int) -> Iterator[tuple[Window, Window]]:
    """Divide an image `y x x` into windows, each with the core in which its maps are exact.

    Cores tile the image. A window holds its core and at least `network.reach` pixels around it within the image, and
    begins at a multiple of `network.multiple`. It has at most `side` pixels along an axis, or slightly more if the
    reach leaves hardly any core. Without a reach, it is the whole image.

    Yields
    ------
    window, core : tuple of slice
        Along y and x.
    """
    reach, multiple = network.reach, network.multiple
    if reach is None or max(shape) <= side:
        whole = (slice(0, shape[0]), slice(0, shape[1]))
        yield whole, whole
        return
    halo = -(-reach // multiple) * multiple
    step = max((side - 2 * halo) // multiple, 4) * multiple
    for top in range(0, shape[0], step):
        for left in range(0, shape[1], step):
            core = (slice(top, min(top + step, shape[0])), slice(left, min(left + step, shape[1])))
            window = tuple(
                slice(max(c.start - halo, 0), min(c.stop + halo, n)) for c, n in zip(core, shape, strict=True)
            )
            yield (window[0], window[1]), core


@torch.no_grad()
def probability_maps(network: SegmentationNetwork, x: NDArray[np.float32], side: int = SIDE) -> NDArray[np.float32]:
    """Compute the probability maps `outputs x y x x` of a scaled image `band x y x x`, in windows if it is large."""
    device = next(network.parameters()).device
    maps = np.empty((int(network.architecture["outputs"]), *x.shape[1:]), np.float32)
    for window, core in windows(x.shape[1:], network, side):
        inner = tuple(slice(c.start - w.start, c.stop - w.start) for c, w in zip(core, window, strict=True))
        given = torch.from_numpy(np.ascontiguousarray(x[:, *window]))[None].to(device)
        maps[:, *core] = network.probability(given)[0][:, *inner].float().cpu().numpy()
    return maps
