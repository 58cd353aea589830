"""Scores and times of models that several tables compare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

import bayesr
from bayesr.scoring.rules import energy_score, fair_crps
from bayesr_bench import measures, timing
from bayesr_bench.measures import Scores
from bayesr_bench.protocol import psnr, psnr_ssim
from bayesr_bench.sets import SCALE, Answer, sample

SHOWN = 4
"""Members whose own PSNR and power are averaged."""
ROUNDS = 5
"""Repetitions of a timing."""
COMPARED = ("CRPS", "energy score")
"""Scores that are compared with the reference, image by image."""
ESTIMATORS = (
    "CRPS and energy score fair; energy score of 8x8 patches, divided by the root of the number of their values; of a "
    "point estimator the absolute error, and the norm of the error; grey levels, all bands; means over images, ± their "
    "standard error"
)
LOW_RESOLUTION = "of the worst output of the worst image, rounded to 8 bits, under the forward operator"
"""The note on LR-PSNR."""
DIFFERENCE = "image by image, then averaged, with the standard error; below 0 is better"
"""The note on differences from the reference."""

Row = dict[str, Any]
Times = Mapping[str, tuple[float, float]]
"""For each model the seconds that its outputs take, and their ratio to those of the reference."""


def scores_of(model: bayesr.Model, found: Answer, grey: bool) -> dict[str, float]:
    """Return the scores of one image, in grey levels.

    For a single output the CRPS is the absolute error and the energy score is the norm of the error.

    Parameters
    ----------
    model : Model
        The model whose forward operator gives the LR-PSNR.
    found : Answer
    grey : bool
        Whether the file is grey, and PSNR is of its values.
    """
    members, truth = found.members, found.truth
    mean, true = (image.transpose(1, 2, 0) for image in (found.mean, truth))
    row = dict(zip(("PSNR", "SSIM"), psnr_ssim(mean, true, grey), strict=True))
    row["member PSNR"] = float(np.mean([psnr_ssim(x.transpose(1, 2, 0), true, grey)[0] for x in members[:SHOWN]]))
    row["CRPS"], row["energy score"] = fair_crps(members, truth), energy_score(members, truth)
    row |= dict.fromkeys(("covered", "width", "spread/skill"), float("nan"))
    if len(members) > 1:
        row["covered"] = measures.coverage(truth, found.lower, found.upper)
        row["width"] = measures.width(found.lower, found.upper)
        row["spread/skill"] = measures.spread_skill(members, found.mean, truth)
    row["LR-PSNR"] = measures.lr_psnr(members, model.forward_operator, found.low)
    return row


def forecast_scores(found: Answer, grey: bool, scale: int = SCALE) -> dict[str, float]:
    """Return the PSNR of the mean, and the scores of the members and of their interval, for one image.

    Parameters
    ----------
    found : Answer
    grey : bool
        Whether the file is grey, and PSNR is of its values.
    scale : int
        Pixels that the PSNR leaves out at the border.
    """
    mean, true = (image.transpose(1, 2, 0) for image in (found.mean, found.truth))
    return {
        "PSNR": psnr(mean, true, grey, scale),
        "fair CRPS": fair_crps(found.members, found.truth),
        "covered": measures.coverage(found.truth, found.lower, found.upper),
        "width": measures.width(found.lower, found.upper),
        "spread/skill": measures.spread_skill(found.members, found.mean, found.truth),
    }


def averaged(scores: Scores, figures: Sequence[str]) -> Row:
    """Return means over images; of LR-PSNR the minimum. A figure that any image lacks is NaN."""
    return {figure: float((np.min if figure == "LR-PSNR" else np.mean)(scores[figure])) for figure in figures}


def compared(scores: Scores, reference: Scores | None, name: str) -> Row:
    """Return the means of `COMPARED`, and their differences from the reference of this name, with standard errors.

    The differences are NaN without a reference, and for the reference itself.
    """
    other = None if reference is scores else reference
    row: Row = {}
    for figure in COMPARED:
        row |= measures.averages({figure: scores[figure]})
        row |= measures.differences(scores, other, name, [figure])
    return row


def rounded_cells(rows: Sequence[Row]) -> list[Row]:
    """Round the figures of rows, so that statements about them agree with the cells of the table."""
    return [{k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()} for row in rows]


def seconds_of(
    models: Mapping[str, bayesr.Model], reference: str, n: int, rounds: int
) -> dict[str, tuple[float, float]]:
    """Time all outputs of a 64x64 image by each model, in turn with the reference.

    Returns
    -------
    dict of str to tuple of float
        For each model the median of the seconds, and the median of their ratios to the reference's, which is NaN
        if the reference is not among the models.
    """
    image = timing.example()[:64, :64]

    def draw(model: bayesr.Model) -> None:
        sample(model, image[..., : model.bands], n if model.generator.stochastic else 1)

    found = {}
    for name, model in models.items():
        over, milliseconds, _ = timing.ratio(partial(draw, model), partial(draw, models.get(reference, model)), rounds)
        found[name] = milliseconds / 1e3, over if reference in models else float("nan")
    return found
