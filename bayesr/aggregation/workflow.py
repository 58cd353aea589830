"""The public function `aggregate`: statistics of regions, with intervals."""

from __future__ import annotations

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
from bayesr.files import temporary_folder
from bayesr.product import arguments
from bayesr.progress import progress as show_progress
from bayesr.sampling.products import members_of, open_product, product_of

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
    quantisation_step: float | None = None,
    model: str | Path | Model | None = None,
    progress: bool | None = None,
    **options: Any,
) -> xr.Dataset:
    r"""Compute a statistic of each region, with an interval from the members.

    With t_i the statistic of a region in member i of n,

    ``value = mean_i t_i``,  ``[lower, upper]``: the quantiles of t_i at (1 -+ level) / 2, at plotting positions k /
    (n + 1), widened by half a quantisation step if the image was rounded.

    Errors of neighbouring pixels are correlated, and the low-resolution image fixes sums of pixels, so the variance of
    a sum differs from the sum of the variances. The members have these correlations. For comparison, ``naive_std`` adds
    the variances of single pixels.

    Parameters
    ----------
    ds_or_img : Dataset, path, ndarray, Tensor, PIL image or DataArray
        A product of `bayesr.sample`, a part of it, or the path of its store; or a low-resolution image, which is
        sampled first.
    regions : ndarray, DataArray, path, int, (int, int), mapping or sequence
        - labels `y x x`, whole numbers in the size of the product, or the path of such an image; 0 and missing pixels
          are outside of all regions. Axes may have any order and name that `bayesr.sample` knows, such as (lat, lon) or
          (row, col), and there may be one band;
        - polygons: a list, or a mapping from names, of rings ``[(x, y), ...]``, of lists of rings (first the outline,
          then holes), or of objects with ``__geo_interface__`` (shapely, geopandas); or GeoJSON as a mapping or a path
          (``.geojson``, ``.json``), whose features are named by ``properties.name`` or ``id`` if these all differ.
          Corners are in the coordinates of the product; a reference system in a file is ignored. Polygons may overlap.
          They contain the pixels whose centres lie inside. Parts outside the product are cut off;
        - a grid: the side, or (height, width), of its cells in high-resolution pixels.
    statistic : str or callable
        ``"mean"``, ``"sum"``, ``"min"``, ``"max"``, ``"median"``, ``"share"`` (of pixels above `threshold`), or a
        function that computes a number from a region's values in a band, float64 of shape ``pixel``.
    img : path, ndarray, Tensor, PIL image or DataArray, optional
        The complete image that was sampled, to draw members that the product lacks; by default the copy in its store.
    level : float
        Level of the interval, in (0, 1). It needs (1 + level) / (1 - level) members or more, 19 for 0.9.
    threshold : float, optional
        Threshold of ``"share"``, in the units of the image.
    exceed : float, optional
        Adds the probability that the statistic exceeds this value, in its units.
    all_bands : bool
        Give the function all bands together, ``band x pixel``, such as for a spectral index. The results then have no
        band.
    calibrated : bool
        First stretch the members of each region: x_i becomes mean + c (x_i - mean), where c^2 is the calibrated over
        the raw variance, each summed over the region. A region of one pixel then has the ``std`` of the product. Larger
        regions rely on the members' correlations, which one factor per region keeps and a factor per pixel would not.
        Values may slightly exceed the bounds of an integer type. False uses the members as they are.
    quantisation_step : float, optional
        Quantisation step of the image that was sampled: 1 for integers, 0 for floats. The default is the step of the
        product, of `img` or of the image; 0 if unknown. Members reproduce the rounded image, whose rounding errors in
        flat areas are equal, so averaging does not reduce them. Intervals are therefore widened by half a step, for a
        sum times the number of pixels, except those of ``"share"`` and functions.
    model : str, Path or Model, optional
        As in `bayesr.sample`. For a product, the model or its file, if it is neither bundled nor found under its
        recorded name.
    progress : bool, optional
        As in `bayesr.sample`.
    **options
        Further options of `bayesr.sample`, for an image.

    Returns
    -------
    Dataset
        Over ``(region, band)``, float64, in the units of the statistic (those of the image, but 1 for the share):

        - ``value``, and ``std``: the standard deviation over members, unbiased also if they share dropout masks;
        - ``lower``, ``upper``: a new member lies between them with a probability of at least `level`;
        - ``exceedance``: (members above `exceed` + 1/2) / (n + 1), never 0 or 1. Members within half a quantisation
          step of it count in part;
        - ``members(realization, region, band)``: t_i;
        - ``naive_std``, for mean and sum: the root of the summed pixel variances, for the mean divided by the number of
          pixels;
        - ``factor``: c, if calibrated.

        Coordinates: ``region`` (labels, names, or 1, 2, ...), ``pixels`` (the number with data), and ``centroid_y``,
        ``centroid_x``. Pixels without data are left out; a region without data is NaN.

    Raises
    ------
    InvalidArgument
        Before any work, for regions that are invalid or of another size, an unknown statistic, a missing threshold, too
        few members for the level, or options of `sample` with a product. Later, when a function returns no number.
    InvalidProduct
        When the product lacks its members and `img` is missing or another image, or lacks variables that the
        calibration needs.
    TooLarge
        When the statistics do not fit in memory.

    References
    ----------
    R. J. Hyndman, Y. Fan, "Sample quantiles in statistical packages", 1996, doi:10.1080/00031305.1996.10473566 (their
    definition 6).

    Examples
    --------
    >>> import bayesr, numpy as np
    >>> low = np.random.default_rng(0).integers(0, 255, (8, 8, 3), dtype=np.uint8)
    >>> found = bayesr.aggregate(low, 16, "mean", n=20, exceed=128)
    >>> dict(found["value"].sizes)
    {'region': 4, 'band': 3}
    """
    level, threshold, exceed, quantisation_step = _checked_numbers(level, threshold, exceed, quantisation_step)
    all_bands, calibrated = arguments.flag("all_bands", all_bands), arguments.flag("calibrated", calibrated)
    arguments.check({"model": model, "progress": progress}, optional=("model",))
    options = arguments.check(options)
    resolved = resolve_statistic(statistic, threshold, all_bands)
    ds = open_product(ds_or_img)
    n = options.get("n", 32) if ds is None else ds.sizes.get("realization", ds.attrs.get("n"))
    _check_level(level, n)
    if ds is not None and calibrated:
        _check_calibration(ds)
    y, x, scale, step = _grid_of_image(ds_or_img, options, model) if ds is None else _grid_of_product(ds, img)
    step = step if quantisation_step is None else quantisation_step
    pixels = find(regions, y, x, scale)
    settings: dict[str, Any] = {
        "statistic": resolved.name, "level": level, "calibrated": int(calibrated), "quantisation_step": float(step)
    }  # fmt: skip
    settings |= {name: float(v) for name, v in (("threshold", threshold), ("exceed", exceed)) if v is not None}
    with temporary_folder() as folder:
        ds = product_of(ds_or_img, folder, model, progress, options)
        _check_memory(ds.sizes.get("realization", ds.attrs.get("n", 1)) * ds.sizes["band"], pixels)
        members = members_of(ds, img, model, folder, progress)
        groups = [[band] for band in range(members.sizes["band"])]
        if all_bands:
            groups = [[band for group in groups for band in group]]
        with show_progress("aggregating", len(groups) * members.sizes["realization"], progress) as advance:
            bands = [measure_bands(ds, members, pixels, resolved, some, calibrated, advance) for some in groups]
        return dataset(ds, members, pixels, resolved, bands, settings)


def _checked_numbers(
    level: Any, threshold: Any, exceed: Any, quantisation_step: Any
) -> tuple[float, float | None, float | None, float | None]:
    """Check the arguments that are numbers, and return them as Python's floats."""
    return (
        arguments.check({"level": level})["level"],
        None if threshold is None else arguments.number("threshold", threshold, "a number in the units of the image"),
        None if exceed is None else arguments.number("exceed", exceed, "a number in the units of the statistic"),
        None if quantisation_step is None else _quantisation_step(quantisation_step),
    )


def _quantisation_step(given: Any) -> float:
    expected = "the quantisation step, 1 for integers or 0 for floats"
    return arguments.number("quantisation_step", given, expected, lambda real: 0 <= real < np.inf)


def _check_level(level: float, n: Any) -> None:
    if not isinstance(n, int | np.integer):
        return  # `sample`, or the check of the product, raises the error
    least = int(np.ceil((1 + level) / (1 - level) - 1e-9))
    if n < least:
        raise InvalidArgument(
            f"level={level:g} needs {least} members or more, and there are {n}: even the interval from the smallest to "
            f"the largest holds a new member only with probability {max(n - 1, 0) / (n + 1):.2g}. Draw more members, "
            "or lower the level."
        )


def _check_calibration(ds: xr.Dataset) -> None:
    lacking = [name for name in ("mean", "variance", "calibration") if name not in ds]
    if lacking:
        raise InvalidProduct(
            f"The Dataset lacks {', '.join(lacking)}, which the calibration needs: give a product of bayesr.sample, or "
            "calibrated=False."
        )


def _check_memory(planes: int, regions: Regions) -> None:
    # 8 bytes for the statistic of each member and band, and twice as much for the quantiles.
    needed, free = 24 * planes * regions.counts.size, psutil.virtual_memory().available
    if needed > free:
        raise TooLarge(
            f"The statistics of {regions.counts.size} regions need {needed / 2**30:.1f} GiB of memory, and "
            f"{free / 2**30:.1f} GiB are free: give larger regions, or a part of the product, ds.isel(y=..., x=...)."
        )


_Grid = tuple[xr.DataArray, xr.DataArray, int | None, float]


def _grid_of_product(ds: xr.Dataset, img: Any) -> _Grid:
    """Return y, x, the scale factor and the quantisation step of a product."""
    scale, step = ds.attrs.get("scale"), product.attribute(ds, "quantisation_step", None)
    if step is None and img is not None:
        from bayesr.sampling.replaying import image_of  # slow to import: torch, which a complete product does not need

        step = image_of(product.Provenance.from_dataset(ds), img).quantisation_step
    return ds["y"], ds["x"], None if scale is None else int(scale), float(step or 0)


def _grid_of_image(img: Any, options: dict[str, Any], model: str | Path | Model | None) -> _Grid:
    """Return the same for the product of an image, before it is sampled."""
    from bayesr.model.model import load  # slow to import: torch, which a product from a store does not need

    array = images.source(img, options.get("dims"))
    scale = load("natural-x4" if model is None else model).scale
    coords = xr.Dataset(coords=product.frame(array, scale).coords)  # y and x then hold the reference system
    return coords["y"], coords["x"], scale, images.quantisation_step(array)
