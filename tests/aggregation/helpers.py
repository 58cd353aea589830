"""Products, regions and calls that tests of aggregation share."""

import numpy as np
import xarray as xr

from bayesr.aggregation.workflow import aggregate


def of_members(x, **attrs):
    """Return a Dataset that holds only members `realization x band x y x x`, and the coordinates of their pixels."""
    coords = {dim: np.arange(size) + 0.5 for dim, size in zip(("y", "x"), x.shape[-2:], strict=True)}
    return xr.Dataset({"samples": (("realization", "band", "y", "x"), x, attrs)}, coords)


def made(n=24, shape=(2, 9, 12), seed=0, **attrs):
    """Return a Dataset that holds only members."""
    x = np.random.default_rng(seed).normal(50, 10, (n, *shape)).astype(np.float32)
    return of_members(x, **attrs)


def plain(ds, regions, statistic="mean", **options):
    return aggregate(ds, regions, statistic, calibrated=False, **options)


SHAPE = (9, 12)


def axis(dim, size, start=0.0, step=1.0, **attrs):
    """Return the pixel centres of an axis whose first pixel begins at `start`."""
    centres = start + step * (np.arange(size) + 0.5)
    return xr.DataArray(centres, dims=dim, coords={dim: centres}, attrs=attrs)


Y, X = axis("y", SHAPE[0]), axis("x", SHAPE[1])


def masks(found):
    """Return a mask for each region."""
    flat = np.zeros((found.counts.size, found.shape[0] * found.shape[1]), bool)
    flat[np.repeat(np.arange(found.counts.size), found.counts), found.pixels] = True
    return flat.reshape(-1, *found.shape)
