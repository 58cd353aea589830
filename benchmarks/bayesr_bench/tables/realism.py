"""Compare members with the truth: power by frequency, a classifier two-sample test, and scores.

    bayesr bench realism --data FOLDER --models natural-x4 --models another.safetensors

FOLDER holds ``bsd100`` (or ``bsd100_jpg``), ``set14`` and ``set5``. The table answers three questions. Does a member
have the power of the truth at every spatial frequency, and no more colour than the truth? Can a small network learn to
distinguish members from the truth on images that it was not trained on? How good are members as a forecast, by pixels
and by patches? The rows of bicubic upsampling, of the mean, and of the truth itself check the instruments.

All images are rounded to 8 bits first, as files hold them. For the network, the truth is projected onto the
low-resolution image, ``A+ y + P x``, which moves it by the rounding of y alone. Otherwise the network could identify
members by their consistency with the rounded y.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any

import click
import numpy as np
import torch

from bayesr.observe import ForwardOperator
from bayesr.scoring.rules import energy_score, fair_crps
from bayesr_bench.harness import Result, decimals, option, table
from bayesr_bench.measures import averages
from bayesr_bench.models import measured
from bayesr_bench.options import Data, Limit, Models, Seed
from bayesr_bench.protocol import upsample
from bayesr_bench.record import error_of_mean
from bayesr_bench.sets import PHOTOGRAPHS, SET_FOLDERS, Answer, answer, read_set
from bayesr_bench.spectra import EDGES, WHOLE, Array, decades, rounded
from bayesr_bench.two_sample import BATCH, PATCH, STEPS, TESTED, Pair, distinguishability

JOINED = 4
"""Frequency bands that are averaged in a column of the table."""
SHOWN = 4
"""Members whose power is averaged."""
ITSELF = "truth against itself"

Figures = dict[str, Any]
Shows = Mapping[str, Callable[[Answer], Array]]
"""The images of each row, of shape ``n x band x y x x``, as functions of a model's answer."""


def of_power(shown: Sequence[Array], truth: Sequence[Array]) -> Figures:
    """Return the columns of power: in decades over the truth's for each image, averaged over images."""

    def curves_of(part: Callable[[Array], Array]) -> Array:
        found = np.array([decades(part(a), part(b[None])[0]) for a, b in zip(shown, truth, strict=True)])
        found[~np.isfinite(found)] = np.nan  # there is no power, as where an image has no colour
        return found

    curves = curves_of(lambda x: x)
    curve = np.nanmean(curves, 0)
    worst = int(np.nanargmax(np.abs(curve[: np.searchsorted(EDGES, WHOLE)])))
    row: Figures = {
        f"largest to {WHOLE:g}": float(curve[worst]),
        f"largest to {WHOLE:g} ±": error_of_mean(curves[:, worst]),
    }
    for start in range(0, len(curve), JOINED):
        name = f"power {EDGES[start]:.1f} to {EDGES[start + JOINED]:.1f}"
        row[name] = float(np.nanmean(curve[start : start + JOINED]))
    row["power of colour"] = np.nan
    if truth[0].shape[0] > 1:
        # The deviation of the bands from their average, above the frequencies of the input.
        colour = curves_of(lambda x: x.astype(np.float32) - x.mean(-3, keepdims=True, dtype=np.float32))
        known = colour[:, np.searchsorted(EDGES, 0.125) :]
        row["power of colour"] = float(np.nanmean(known)) if np.isfinite(known).any() else np.nan
    return row


def row_of(name: str, pairs: Sequence[Pair], truth: Sequence[Array], seed: int) -> Figures:
    """Return a row of the table.

    Parameters
    ----------
    name : str
    pairs : sequence of Pair
        The images of the row, with projected truths.
    truth : sequence of ndarray
        Truths that are not projected, for scores and power.
    seed : int
    """
    shown = [pair.images for pair in pairs]
    row: Figures = {"shown": name} | of_power([images[:SHOWN] for images in shown], truth)
    row["AUC"], row["AUC ±"] = distinguishability(pairs, seed)
    row["AUC, grey"], row["AUC, grey ±"] = row["AUC"], row["AUC ±"]
    if truth[0].shape[0] > 1:
        row["AUC, grey"], row["AUC, grey ±"] = distinguishability([pair.grey() for pair in pairs], seed)
    for figure, score in (("energy score 8x8", energy_score), ("fair CRPS", fair_crps)):
        if name == ITSELF:
            row |= {figure: np.nan, f"{figure} ±": np.nan}
        else:
            row |= averages({figure: [score(images, true) for images, true in zip(shown, truth, strict=True)]})
    return row


def pairs_of(found: Answer, shows: Shows, operator: ForwardOperator) -> dict[str, Pair]:
    """Return the images of each row with the projected truth, for one answer of a model."""
    y = torch.from_numpy(found.low.astype(np.float32)).permute(2, 0, 1)
    projected = rounded(operator.project_onto_data_(torch.from_numpy(found.truth.copy()), y).numpy())
    context = operator.invert(y).numpy()
    shown = {name: rounded(show(found)) for name, show in shows.items()}
    if ITSELF in shown:
        shown[ITSELF] = projected[None]
    return {name: Pair(images, projected, context) for name, images in shown.items()}


def bicubic(found: Answer) -> Array:
    """Return bicubic upsampling of the low-resolution image, as one image."""
    image: Array = upsample(found.low, found.truth.shape[-1] // found.low.shape[1]).transpose(2, 0, 1)[None]
    return image


def rows_of(answers: Iterable[Answer], shows: Shows, operator: ForwardOperator, seed: int) -> list[Figures]:
    """Return the rows of one model."""
    pairs: dict[str, list[Pair]] = {name: [] for name in shows}
    truth = []
    for found in answers:
        truth.append(rounded(found.truth))
        for name, pair in pairs_of(found, shows, operator).items():
            pairs[name].append(pair)
    rows = []
    for name in shows:
        rows.append(row_of(name, pairs.pop(name), truth, seed))
        click.echo(f"{name} done", err=True)
    return rows


@table(
    rounding=decimals(4),
    estimators="fair energy score of 8x8 patches, divided by the root of the number of their values; fair CRPS; for "
    "one image the norm of the error, and the absolute error; in grey levels, averaged over images",
    notes={
        "power": f"log10 of the power of {SHOWN} members over the truth's, for each image, averaged over images, with "
        "the standard error; Hann window, 20 bands of frequency in cycles per pixel; 'largest' is the band that "
        f"deviates most up to {WHOLE:g}",
        "power of colour": "the same for the deviation of bands from their average, above 0.125 cycles per pixel",
        "AUC": f"of a network that distinguishes {PATCH}x{PATCH} patches, given A+ y, from patches of the truth; "
        f"{STEPS} steps of {BATCH} pairs on half of the images, tested on {TESTED} patches of either class of each "
        "other image; 0.5 means indistinguishable; the standard error is from resampling the tested images; grey: the "
        "average over bands",
    },
)
def command(
    data: Data,
    models: Models = ("natural-x4",),
    sets: Annotated[tuple[str, ...], option(type=click.Choice(list(SET_FOLDERS)))] = PHOTOGRAPHS,
    n: Annotated[int, option("-n", help="Members.")] = 8,
    seed: Annotated[Seed, "Of the members, and of the network."] = 0,
    limit: Limit = None,
    members_only: Annotated[bool, "Leave out the mean, and the rows that check the instruments."] = False,
) -> Result:
    """One row for each kind of image."""
    if "nuclei" in sets and len(sets) > 1:
        raise click.BadParameter("nuclei have one band and photographs three: measure them alone", param_hint="--sets")
    rows: list[Figures] = []
    found = measured(models)
    for one in found:
        pictures = [p for name in sets for p in list(read_set(data, name, one.model.scale).values())[:limit]]
        shows: dict[str, Callable[[Answer], Array]] = {f"{one.label}: members": lambda each: each.members}
        if not members_only:
            shows[f"{one.label}: mean of {n}"] = lambda each: each.mean[None]
        if not members_only and not rows:
            shows |= {"bicubic": bicubic, ITSELF: lambda each: each.truth[None]}
        answers = (answer(one.model, picture, n, seed) for picture in pictures)
        rows += rows_of(answers, shows, one.model.observation, seed)
    notes = {
        "models": ", ".join(f"{one.label} {one.model.sha256[:12]}" for one in found),
        "images": f"{', '.join(sets)}: {len(pictures)} in all; all rounded to 8 bits",
    }
    return Result(rows, notes)
