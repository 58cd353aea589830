"""Power spectra of the members, and how well they reproduce the low-resolution image."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from bayesr.images import Image
from bayesr.observe import ForwardOperator
from bayesr.scoring import diagnostics
from bayesr.scoring.case import Case

Doubles = NDArray[np.float64]


def score_consistency(
    case: Case, members: xr.DataArray, operator: ForwardOperator, low: Image | None, advance: Callable[[float], None]
) -> dict[str, Any]:
    """Compute power spectra and the LR-PSNR, one band of one member at a time.

    Members are ``realization x band x y x x``. `low` is the low-resolution image, by default the reference under the
    forward operator. `advance` is called with 1 after each.
    """
    mean = case.ds["mean"].to_numpy()
    fits = all(size % operator.scale == 0 for size in case.truth.shape[-2:])
    squares, known = np.zeros(case.n), 0
    spectra: list[list[Doubles]] = [[], [], []]
    frequency = np.empty(0)
    for band in range(len(mean)):
        truth = case.filled(case.truth[band])
        if fits:
            target = _degraded(case, operator, truth) if low is None else low.data[band].to_numpy().astype(np.float64)
            missing = operator.observe(torch.from_numpy((~case.valid).astype(np.float64))[None])[0].abs().numpy()
            clear = missing < 1e-9  # low-resolution pixels that do not depend on missing ones
            clear &= True if low is None or low.missing is None else ~low.missing[band]
            known += int(clear.sum())
        power = []
        for i in range(case.n):
            image = case.filled(members[i, band].to_numpy())
            power.append(diagnostics.spectrum(image, case.valid)[1])
            if fits:
                squares[i] += np.square(_degraded(case, operator, image) - target)[clear].sum()
            advance(1)
        frequency, of_truth = diagnostics.spectrum(truth, case.valid)
        of_mean = diagnostics.spectrum(case.filled(mean[band]), case.valid)[1]
        for collected, spectrum in zip(spectra, (of_truth, of_mean, np.mean(power, 0)), strict=True):
            collected.append(spectrum)
    reference, of_mean, of_members = (np.mean(collected, 0) for collected in spectra)
    with np.errstate(divide="ignore"):
        distance = np.abs(np.log10(diagnostics.ratio(of_members, reference, 1.0)))
    return {
        "lr_psnr": diagnostics.lr_psnr(squares / known, case.peak) if known else math.nan,
        "frequency": frequency,
        "spectrum_reference": reference,
        "spectrum_mean": of_mean,
        "spectrum_members": of_members,
        "spectrum_distance": float(distance.mean()),
    }


def _degraded(case: Case, operator: ForwardOperator, image: Doubles) -> Doubles:
    """Return ``A x``. For integer data, x and A x are rounded and clipped, as in files."""
    if case.bounds is not None:
        image = np.clip(np.rint(image), *case.bounds)
    low: Doubles = operator.observe(torch.from_numpy(image)[None])[0].numpy()
    return low if case.bounds is None else np.clip(np.rint(low), *case.bounds)
