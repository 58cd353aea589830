"""The Dataset of scores: names, dimensions, units and attributes."""

from __future__ import annotations

from typing import Any

import xarray as xr

from bayesr import images, product
from bayesr.scoring.case import Case
from bayesr.scoring.data_check import LEVEL
from bayesr.scoring.members import DISTANCE_PATCH, PATCH, VARIOGRAM_PATCHES
from bayesr.version import __version__

_FAIR = "fair: the expectation does not depend on n"
_PATCHES = f"patches of {PATCH} x {PATCH} pixels, all bands"
_TIES = "ties are broken at random; members are rounded to whole numbers if the reference is"
_CURVE = "divided by the loss of all pixels; pixels of equal spread share their mean loss"
_PERIODOGRAM = "periodogram with a Hann window, averaged over rings of frequency and bands"
_REGIONS = ("region_y", "region_x")
_CHI = "(y - A x)^2 / variance of the noise, mean over pixels that are not saturated, all bands, and members"
_BAND = (
    f"{LEVEL:.0%} of the regions of a member whose y - A x is noise, whose variance is known up to its standard error"
)
_RAW = "ddof = 1, uncalibrated"

# name: (dims, power of the image's unit or a unit, long_name, estimator)
VARIABLES: dict[str, tuple[tuple[str, ...], int | str, str, str]] = {
    "crps": (product.DIMS, 1, "continuous ranked probability score", _FAIR),
    "pit": (product.DIMS, 0, "probability integral transform", f"(members below + u (1 + equal)) / (n + 1); {_TIES}"),
    "covered": (product.DIMS, 0, "1 where the reference lies in the interval", "lower <= reference <= upper"),
    "zscore": (product.DIMS, 0, "error divided by the standard deviation", "(reference - mean) / std, calibrated"),
    "psnr": ((), "dB", "peak signal-to-noise ratio of the mean", "all bands; peak: the width of value_range"),
    "ssim": (
        (), 0, "structural similarity of the mean",
        "mean over bands, Gaussian window of sigma 1.5, population covariance; of values above the lower end of "
        "value_range; data range: its width",
    ),
    "mae": ((), 1, "mean absolute error of the mean", "all bands"),
    "crps_mean": ((), 1, "mean of crps", _FAIR),
    "energy_score": ((), 1, f"energy score of {_PATCHES}", f"{_FAIR}; divided by the root of the number of values"),
    "variogram_score": (
        (), 1, f"variogram score of order 0.5 of {_PATCHES}",
        f"{_FAIR}; mean over pairs of values of at most {VARIOGRAM_PATCHES} patches drawn at random",
    ),
    "spread_skill": (
        (), 0, "ratio of the members' spread to the error of their mean",
        "root of (n + 1)/n times the members' mean variance (ddof = 1, uncalibrated) over the mean's squared error",
    ),
    "rank_histogram": (("rank",), 0, "number of pixels whose reference has this many members below it", _TIES),
    "diversity": (
        (), "percent", "gain of the best member of each patch over the best member, as in NTIRE 2021",
        f"distance: mean squared error of patches of {DISTANCE_PATCH} x {DISTANCE_PATCH} pixels, "
        "all bands",
    ),
    "coverage": (("level",), 0, "empirical coverage of the interval", "all bands"),
    "width": (("level",), 1, "mean width of the interval", "all bands"),
    "coverage_by_activity": (
        ("activity",), 0, "empirical coverage of the product's interval by local activity",
        "bins of equal counts of the standard deviation of the mean in 7 x 7 windows, averaged over bands",
    ),
    "coverage_saturated": (
        (), 0, "empirical coverage of the product's interval where the reference is saturated",
        "at the bounds of the integer type, or outside the open value_range",
    ),
    "coverage_unsaturated": ((), 0, "empirical coverage of the product's interval elsewhere", "as coverage_saturated"),
    "ence": ((), 0, "expected normalised calibration error", "mean of |bin_std - bin_rmse| / bin_std"),
    "bin_std": (
        ("spread_bin",), 1, "predicted error in bins of equal counts of std",
        "root of the mean calibrated variance times (n + 1)/n",
    ),
    "bin_rmse": (("spread_bin",), 1, "observed error in the same bins", "root of the mean squared error of the mean"),
    "ause_mae": ((), 0, "area under the sparsification error, absolute errors", "trapezoids up to 99% removed"),
    "ause_rmse": ((), 0, "area under the sparsification error, squared errors", "trapezoids up to 99% removed"),
    "sparsification_mae": (("removed",), 0, "MAE without the pixels with the largest std", _CURVE),
    "sparsification_mae_oracle": (("removed",), 0, "MAE without the pixels with the largest error", _CURVE),
    "sparsification_rmse": (("removed",), 0, "RMSE without the pixels with the largest std", _CURVE),
    "sparsification_rmse_oracle": (("removed",), 0, "RMSE without the pixels with the largest error", _CURVE),
    "lr_psnr": ((), "dB", "peak signal-to-noise ratio of the worst member's low-resolution image", ""),
    "spectrum_reference": (("frequency",), 2, "power spectrum of the reference", _PERIODOGRAM),
    "spectrum_mean": (("frequency",), 2, "power spectrum of the mean", _PERIODOGRAM),
    "spectrum_members": (("frequency",), 2, "power spectrum of the members, averaged", _PERIODOGRAM),
    "spectrum_distance": (
        (), 0, "distance between the power of the members and of the reference, in decades",
        "mean over frequencies of |log10(spectrum_members / spectrum_reference)|",
    ),
    "chi_squared": (_REGIONS, 0, "chi-squared of the input, divided by its number of values", _CHI),
    "chi_squared_lower": (_REGIONS, 0, "lower end of the expected band of chi_squared", _BAND),
    "chi_squared_upper": (_REGIONS, 0, "upper end of the expected band of chi_squared", _BAND),
    "chi_squared_inside": ((), 0, "share of regions whose chi_squared lies in the expected band", _BAND),
    "fitted_blur": (
        (), "pixel", "Gaussian blur with which members explain the input best, mean over members",
        "0 where the blur is known; least squares in the middle of the image, up to the blur of training",
    ),
    "open_share": (("y", "x"), 0, "share of a pixel that the input leaves open", "diagonal of P = I - A+ A"),
    "range_variance": (product.DIMS, 2, "variance of the members in the range of A+", f"of A+ A x; {_RAW}"),
    "null_variance": (product.DIMS, 2, "variance of the members in the null space of A", f"of x - A+ A x; {_RAW}"),
    "range_null_covariance": (product.DIMS, 2, "covariance of the members' parts in both spaces", _RAW),
    "null_share": (
        (), 0, "share of the members' variance in the null space, which the input has no say in",
        "sum of null_variance over the sum of range_variance and null_variance",
    ),
}  # fmt: skip

# name: (dim, power of the image's unit or a unit, long_name)
COORDINATES: dict[str, tuple[str, int | str, str]] = {
    "level": ("level", 0, "nominal level of the interval"),
    "rank": ("rank", 0, "number of members below the reference"),
    "activity": ("activity", 1, "centre of the bin of local activity"),
    "activity_lower": ("activity", 1, "lower edge of the bin of local activity"),
    "activity_upper": ("activity", 1, "upper edge of the bin of local activity"),
    "removed": ("removed", 0, "share of pixels removed"),
    "frequency": ("frequency", "pixel-1", "spatial frequency"),
    "region_y": ("region_y", "pixel", "row of the middle of a region, in pixels of the product"),
    "region_x": ("region_x", "pixel", "column of the middle of a region, in pixels of the product"),
}


def dataset(
    case: Case, scores: dict[str, Any], truth: images.Image, settings: dict[str, Any], input_given: bool
) -> xr.Dataset:
    """Return the Dataset of `bayesr.score`.

    `scores` has values of all `VARIABLES` and `COORDINATES`; `settings` are attributes. `input_given` states that
    ``lr_psnr`` is against the image that was sampled.
    """
    units = {0: "1", 1: case.ds["mean"].attrs.get("units"), 2: case.ds["variance"].attrs.get("units")}

    def attributes(unit: int | str, long_name: str, **others: Any) -> dict[str, Any]:
        name = units[unit] if isinstance(unit, int) else unit
        return {"long_name": long_name} | ({} if name is None else {"units": name}) | others

    variables = {}
    for name, (dims, unit, long_name, estimator) in VARIABLES.items():
        if name == "lr_psnr":
            rounded = "both rounded as in files of their type; " if case.quantisation_step else ""
            against = "the image that was sampled" if input_given else "the reference's low-resolution image"
            estimator = f"{rounded}against {against}; peak: the width of value_range"
        attrs = attributes(unit, long_name, estimator=estimator, n=case.n)
        if dims == product.DIMS and "spatial_ref" in case.ds.coords:
            attrs["grid_mapping"] = "spatial_ref"
        variables[name] = (dims, scores[name], attrs)
    coords = {name: (dim, scores[name], attributes(unit, text)) for name, (dim, unit, text) in COORDINATES.items()}
    recorded = ("model", "model_sha256", "input_sha256", "calibration_source", "n", "masks", "level", "scale")
    return xr.Dataset(
        variables,
        dict(case.ds["mean"].coords) | coords,
        {
            "Conventions": "CF-1.11",
            "history": product.history_entry("score"),
            "bayesr_version": __version__,
            **{name: case.ds.attrs[name] for name in recorded if name in case.ds.attrs},
            "reference_sha256": truth.sha256,
            "value_range": list(case.value_range),
            "quantisation_step": case.quantisation_step,
            "pixels": int(case.valid.sum()),
            "missing_pixels": int((~case.valid).sum()),
            **settings,
        },
    )
