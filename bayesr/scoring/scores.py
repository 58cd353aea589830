"""The public function `score`."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from bayesr import images, product
from bayesr.calibration.calibration import Calibration
from bayesr.errors import BayesrError, InvalidArgument, InvalidProduct, StoreFailed
from bayesr.files import temporary_folder
from bayesr.isolation import isolated
from bayesr.model.model import Model
from bayesr.observe import from_description
from bayesr.product import arguments
from bayesr.progress import progress as show_progress
from bayesr.sampling.models import model_of
from bayesr.sampling.products import members_of, open_product
from bayesr.sampling.replaying import image_of
from bayesr.scoring.case import case_of, read_reference
from bayesr.scoring.consistency import score_consistency
from bayesr.scoring.data_check import Instrument, check_data
from bayesr.scoring.description import dataset
from bayesr.scoring.maps import REMOVED, score_intervals, score_mean, score_std
from bayesr.scoring.members import score_members, windows
from bayesr.scoring.null_space import null_share, split_variance


@isolated
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
    noise: float | tuple[float, float] | None = None,
) -> xr.Dataset:
    r"""Score a product against a high-resolution reference.

    Members are read window by window. Pixels missing in the product or the reference are left out.

    Parameters
    ----------
    ds : Dataset or path
        A product of `bayesr.sample`, or the path of its store.
    reference : path, ndarray, Tensor, PIL image or DataArray
        The truth, in the size and units of the product. If both have coordinates, these must agree. An integer type
        means that values are rounded and clipped to its bounds. NaN marks missing pixels.
    img : path, ndarray, Tensor, PIL image or DataArray, optional
        The low-resolution image, with which `lr_psnr` then compares. Members that the product lacks are drawn again
        from it, or from the copy in the product's store, into a temporary store. `chi_squared` takes either.
    levels : sequence of float
        Nominal levels of `coverage` and `width`, in (0, 1).
    dims : sequence of str, optional
        Names of the axes of the reference, such as ``"yxb"``, if ambiguous.
    model : str, Path or Model, optional
        The model, or its file, if it is neither bundled nor found under its recorded name. Members that are drawn again
        and intervals at other levels than the product's need it.
    seed : int
        Seed for ties in `pit` and for the patches of `variogram_score`.
    progress : bool, optional
        True shows a progress bar, or plain lines without a terminal; None shows a bar on a terminal only.
    noise : float or (float, float), optional
        Noise of the low-resolution image, in its units: the standard deviation; or the gain and the read noise, as of
        `bayesr.observe.estimate_noise`, which by default estimates them from the image.

    Returns
    -------
    Dataset
        Attributes of each variable name its estimator. Below, u is the unit of the image. Maps, float32, over
        ``(band, y, x)``, NaN where a pixel is missing:

        - ``crps`` (u): the fair continuous ranked probability score;
        - ``pit``: the randomised probability integral transform in [0, 1], uniform for a calibrated ensemble;
        - ``covered``: 1 where the reference lies in the product's interval [`lower`, `upper`], else 0;
        - ``zscore``: (reference - mean) / `std`; 0 where both are 0, and NaN where only `std` is 0.

        Single scores and curves, float64:

        - of the mean: ``psnr`` (dB), ``ssim``, ``mae`` (u);
        - of the members: ``crps_mean``, ``energy_score`` (u), ``variogram_score`` (u at p = 1/2), ``spread_skill`` (1
          is best), ``rank_histogram(rank)``, ``diversity`` (%), ``lr_psnr`` (dB, the worst member);
        - of the intervals: ``coverage(level)``, ``width(level)`` (u), ``coverage_by_activity(activity)``,
          ``coverage_saturated``, ``coverage_unsaturated``;
        - of the standard deviation: ``ence`` with ``bin_std(spread_bin)`` and ``bin_rmse(spread_bin)`` (u),
          ``ause_mae`` and ``ause_rmse`` with the curves ``sparsification_mae(removed)``, ``sparsification_mae_oracle``,
          and the same for RMSE;
        - of texture: ``spectrum_reference(frequency)``, ``spectrum_mean``, ``spectrum_members`` (u^2) and
          ``spectrum_distance`` (mean of \|log10(members / reference)\|);
        - of the data, for models of noisy images whose input is known: ``chi_squared(region_y, region_x)``, the mean of
          ``(y - A x)^2 / variance of the noise`` in squares of the image, averaged over members, which should be about
          1, within ``chi_squared_lower`` and ``chi_squared_upper`` in 99% of the regions; ``chi_squared_inside``, the
          share of regions where it is. Below the band, members reproduce noise; above it, they contradict the input.
          If the blur of the image was not given to `sample`, the one with which each member explains the input best
          is taken: ``fitted_blur`` (high-resolution pixels);
        - of what is invented: ``open_share(y, x)``, the diagonal of ``P = I - A+ A``, which is the share of a pixel
          that the input leaves open; ``range_variance``, ``null_variance`` and ``range_null_covariance(band, y, x)``
          (u^2), the raw variance of the members in the range of ``A+`` and in the null space of A, and the covariance
          of both. In each pixel, the variance is ``range_variance + null_variance + 2 range_null_covariance``. The
          covariances sum to 0 over an image, where A+ is an exact pseudo-inverse. ``null_share`` is the part of the
          variance that the input has no say in. Where A was not the same for all members, its median is taken.

        With one member, ``crps`` is the absolute error, and scores that need spread are NaN, as are scores of windows
        or patches if the image is too small.

    Raises
    ------
    InvalidProduct
        When `ds` is not a complete product, or lacks members and `img` is missing, or the reference lies on another
        grid.
    InvalidArgument
        When the reference has another size, a level lies outside (0, 1), or an argument is of another kind.
    BandMismatch
        When the reference has another number of bands.

    References
    ----------
    T. Gneiting, A. E. Raftery, "Strictly proper scoring rules, prediction, and estimation", 2007,
    doi:10.1198/016214506000001437. V. Fortin et al., "Why should ensemble spread match the RMSE of the ensemble mean?",
    2014, doi:10.1175/JHM-D-14-0008.1. `bayesr.scoring.rules` and `bayesr.scoring.diagnostics` name more.

    Examples
    --------
    >>> import bayesr, numpy as np
    >>> truth = np.tile(np.arange(32, dtype=np.uint8)[:, None], (32, 1, 3))
    >>> ds = bayesr.sample(truth[::4, ::4], n=4)
    >>> scores = bayesr.score(ds, truth)
    >>> scores["crps"].dims, scores["rank_histogram"].sizes["rank"]
    (('band', 'y', 'x'), 5)
    """
    given = {"levels": levels, "dims": dims, "model": model, "seed": seed, "progress": progress, "noise": noise}
    checked = arguments.check(given, optional=("model",))
    levels, dims, seed, progress, noise = (checked[name] for name in ("levels", "dims", "seed", "progress", "noise"))
    whole = _product(ds)
    truth = read_reference(whole, reference, dims)
    case = case_of(whole, truth)
    low = _input(whole, img)
    operator = from_description(json.loads(product.attribute(whole, "forward_operator")))
    instrument, step = Instrument.of(whole), product.quantisation_step_of(whole)
    half_widths, source = half_widths_of(whole, levels, model)
    with temporary_folder() as folder:
        members = members_of(whole, img, model, folder, progress)
        seen = low if low is not None else _stored_input(whole)
        steps = len(windows(members)) + members.shape[0] * (2 * members.shape[1] + 1)
        with show_progress("scoring", steps, progress) as advance:
            scores = score_members(case, members, seed, advance)
            scores |= score_consistency(case, members, operator, low, advance)
            of_data, assumed = check_data(instrument, members, seen, noise, step, case.valid, advance)
            parts = split_variance(instrument.typical, members, case.valid, advance)
            scores |= of_data | parts | {"null_share": null_share(parts)}
    scores |= score_mean(case) | score_intervals(case, half_widths) | score_std(case)
    scores |= {"rank": np.arange(case.n + 1), "removed": REMOVED}
    settings = {"interval_source": source, "seed": seed, "data_check": assumed}
    return dataset(case, scores, truth, settings, low is not None)


def _product(given: xr.Dataset | str | os.PathLike[str]) -> xr.Dataset:
    ds = open_product(given) if isinstance(given, str | os.PathLike) else product.canonical(given)
    if ds is None:
        raise StoreFailed(
            f"{given} is not the store of a product: check the path (the working directory is {Path.cwd()})."
        )
    product.require(ds, "mean", "variance", "std", "lower", "upper")
    n = int(product.attribute(ds, "n"))
    if "samples" in ds and ds.sizes["realization"] != n:
        raise InvalidProduct(
            f"The product holds {ds.sizes['realization']} of its {n} members, but its mean and intervals "
            "describe all of them: give the product with all members."
        )
    return ds


def _input(ds: xr.Dataset, img: Any) -> images.Image | None:
    """Read the image that was sampled; None if the product does not cover all of it, pixel by pixel."""
    if img is None:
        return None
    provenance = product.Provenance.from_dataset(ds)
    low = image_of(provenance, img)
    return low if product.covers(ds, low.data, provenance.scale) else None


def _stored_input(ds: xr.Dataset) -> images.Image | None:
    """Return the copy of the image in the store of a product that covers all of it."""
    try:
        provenance = product.Provenance.from_dataset(ds)
        low = image_of(provenance, None, ds)
    except BayesrError:
        return None
    return low if product.covers(ds, low.data, provenance.scale) else None


def half_widths_of(
    ds: xr.Dataset, levels: Sequence[float], model: str | Path | Model | None
) -> tuple[dict[float, float | None], str]:
    """Return half the width of the interval at each level, in standard deviations, and where the widths come from.

    It is None for the level of the product, whose interval is used, and NaN for levels that the calibration does not
    support.
    """
    own, n = float(product.attribute(ds, "level")), int(ds.attrs["n"])
    widths: dict[float, float | None] = {level: None for level in levels if math.isclose(level, own)}
    try:
        found = model_of(product.Provenance.from_dataset(ds), model)
        calibration, source = found.calibration, f"the calibration of {found.name}"
    except BayesrError:
        if model is not None:
            raise
        calibration, source = Calibration(), "Student's t on std, since the model of the product was not found"
    for level in levels:
        if level not in widths:
            try:
                widths[level] = calibration.half_width(level, n)
            except InvalidArgument:
                widths[level] = math.nan
    return dict(sorted(widths.items())), f"level {own:g}: the product's own; others: {source}"
