"""The public ``score``: reads a product and its truth, has them compared, and says what every figure is."""

from __future__ import annotations

import datetime
import json
import math
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

import bayesr
from bayesr import images, product
from bayesr.calibration.calibration import Calibration
from bayesr.errors import BandMismatch, BayesrError, InvalidArgument, InvalidPixels, InvalidProduct, StoreFailed
from bayesr.model.model import Model
from bayesr.observe import from_description
from bayesr.progress import progress as show_progress
from bayesr.sampling import replaying
from bayesr.sampling.products import open_product
from bayesr.scoring import comparison
from bayesr.scoring.comparison import Case

_FAIR = "fair: its expectation does not depend on n"
_PATCHES = f"patches of {comparison.PATCH} x {comparison.PATCH} pixels, all bands"
_TIES = "ties broken at random, members rounded to whole numbers where the reference is"
_CURVE = "over the loss of all pixels; pixels of equal spread share their mean loss"
_PERIODOGRAM = "periodogram with a Hann window, averaged over rings of frequency and bands"

# name: (dims, power of the image's unit or the unit itself, long_name, estimator)
VARIABLES: dict[str, tuple[tuple[str, ...], int | str, str, str]] = {
    "crps": (product.DIMS, 1, "continuous ranked probability score", _FAIR),
    "pit": (product.DIMS, 0, "probability integral transform", f"(members below + u (1 + equal)) / (n + 1); {_TIES}"),
    "covered": (product.DIMS, 0, "1 where the reference lies in the product's interval", "lower <= reference <= upper"),
    "zscore": (product.DIMS, 0, "error over standard deviation", "(reference - mean) / std, calibrated"),
    "psnr": ((), "dB", "peak signal-to-noise ratio of the mean", "all bands; peak: the width of value_range"),
    "ssim": (
        (), 0, "structural similarity of the mean",
        "mean over bands, Gaussian window of sigma 1.5, population covariance; data range: the width of value_range",
    ),
    "mae": ((), 1, "mean absolute error of the mean", "all bands"),
    "crps_mean": ((), 1, "mean of crps", _FAIR),
    "energy_score": ((), 1, f"energy score of {_PATCHES}", f"{_FAIR}; over the root of the number of values"),
    "variogram_score": (
        (), 1, f"variogram score of order 0.5 of {_PATCHES}",
        f"{_FAIR}; mean over pairs of values, of at most {comparison.VARIOGRAM_PATCHES} patches drawn at random",
    ),
    "spread_skill": (
        (), 0, "spread over skill",
        "root of (n + 1)/n times the members' mean variance (ddof = 1, uncalibrated) over the mean's squared error",
    ),
    "rank_histogram": (("rank",), 0, "pixels whose reference has this many members below it", _TIES),
    "diversity": (
        (), "percent", "how much closer than the best member the best of every patch comes, as in NTIRE 2021",
        f"distance: mean squared error of patches of {comparison.DISTANCE_PATCH} x {comparison.DISTANCE_PATCH} pixels, "
        "all bands",
    ),
    "coverage": (("level",), 0, "share of pixels inside the interval", "all bands"),
    "width": (("level",), 1, "mean width of the interval", "all bands"),
    "coverage_by_activity": (
        ("activity",), 0, "share of pixels inside the product's interval by local activity",
        "bins of equal counts of the mean's standard deviation in 7 x 7 windows, of the average over bands",
    ),
    "coverage_saturated": (
        (), 0, "share of pixels inside the product's interval where the reference is saturated",
        "at the bounds of the integer type, or outside the open value_range",
    ),
    "coverage_unsaturated": ((), 0, "share of pixels inside the product's interval elsewhere", "as coverage_saturated"),
    "ence": ((), 0, "expected normalised calibration error", "mean of |bin_std - bin_rmse| / bin_std"),
    "bin_std": (
        ("spread_bin",), 1, "error predicted in bins of equal counts along std",
        "root of the mean calibrated variance times (n + 1)/n",
    ),
    "bin_rmse": (("spread_bin",), 1, "error found in the same bins", "root of the mean squared error of the mean"),
    "ause_mae": ((), 0, "area under the sparsification error, absolute errors", "trapezoids up to 99% removed"),
    "ause_rmse": ((), 0, "area under the sparsification error, squared errors", "trapezoids up to 99% removed"),
    "sparsification_mae": (("removed",), 0, "MAE without the pixels of largest std", _CURVE),
    "sparsification_mae_oracle": (("removed",), 0, "MAE without the pixels of largest error", _CURVE),
    "sparsification_rmse": (("removed",), 0, "RMSE without the pixels of largest std", _CURVE),
    "sparsification_rmse_oracle": (("removed",), 0, "RMSE without the pixels of largest error", _CURVE),
    "lr_psnr": ((), "dB", "peak signal-to-noise ratio of the worst member's low-resolution image", ""),
    "spectrum_reference": (("frequency",), 2, "power spectrum of the reference", _PERIODOGRAM),
    "spectrum_mean": (("frequency",), 2, "power spectrum of the mean", _PERIODOGRAM),
    "spectrum_members": (("frequency",), 2, "power spectrum of the members, averaged", _PERIODOGRAM),
    "spectrum_distance": (
        (), 0, "how far the members' power lies from the reference's, in decades",
        "mean over frequencies of |log10(spectrum_members / spectrum_reference)|",
    ),
}  # fmt: skip

# name: (dims, power of the image's unit or the unit itself, long_name)
COORDINATES: dict[str, tuple[str, int | str, str]] = {
    "level": ("level", 0, "level of the interval"),
    "rank": ("rank", 0, "members below the reference"),
    "activity": ("activity", 1, "middle of the bin of local activity"),
    "activity_lower": ("activity", 1, "lower edge of the bin of local activity"),
    "activity_upper": ("activity", 1, "upper edge of the bin of local activity"),
    "removed": ("removed", 0, "share of pixels left out"),
    "frequency": ("frequency", "pixel-1", "spatial frequency"),
}


def score(
    ds: xr.Dataset | str | os.PathLike[str],
    reference: Any,
    *,
    img: Any = None,
    levels: Sequence[float] = (0.5, 0.8, 0.9, 0.95),
    dims: Sequence[str] | None = None,
    model: str | Path | Model | None = None,
    seed: int = 0,
    progress: bool | None = None,
) -> xr.Dataset:
    r"""Score a product against the high-resolution image that it should explain.

    Maps say where the product is right, figures how right it is on the whole. Members are read
    from the store window by window. Pixels that the product or the reference lacks count nowhere.

    Parameters
    ----------
    ds : Dataset or path
        A product of `bayesr.sample`, in memory or opened from its store, or the path of that store.
    reference : path, ndarray, Tensor, PIL image or DataArray
        The truth, of the product's size, in its units. Coordinates, where both have them, must agree.
        Its type says how values are quantised: an integer type stands for values rounded to whole
        numbers and clipped to its bounds. NaN is missing.
    img : path, ndarray, Tensor, PIL image or DataArray, optional
        The low-resolution image. With it, `lr_psnr` is against this image, and members that the
        product does not hold are drawn again, into a temporary store.
    levels : sequence of float
        Levels of `coverage` and `width`, in (0, 1).
    dims : sequence of str, optional
        Names of the reference's axes, such as ``"yxb"``, where they are ambiguous.
    model : str, Path or Model, optional
        Where the model lies, if not under its recorded name: for intervals at other levels than the
        product's, and for members that have to be drawn again.
    seed : int
        Of the random numbers that break ties in `pit` and choose patches for `variogram_score`.
    progress : bool, optional
        True shows a bar, or plain lines where there is no terminal; None a bar on a terminal only.

    Returns
    -------
    Dataset
        Every variable's attributes name its estimator. u is the unit of the image, n the number of
        members. Maps, float32, over ``(band, y, x)``, NaN where something is missing:

        - ``crps`` (u): the fair continuous ranked probability score;
        - ``pit``: the randomised probability integral transform in [0, 1], uniform for a right forecast;
        - ``covered``: 1 where the reference lies in the product's own [`lower`, `upper`], else 0;
        - ``zscore``: (reference - mean) / `std`; 0 where both are 0, NaN where only `std` is.

        Figures, float64:

        - of the mean: ``psnr`` (dB), ``ssim``, ``mae`` (u);
        - of the members: ``crps_mean``, ``energy_score`` (u), ``variogram_score`` (u at p = 1/2),
          ``spread_skill`` (1 is best), ``rank_histogram(rank)``, ``diversity`` (%), ``lr_psnr`` (dB, the
          worst member);
        - of the intervals: ``coverage(level)``, ``width(level)`` (u), ``coverage_by_activity(activity)``,
          ``coverage_saturated``, ``coverage_unsaturated``;
        - of the standard deviation: ``ence`` with ``bin_std(spread_bin)`` and ``bin_rmse(spread_bin)`` (u),
          ``ause_mae`` and ``ause_rmse`` with the curves ``sparsification_mae(removed)``,
          ``sparsification_mae_oracle`` and the same of RMSE;
        - of texture: ``spectrum_reference(frequency)``, ``spectrum_mean``, ``spectrum_members`` (u^2) and
          ``spectrum_distance`` (mean of \|log10(members / reference)\|).

        With n = 1, ``crps`` is the absolute error and figures that need spread are NaN. Figures of
        a window or patch that the image cannot hold are NaN too.

    Raises
    ------
    InvalidProduct
        When `ds` is no whole product, holds no members and there is no `img`, or is on another grid
        than the reference.
    InvalidArgument
        When the reference is of another size, or a level lies outside (0, 1).
    BandMismatch
        When the reference has another number of bands.

    References
    ----------
    T. Gneiting, A. E. Raftery, "Strictly proper scoring rules, prediction, and estimation", 2007,
    doi:10.1198/016214506000001437. V. Fortin et al., "Why should ensemble spread match the RMSE of
    the ensemble mean?", 2014, doi:10.1175/JHM-D-14-0008.1. Others stand with the functions of
    `bayesr.scoring`.

    Examples
    --------
    >>> import bayesr, numpy as np
    >>> truth = np.tile(np.arange(32, dtype=np.uint8)[:, None], (32, 1, 3))
    >>> ds = bayesr.sample(truth[::4, ::4], n=4)
    >>> scores = bayesr.score(ds, truth)
    >>> scores["crps"].dims, scores["rank_histogram"].sizes["rank"]
    (('band', 'y', 'x'), 5)
    """
    if not all(0 < level < 1 for level in levels):
        raise InvalidArgument(f"levels must lie between 0 and 1 (0.9 for 90% intervals), not {tuple(levels)!r}.")
    whole = _product(ds)
    truth = read_reference(whole, reference, dims)
    case = case_of(whole, truth)
    low = _input(whole, img)
    operator = from_description(json.loads(product.attribute(whole, "observation")))
    half_widths, source = half_widths_of(whole, levels, model)
    with tempfile.TemporaryDirectory() as folder:
        members = replaying.members(whole, img, model, Path(folder), progress)
        steps = len(comparison.windows(members)) + members.shape[0] * members.shape[1]
        with show_progress("scoring", steps, progress) as advance:
            found = comparison.of_members(case, members, seed, advance)
            found |= comparison.of_images(case, members, operator, low, advance)
    found |= comparison.of_the_mean(case) | comparison.of_intervals(case, half_widths) | comparison.of_std(case)
    found |= {"rank": np.arange(case.n + 1), "removed": comparison.REMOVED}
    return _dataset(case, found, truth, {"interval_source": source, "seed": seed}, low is not None)


def _dataset(case: Case, found: dict[str, Any], truth: images.Image, how: dict[str, Any], given: bool) -> xr.Dataset:
    units = {0: "1", 1: case.ds["mean"].attrs.get("units"), 2: case.ds["variance"].attrs.get("units")}

    def attributes(unit: int | str, long_name: str, **others: Any) -> dict[str, Any]:
        name = units[unit] if isinstance(unit, int) else unit
        return {"long_name": long_name} | ({} if name is None else {"units": name}) | others

    variables = {}
    for name, (dims, unit, long_name, estimator) in VARIABLES.items():
        if name == "lr_psnr":
            rounded = "both rounded as files of their type are; " if case.quantisation_step else ""
            against = "the image that was sampled" if given else "the reference's low-resolution image"
            estimator = f"{rounded}against {against}; peak: the width of value_range"
        attrs = attributes(unit, long_name, estimator=estimator, n=case.n)
        if dims == product.DIMS and "spatial_ref" in case.ds.coords:
            attrs["grid_mapping"] = "spatial_ref"
        variables[name] = (dims, found[name], attrs)
    coords = {name: (dim, found[name], attributes(unit, text)) for name, (dim, unit, text) in COORDINATES.items()}
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    recorded = ("model", "model_sha256", "input_sha256", "calibration_source", "n", "masks", "level", "scale")
    return xr.Dataset(
        variables,
        dict(case.ds["mean"].coords) | coords,
        {
            "Conventions": "CF-1.11",
            "history": f"{now} bayesr {bayesr.__version__}: score",
            "bayesr_version": bayesr.__version__,
            **{name: case.ds.attrs[name] for name in recorded if name in case.ds.attrs},
            "reference_sha256": truth.sha256,
            "value_range": list(case.value_range),
            "quantum": case.quantisation_step,
            "pixels": int(case.valid.sum()),
            "missing_pixels": int((~case.valid).sum()),
            **how,
        },
    )


# -- what is given -----------------------------------------------------------------------------


def _product(given: xr.Dataset | str | os.PathLike[str]) -> xr.Dataset:
    ds = given if isinstance(given, xr.Dataset) else open_product(given)
    if ds is None:
        raise StoreFailed(f"{given} is no store of a product: check the path (the working directory is {Path.cwd()}).")
    product.require(ds, "mean", "variance", "std", "lower", "upper")
    n = int(product.attribute(ds, "n"))
    if "samples" in ds and ds.sizes["realization"] != n:
        raise InvalidProduct(
            f"The product holds {ds.sizes['realization']} of its {n} members, which its mean and intervals are of: "
            "give all of them."
        )
    return ds


def read_reference(ds: xr.Dataset, reference: Any, dims: Sequence[str] | None) -> images.Image:
    """The truth, on the product's grid or refused."""
    value_range = tuple(float(v) for v in product.attribute(ds, "value_range"))
    try:
        truth = images.read(reference, dims=dims, value_range=value_range)  # type: ignore[arg-type]
    except InvalidPixels:  # NaN counts as missing here, where nothing is drawn from it
        truth = images.read(reference, dims=dims, nodata=math.nan, value_range=value_range)  # type: ignore[arg-type]
    theirs, ours = truth.data.sizes, ds["mean"].sizes
    if (theirs["y"], theirs["x"]) != (ours["y"], ours["x"]):
        raise InvalidArgument(
            f"The reference is {theirs['y']} x {theirs['x']} pixels (y x x) and the product {ours['y']} x {ours['x']}. "
            "Give the high-resolution image that the input is a reduction of, cropped to the input's area."
        )
    if theirs["band"] != ours["band"]:
        raise BandMismatch(
            f"The reference has {theirs['band']} bands and the product {ours['band']}: give the same ones."
        )
    for dim in ("y", "x"):
        placed = dim in truth.data.coords and truth.data[dim].dtype.kind in "uif"
        if not placed or ds[dim].attrs.get("units") == "input pixels":
            continue
        a, b = truth.data[dim].to_numpy().astype(float), ds[dim].to_numpy()
        step = abs(b[-1] - b[0]) / (b.size - 1) if b.size > 1 else 1.0
        if np.abs(a - b).max() > 0.01 * step:
            raise InvalidProduct(
                f"The reference lies on another grid: its {dim} runs from {a[0]:g} to {a[-1]:g}, the product's from "
                f"{b[0]:g} to {b[-1]:g}. Resample it to the product's grid (reference.interp(y=ds.y, x=ds.x)), or drop "
                f"its coordinates if they are wrong (reference.drop_vars(['y', 'x']))."
            )
    return truth


def case_of(ds: xr.Dataset, truth: images.Image) -> Case:
    """A product beside its truth, NaN where either has no pixel."""
    values = truth.data.to_numpy().astype(np.float64)
    valid = np.isfinite(ds["mean"].to_numpy()).all(0)
    if truth.missing is not None:
        valid &= ~truth.missing
    if not valid.any():
        raise InvalidPixels("No pixel has both a reference and a product: there is nothing to score.")
    values[:, ~valid] = np.nan
    return Case(ds, values, valid, truth.bounds, truth.value_range, int(ds.attrs["n"]))


def _input(ds: xr.Dataset, img: Any) -> images.Image | None:
    """The image that was sampled, and no other; None where the product is a part of what it was."""
    if img is None:
        return None
    low = replaying.image_of(product.Provenance.from_dataset(ds), img)
    whole = all(low.data.sizes[dim] * int(product.attribute(ds, "scale")) == ds.sizes[dim] for dim in ("y", "x"))
    return low if whole else None


def half_widths_of(
    ds: xr.Dataset, levels: Sequence[float], model: str | Path | Model | None
) -> tuple[dict[float, float | None], str]:
    """Lambda for every level, None for the product's own interval, NaN for one the calibration cannot give."""
    own, n = float(product.attribute(ds, "level")), int(ds.attrs["n"])
    widths: dict[float, float | None] = {level: None for level in levels if math.isclose(level, own)}
    try:
        network = replaying.model_of(product.Provenance.from_dataset(ds), model)
        calibration, source = network.calibration, f"the calibration of {network.name}"
    except BayesrError:
        if model is not None:
            raise
        calibration, source = Calibration(), "Student's t on std, since the product's model is not at hand"
    for level in levels:
        if level not in widths:
            try:
                widths[level] = calibration.half_width(level, n)
            except InvalidArgument:
                widths[level] = math.nan
    return dict(sorted(widths.items())), f"level {own:g}: the product's own; others: {source}"
