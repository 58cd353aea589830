"""Calibration of a trained model on held-out image pairs."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesr.calibration.calibration import Calibration
from bayesr.calibration.coverage import CoverageRecord
from bayesr.calibration.factor import FactorFit
from bayesr.calibration.input_rules import fit_inputs
from bayesr.calibration.intervals import LAMBDAS, images_for, missed_curve
from bayesr.errors import InvalidArgument, NotStochastic
from bayesr.isolation import isolated
from bayesr.model.model import Model, load
from bayesr.product import arguments
from bayesr.progress import Advance
from bayesr.progress import progress as show_progress
from bayesr.training.held_out import HeldOutPair, checksum, read_pairs
from bayesr.training.wald import ASSUMPTION, wald_pairs
from bayesr.version import __version__

MEMBER_COUNTS = (2, 4, 8, 16, 32, 128)
"""Ensemble sizes for which interval widths are fitted; others are interpolated."""
_REFERENCE_COUNT = 32
"""Ensemble size of the factor on the standard deviation and of the coverage record."""


@isolated
def calibrate(
    model: str | Path | Model,
    pairs: Iterable[tuple[Any, Any]] | None = None,
    *,
    images: Iterable[Any] | None = None,
    levels: Sequence[float] = (0.5, 0.8, 0.9, 0.95),
    source: str = "",
    seed: int = 0,
    dims: Sequence[str] | None = None,
    value_range: tuple[float, float] | None = None,
    progress: bool | None = None,
) -> Model:
    """Fit the calibration of a model on held-out pairs, or on images without a truth.

    One random half of the pairs fits the factor on the standard deviation. The other half fits the interval widths, for
    2 to 128 members, and the record of empirical coverage (`bayesr.calibration.calibration.Calibration.dataset`). With
    20 pairs or more, all low-resolution images fit the out-of-distribution check (`bayesr.calibration.inputs`).

    Parameters
    ----------
    model : str, Path or Model
        Name of a bundled model, path of a file, or a model. It must be stochastic.
    pairs : iterable of (low, high)
        Images that `bayesr.sample` takes, both in the same units. The high-resolution one has `scale` times as many
        pixels along each axis. None may be a training image; 100 pairs or more are advised.
    images : iterable of images
        Instead of pairs, images that `bayesr.sample` takes, at the resolution at which they were taken. They are
        reduced once more by the model's forward operator, with the blur, noise and compression that it was trained for,
        and are their own truth (Wald's protocol). Intervals then hold as far as errors are alike at both scales: the
        model's card and its products say so.
    levels : sequence of float
        Levels of intervals, in (0, 1). A level L needs 2 L / (1 - L) pairs. Coverage is recorded at these and at 0.1,
        0.2, ..., 0.9.
    source : str
        Description of the pairs for the model's metadata.
    seed : int
        Seed of members and halves.
    dims, value_range, progress
        As in `bayesr.sample`, for every image.

    Returns
    -------
    Model
        The same network with its calibration. ``.save(path)`` writes it.

    Raises
    ------
    NotStochastic
        If the model is a point estimator.
    InvalidArgument
        Before any work, if there are too few pairs for the levels or sizes do not fit, or for both pairs and images.
    BayesrError
        One of its subclasses, if an input cannot be read as an image.

    References
    ----------
    L. Wald, T. Ranchin, M. Mangolini, "Fusion of satellite images of different spatial resolutions: assessing the
    quality of resulting images", 1997, Photogrammetric Engineering & Remote Sensing 63(6), 691-699.
    """
    checked = arguments.check(
        {"model": model, "levels": levels, "seed": seed, "dims": dims, "value_range": value_range, "progress": progress}
    )
    levels, seed, dims, value_range = (checked[name] for name in ("levels", "seed", "dims", "value_range"))
    model = load(model)
    _check_model(model)
    if (pairs is None) == (images is None):
        raise InvalidArgument("Give pairs of images, or images= without a truth, and not both.")
    given: list[Any] = list(images if pairs is None else pairs)  # type: ignore[arg-type]
    _check_number(len(given), levels, "images" if pairs is None else "pairs")
    if pairs is None:
        held_out = wald_pairs(model, given, seed, dims, value_range)
        source = f"{source or f'{len(given)} images'}, reduced once more, {ASSUMPTION}"
    else:
        held_out = read_pairs(model, given, dims, value_range)
    order = np.random.default_rng(seed).permutation(len(held_out))
    half = (len(held_out) + 1) // 2
    for_factor, for_intervals = ([held_out[i] for i in part] for part in (order[:half], order[half:]))
    uncalibrated = replace(model, calibration=Calibration(), inputs=None)
    members = len(for_factor) * _REFERENCE_COUNT + len(for_intervals) * sum(MEMBER_COUNTS)
    with show_progress("calibrating", members, progress) as advance:
        spread, factor = _fit_factor(uncalibrated, for_factor, seed, advance)
        scaled = replace(uncalibrated, calibration=Calibration(spread, factor))
        missed, record = _measure_intervals(scaled, for_intervals, seed, advance)
    provenance = {
        "factor_images": len(for_factor),
        "members": list(MEMBER_COUNTS),
        "pairs_sha256": checksum(held_out),
        "seed": seed,
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
        "bayesr_version": __version__,
        "model": model.name,
        "model_sha256": model.sha256,
    }
    calibration = Calibration(
        spread,
        factor,
        missed,
        len(for_intervals),
        source or f"{len(held_out)} pairs",
        provenance,
        record.tables(levels),
    )
    # Reduced images are another domain than the images that the model is for.
    usual = (pair.low if images is None else pair.high for pair in held_out)
    inputs = fit_inputs((image.scaled() for image in usual), model.bands)
    return replace(model, calibration=calibration, inputs=inputs)


def _check_model(model: Model) -> None:
    """Refuse point estimators."""
    if not model.generator.stochastic:
        raise NotStochastic(
            f"{model.name} is a point estimator: it has no spread that could be calibrated. Calibrate a model whose "
            "recipe draws members."
        )


def _check_number(count: int, levels: Sequence[float], what: str) -> None:
    needed = max([4, *(2 * images_for(level) for level in levels)])
    if count < needed:
        purpose = f"for the level {max(levels):g}" if needed > 4 else "on"
        raise InvalidArgument(
            f"{count} {what} are too few to calibrate {purpose}: give at least {needed}, better 100. Half of them "
            "fit the intervals; lower levels need fewer."
        )


def _fit_factor(
    model: Model, pairs: Sequence[HeldOutPair], seed: int, advance: Advance
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Fit the factor on the standard deviation; return raw standard deviations and the factor at each."""
    fit = FactorFit()
    for pair in pairs:
        error, raw, _ = pair.errors(model, _REFERENCE_COUNT, seed)
        fit.add(raw**2, error, _REFERENCE_COUNT)
        advance(_REFERENCE_COUNT)
    return fit.fit()


def _measure_intervals(
    model: Model, pairs: Sequence[HeldOutPair], seed: int, advance: Advance
) -> tuple[dict[int, NDArray[np.floating]], CoverageRecord]:
    """Measure the fraction of missed pixels at `LAMBDAS` for every ensemble size, and the coverage."""
    record = CoverageRecord(_REFERENCE_COUNT, model.scale)
    missed: dict[int, NDArray[np.floating]] = {count: np.zeros(len(LAMBDAS)) for count in MEMBER_COUNTS}
    for pair in pairs:
        for count in MEMBER_COUNTS:
            error, std, quantisation_step = pair.errors(model, count, seed)
            missed[count] += missed_curve(std, error, quantisation_step) / len(pairs)
            if count == _REFERENCE_COUNT:
                record.add(std, error, quantisation_step)
            advance(count)
    return missed, record
