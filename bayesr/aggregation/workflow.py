"""The public ``aggregate``: statistics of regions, member by member, with what their spread says."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
import xarray as xr
from numpy.typing import NDArray

from bayesr import images, product
from bayesr.aggregation.description import dataset
from bayesr.aggregation.measuring import measure_bands
from bayesr.aggregation.regions import Regions, find
from bayesr.aggregation.statistics import resolve_statistic
from bayesr.errors import InvalidArgument, InvalidProduct, TooLarge
from bayesr.progress import progress as show_progress
from bayesr.sampling import replaying

if TYPE_CHECKING:
    from bayesr.model.model import Model


def aggregate(
    ds_or_img: Any,
    regions: Any,
    statistic: str | Callable[[NDArray[np.float64]], float] = "mean",
    *,
    img: Any = None,
    level: float = 0.9,
    threshold: float | None = None,
    exceed: float | None = None,
    all_bands: bool = False,
    calibrated: bool = True,
    quantum: float | None = None,
    model: str | Path | Model | None = None,
    progress: bool | None = None,
    **options: Any,
) -> xr.Dataset:
    r"""Compute a statistic of every region, with an interval that its members give.

    With t_i the statistic of a region of member i of n,

    ``value = mean_i t_i``,  ``[lower, upper]``: the quantiles of t_i at (1 -+ level) / 2, at plotting
    positions k / (n + 1), half a quantisation step further where the image was rounded.

    Pixels err together, so that the variance of a sum is not the sum of variances: neighbours hide
    and show the same detail, and what one pixel has too much of, another must lack, where the
    low-resolution image tells their sum. Members know this. ``naive_std`` stands beside and says
    what adding the variances of single pixels would have given.

    Parameters
    ----------
    ds_or_img : Dataset, path, ndarray, Tensor, PIL image or DataArray
        A product of `bayesr.sample`, or a part of it, or the path of its store; or a low-resolution
        image, which is sampled first.
    regions : ndarray, DataArray, path, int, (int, int), mapping or sequence
        - labels `y x x`, whole numbers, of the product's size: 0 is outside, each other number a region;
          or the path of such an image;
        - polygons: a list, or a mapping from names, of rings ``[(x, y), ...]``, of lists of rings
          (first the outline, then holes), or of anything with ``__geo_interface__``, as shapely's and
          geopandas' objects; GeoJSON as a mapping or a path (``.geojson``, ``.json``), whose features go by
          ``properties.name`` or ``id`` where all have different ones. In the product's coordinates, whatever
          reference system a file may claim. They may overlap. Pixels whose centre is inside count;
          what lies beyond the product is cut off;
        - a grid: the side, or (height, width), of its cells in high-resolution pixels.
    statistic : str or callable
        ``"mean"``, ``"sum"``, ``"min"``, ``"max"``, ``"median"``, ``"share"`` (of pixels above `threshold`),
        or a function from the values of a region in a band, float64 of shape `pixel`, to a number.
    img : path, ndarray, Tensor, PIL image or DataArray, optional
        The image that was sampled, whole, from which members that the product does not hold are
        drawn again.
    level : float
        Of the interval, in (0, 1). It takes (1 + level) / (1 - level) members, 19 at 0.9, for the extreme
        ones to reach so far.
    threshold : float, optional
        Of ``"share"``, in the units of the image.
    exceed : float, optional
        In the units of the statistic: adds the probability that it exceeds this.
    all_bands : bool
        Give the function all bands of a region at once, `band x pixel`, for a figure of all of them, such as
        the mean of an index. Results have no band then.
    calibrated : bool
        Stretch members before the statistic is taken, region by region: x_i becomes mean + c (x_i - mean),
        where c^2 is the calibrated over the raw variance, each summed over the region. So a region of one
        pixel has the product's ``std``; for larger ones it assumes that members are right about how pixels
        err together. One factor a region keeps what the members agree on; factors of pixels would
        not. Values may leave an integer type's bounds a little. False takes members as they are.
    quantum : float, optional
        The step to which the image that was sampled is rounded: 1 for integers, 0 for floats. By default what the
        product records, or what `img` or the image itself is; 0 where nobody knows. Members reproduce
        the rounded image, and no member knows how it was rounded: flat areas all the same way, so that no
        averaging helps. That is what intervals of large regions are about, while members agree. So intervals
        reach half a quantisation step further (times the pixels for a sum; not those of the share and of functions).
    model, progress
        As in `bayesr.sample`; with a product, where the model lies if not under its recorded name.
    **options
        Others of `bayesr.sample`, for an image.

    Returns
    -------
    Dataset
        Over ``(region, band)``, float64, in the units of the statistic (u for all but the share):

        - ``value``, and ``std``: the standard deviation over members, unbiased by dropout masks that
          several share, as in the product;
        - ``lower``, ``upper``: a new member lies between them with probability `level` or, rounded, more;
        - ``exceedance``: (members that exceed `exceed` + 1/2) / (n + 1), never 0 or 1, since n members cannot
          tell; a member within half a quantisation step of `exceed` counts in part;
        - ``members(realization, region, band)``: t_i;
        - ``naive_std``, of mean and sum: the root of summed pixel variances, over the number of pixels for the
          mean;
        - ``factor``: c, where calibrated.

        Coordinates: ``region`` (labels, names, or 1, 2, ...), ``pixels`` that count, and ``centroid_y``,
        ``centroid_x``. Pixels without data are left out; a region without any is NaN.

    Raises
    ------
    InvalidArgument
        Before any work, for regions that are none or of another size, an unknown statistic, a missing
        threshold, too few members for the level, or options of `sample` with a product. Later, when
        a function does not return a number.
    InvalidProduct
        When the product lacks its members and `img` is not given or another one, or lacks what
        calibration takes.
    TooLarge
        When the statistics of all members and regions do not fit in memory.

    References
    ----------
    R. J. Hyndman, Y. Fan, "Sample quantiles in statistical packages", 1996, doi:10.1080/00031305.1996.10473566
    (their definition 6).

    Examples
    --------
    >>> import bayesr, numpy as np
    >>> low = np.random.default_rng(0).integers(0, 255, (8, 8, 3), dtype=np.uint8)
    >>> found = bayesr.aggregate(low, 16, "mean", n=20, exceed=128)
    >>> dict(found["value"].sizes)
    {'region': 4, 'band': 3}
    """
    resolved = resolve_statistic(statistic, threshold, all_bands)
    ds = replaying.product_in(ds_or_img)
    n = options.get("n", 32) if ds is None else ds.sizes.get("realization", ds.attrs.get("n"))
    _check_level(level, n)
    if ds is not None and calibrated:
        _check_calibration(ds)
    y, x, scale, step = _grid_of_image(ds_or_img, options, model) if ds is None else _grid_of_product(ds, img)
    step = step if quantum is None else quantum
    if not 0 <= step < np.inf:
        raise InvalidArgument(f"quantum must be the step of rounded values, 1 for integers, not {quantum!r}.")
    pixels = find(regions, y, x, scale)
    settings: dict[str, Any] = {
        "statistic": resolved.name, "level": level, "calibrated": int(calibrated), "quantum": float(step)
    }  # fmt: skip
    settings |= {name: float(v) for name, v in (("threshold", threshold), ("exceed", exceed)) if v is not None}
    with tempfile.TemporaryDirectory() as folder:
        ds = replaying.drawn_from(ds_or_img, Path(folder), model, progress, options)
        _check_memory(ds.sizes.get("realization", ds.attrs.get("n", 1)) * ds.sizes["band"], pixels)
        members = replaying.members(ds, img, model, Path(folder), progress)
        groups = [[band] for band in range(members.sizes["band"])]
        if all_bands:
            groups = [[band for group in groups for band in group]]
        with show_progress("aggregating", len(groups) * members.sizes["realization"], progress) as advance:
            bands = [measure_bands(ds, members, pixels, resolved, some, calibrated, advance) for some in groups]
        return dataset(ds, members, pixels, resolved, bands, settings)


def _check_level(level: float, n: Any) -> None:
    if not 0 < level < 1:
        raise InvalidArgument(f"level must lie between 0 and 1 (0.9 for a 90% interval), not {level!r}.")
    if not isinstance(n, int | np.integer):
        return  # `sample` or the product's attributes will say so
    least = int(np.ceil((1 + level) / (1 - level) - 1e-9))
    if n < least:
        raise InvalidArgument(
            f"level={level:g} takes {least} members or more, and there are {n}: even from the least to the largest, an "
            f"interval holds a new member with probability {max(n - 1, 0) / (n + 1):.2g} only. Draw more, or lower the "
            "level."
        )


def _check_calibration(ds: xr.Dataset) -> None:
    lacking = [name for name in ("mean", "variance", "calibration") if name not in ds]
    if lacking:
        raise InvalidProduct(
            f"The Dataset lacks {', '.join(lacking)}, which calibration takes: give a product of bayesr.sample, or "
            "calibrated=False."
        )


def _check_memory(planes: int, regions: Regions) -> None:
    # Statistics of every member and band, and twice as much for their quantiles.
    needed, free = 24 * planes * regions.counts.size, psutil.virtual_memory().available
    if needed > free:
        raise TooLarge(
            f"The statistics of {regions.counts.size} regions take {needed / 2**30:.1f} GiB and {free / 2**30:.1f} GiB "
            "of memory are free: give larger regions, or a part of the product, ds.isel(y=..., x=...)."
        )


_Grid = tuple[xr.DataArray, xr.DataArray, int | None, float]


def _grid_of_product(ds: xr.Dataset, img: Any) -> _Grid:
    """(y, x, scale, quantisation step) of a product."""
    scale, step = ds.attrs.get("scale"), ds.attrs.get("quantum")
    if step is None and img is not None:
        step = 0.0 if replaying.image_of(ds, img).bounds is None else 1.0
    return ds["y"], ds["x"], None if scale is None else int(scale), float(step or 0)


def _grid_of_image(img: Any, options: dict[str, Any], model: str | Path | Model | None) -> _Grid:
    """(y, x, scale, quantisation step) of the product that an image would become."""
    from bayesr.model.model import load  # slow to import: torch, which a product from a store does not need

    array = images.source(img, options.get("dims"))
    scale = load("natural-x4" if model is None else model).scale
    coords = product.frame(array, scale).coords
    return coords["y"], coords["x"], scale, 1.0 if array.dtype.kind in "ui" else 0.0
