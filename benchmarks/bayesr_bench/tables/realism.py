"""Compare members with the truth: power by frequency, a classifier two-sample test, and scores.

    bayesr bench realism --data FOLDER --models natural-x4 --models another.safetensors

FOLDER holds ``bsd100`` (or ``bsd100_jpg``), ``set14`` and ``set5``. Three questions. Has a member the power of
the truth at every spatial frequency, and no more colour than it has? Can a small network learn to tell members from the
truth on images that it was not trained on? And how good are members as a forecast, by pixels and by patches? Bicubic
upsampling, the mean, and the truth against itself show that the instruments see what they should.

All images are rounded to 8 bits first, as files hold them. For the network, the truth is projected onto the
low-resolution image, ``A+ y + P x``, which moves it by the rounding of y alone: members reproduce y as it was
rounded, and could be told by that.

References
----------
D. Lopez-Paz, M. Oquab, "Revisiting classifier two-sample tests", 2017, arXiv:1610.06545.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.stats import rankdata
from torch import Tensor, nn

import bayesr
from bayesr.observe import ForwardOperator
from bayesr.scoring.diagnostics import spectrum
from bayesr.scoring.rules import energy_score, fair_crps
from bayesr_bench.options import data_option, models_option, out_option
from bayesr_bench.protocol import upsample
from bayesr_bench.record import error_of_mean, record
from bayesr_bench.sets import PHOTOGRAPHS, SET_FOLDERS, Answer, answer, labels, read_set

EDGES = np.linspace(0, 0.5, 21)
"""Of the bands of spatial frequency, in cycles per pixel."""
JOINED = 4
"""So many of them are a column of the table."""
WHOLE = 0.4
"""The frequency up to which the largest difference is looked for."""
PATCH, STEPS, BATCH, RATE = 32, 400, 32, 4e-3
TESTED = 64
"""Patches of either kind that an image is tested on."""
RESAMPLED = 200
ITSELF = "truth against itself"

Array = NDArray[Any]
Figures = dict[str, Any]


class Exhibit(NamedTuple):
    """What is shown for the truth, `n x band x y x x`; the truth and ``A+ y``, `band x y x x`; all in grey levels."""

    shown: Array
    truth: Array
    context: Array

    def grey(self) -> Exhibit:
        """The average over bands."""
        return Exhibit(*(part.mean(-3, keepdims=True, dtype=np.float32) for part in self))


# -- power by frequency ------------------------------------------------------------------------


def powers(images: Array) -> Array:
    """The power in every band of frequency, averaged over images, `n x band x y x x`, and their bands."""
    total: Any = 0
    for plane in images.reshape(-1, *images.shape[-2:]).astype(np.float64):
        frequency, power = spectrum(plane, np.ones(plane.shape, bool))
        where = np.minimum(np.searchsorted(EDGES, frequency, side="right") - 1, len(EDGES) - 2)
        count = np.bincount(where, minlength=len(EDGES) - 1)
        with np.errstate(invalid="ignore"):  # an image of few pixels has not every frequency
            total = total + np.bincount(where, power, len(EDGES) - 1) / count
    found: Array = total / np.prod(images.shape[:2])
    return found


def of_power(shown: Sequence[Array], truth: Sequence[Array]) -> Figures:
    """Power over the truth's, by image in decades, averaged over images."""

    def decades(of: Callable[[Array], Array]) -> Array:
        pairs = [(powers(of(a)), powers(of(b[None]))) for a, b in zip(shown, truth, strict=True)]
        with np.errstate(divide="ignore", invalid="ignore"):
            found: Array = np.log10([a / b for a, b in pairs])
        found[~np.isfinite(found)] = np.nan  # no power at all, as where an image has no colour
        return found

    curves = decades(lambda x: x)
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
        # Of what the bands differ by from their average, above the frequencies that the input has.
        colour = decades(lambda x: x.astype(np.float32) - x.mean(-3, keepdims=True, dtype=np.float32))
        seen = colour[:, np.searchsorted(EDGES, 0.125) :]
        row["power of colour"] = float(np.nanmean(seen)) if np.isfinite(seen).any() else np.nan
    return row


# -- the network that tells them apart ---------------------------------------------------------------


class Judge(nn.Module):
    """Tells (image, A+ y) patches apart. It stays as it is, or its verdicts would not compare.

    It sees what the observation hides and what it shows as separate bands, folded to half the resolution, and
    judges by the average and the variance of its features over a patch.
    """

    def __init__(self, bands: int) -> None:
        super().__init__()

        def layer(inputs: int, outputs: int, size: int = 3, stride: int = 1) -> list[nn.Module]:
            convolution = nn.Conv2d(inputs, outputs, size, stride, 1, bias=False)
            return [convolution, nn.BatchNorm2d(outputs), nn.LeakyReLU(0.2)]

        self.layers = nn.Sequential(*layer(8 * bands, 32), *layer(32, 32), *layer(32, 64, 4, 2), *layer(64, 64))
        self.verdict = nn.Linear(128, 1)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """Logits of being the truth, one a patch; patches `n x band x y x x`, in grey levels."""
        seen = F.pixel_unshuffle(torch.cat([(x - context) / 8, (context - 128) / 64], 1), 2)
        f = self.layers(seen.contiguous(memory_format=torch.channels_last))
        logits: Tensor = self.verdict(torch.cat([f.mean((2, 3)), (f.var((2, 3)) + 1e-2).log()], 1))[:, 0]
        return logits


def cut(exhibits: Sequence[Exhibit], random: np.random.Generator, turned: bool) -> tuple[Tensor, Tensor]:
    """(images, contexts): a patch of what is shown for each exhibit, then one of each truth, at places of their own."""
    images, contexts = [], []
    for true in (False, True):
        for shown, truth, context in exhibits:
            image = truth if true else shown[random.integers(len(shown))]
            top, left = (int(random.integers(size - PATCH + 1)) for size in truth.shape[-2:])
            place = (slice(None), slice(top, top + PATCH), slice(left, left + PATCH))
            pair = [image[place], context[place]]
            if turned:
                quarters, flipped = int(random.integers(4)), bool(random.integers(2))
                pair = [np.rot90(part[:, ::-1] if flipped else part, quarters, (1, 2)) for part in pair]
            images.append(pair[0])
            contexts.append(pair[1])
    return tuple(torch.from_numpy(np.stack(part).astype(np.float32)) for part in (images, contexts))  # type: ignore[return-value]


def area(shown: Array, true: Array) -> float:
    """The area under the ROC curve: how often a true patch has the higher logit; ties count half."""
    ranks = rankdata(np.concatenate([shown, true]))[shown.size :]
    return float((ranks.sum() - true.size * (true.size + 1) / 2) / (shown.size * true.size))


def told_apart(exhibits: Sequence[Exhibit], seed: int) -> tuple[float, float]:
    """(AUC, its standard error): a judge trained on one half of the images and tested on the other.

    The standard error is from resampling the tested images.
    """
    random = np.random.default_rng(seed)
    usable = [e for e in exhibits if min(e.truth.shape[-2:]) >= PATCH]
    if len(usable) < 4:
        return float("nan"), float("nan")
    order = random.permutation(len(usable))
    training, tested = (order[k::2] for k in range(2))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        judge = Judge(usable[0].truth.shape[0]).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = torch.optim.AdamW(judge.parameters(), RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=STEPS)
    for _ in range(STEPS):
        logits = judge(*cut([usable[k] for k in random.choice(training, BATCH)], random, turned=True))
        loss = F.softplus(logits[:BATCH]).mean() + F.softplus(-logits[BATCH:]).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    judge.eval()
    with torch.no_grad():
        logits = [judge(*cut([usable[k]] * TESTED, random, turned=False)).reshape(2, -1).numpy() for k in tested]
    verdicts = np.stack(logits, 1)
    drawn = (random.integers(len(tested), size=len(tested)) for _ in range(RESAMPLED))
    areas = [area(*verdicts[:, which].reshape(2, -1)) for which in drawn]
    return area(*verdicts.reshape(2, -1)), float(np.std(areas, ddof=1))


# -- the table -----------------------------------------------------------------------------------


def row_of(name: str, exhibits: Sequence[Exhibit], truth: Sequence[Array], seed: int) -> Figures:
    """All figures of what is shown; `truth` as it is, which scores and power are of."""
    shown = [exhibit.shown for exhibit in exhibits]
    row: Figures = {"shown": name} | of_power([images[:4] for images in shown], truth)
    row["AUC"], row["AUC ±"] = told_apart(exhibits, seed)
    row["AUC, grey"], row["AUC, grey ±"] = row["AUC"], row["AUC ±"]
    if truth[0].shape[0] > 1:
        row["AUC, grey"], row["AUC, grey ±"] = told_apart([exhibit.grey() for exhibit in exhibits], seed)
    pairs = list(zip(shown, truth, strict=True)) if name != ITSELF else []
    for figure, score in (("energy score 8x8", energy_score), ("fair CRPS", fair_crps)):
        scores = np.array([score(images, true) for images, true in pairs] or [np.nan])
        row[figure], row[f"{figure} ±"] = float(scores.mean()), error_of_mean(scores)
    return row


def rounded(images: Array) -> NDArray[np.uint8]:
    return np.clip(np.rint(images), 0, 255).astype(np.uint8)


def exhibits_of(
    found: Answer, shows: dict[str, Callable[[Answer], Array]], operator: ForwardOperator
) -> dict[str, Exhibit]:
    """Everything that is shown of an answer, beside the projected truth."""
    y = torch.from_numpy(found.low.astype(np.float32)).permute(2, 0, 1)
    projected = rounded(operator.project_onto_data_(torch.from_numpy(found.truth.copy()), y).numpy())
    context = operator.invert(y).numpy()
    shown = {name: rounded(show(found)) for name, show in shows.items()}
    if ITSELF in shown:
        shown[ITSELF] = projected[None]
    return {name: Exhibit(images, projected, context) for name, images in shown.items()}


def enlarged(found: Answer) -> Array:
    """Bicubic upsampling, as one image."""
    image: Array = upsample(found.low, found.truth.shape[-1] // found.low.shape[1]).transpose(2, 0, 1)[None]
    return image


@click.command()
@data_option
@models_option("natural-x4")
@click.option(
    "--sets", multiple=True, type=click.Choice(list(SET_FOLDERS)), default=list(PHOTOGRAPHS), show_default=True
)
@click.option("-n", default=8, show_default=True, help="Members.")
@click.option("--seed", default=0, show_default=True, help="Of the members, and of the network.")
@click.option("--limit", type=int, help="Images per set, for a quick look.")
@click.option("--members-only", is_flag=True, help="Leave out the mean, and what shows that the instruments work.")
@out_option
def command(
    data: Path,
    models: tuple[str, ...],
    sets: tuple[str, ...],
    n: int,
    seed: int,
    limit: int | None,
    members_only: bool,
    out: Path,
) -> None:
    """Members against the truth: power by frequency, a network that tells them apart, and their scores."""
    if "nuclei" in sets and len(sets) > 1:
        raise click.BadParameter("nuclei have one band and photographs three: measure them alone", param_hint="--sets")
    rows: list[Figures] = []
    networks = [bayesr.load(model) for model in dict.fromkeys(models)]
    names = labels(networks)
    for label, model in zip(names, networks, strict=True):
        pictures = [p for name in sets for p in list(read_set(data, name, model.scale).values())[:limit]]
        shows: dict[str, Callable[[Answer], Array]] = {f"{label}: members": lambda found: found.members}
        if not members_only:
            shows[f"{label}: mean of {n}"] = lambda found: found.mean[None]
        if not members_only and not rows:
            shows["bicubic"] = enlarged
            shows[ITSELF] = lambda found: found.truth[None]
        exhibits: dict[str, list[Exhibit]] = {name: [] for name in shows}
        truth = []
        for picture in pictures:
            found = answer(model, picture, n, seed)
            truth.append(rounded(found.truth))
            for name, exhibit in exhibits_of(found, shows, model.observation).items():
                exhibits[name].append(exhibit)
        for name in shows:
            rows.append(row_of(name, exhibits.pop(name), truth, seed))
            click.echo(f"{name} done", err=True)
    rows = [{k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()} for row in rows]
    notes = {
        "models": ", ".join(f"{name} {m.sha256[:12]}" for name, m in zip(names, networks, strict=True)),
        "images": f"{', '.join(sets)}: {len(pictures)} in all; all rounded to 8 bits",
        "power": "log10 of the power of 4 members over the truth's, by image, averaged over images, with the standard "
        "error; Hann window, 20 bands of frequency in cycles per pixel, of which 'largest' is the one farthest off "
        f"up to {WHOLE:g}",
        "power of colour": "the same of what bands differ by from their average, above 0.125 cycles per pixel",
        "AUC": f"of a network that tells {PATCH}x{PATCH} patches with A+ y from the truth's, {STEPS} steps of {BATCH} "
        f"pairs on half of the images, {TESTED} patches of either kind of each of the others; 0.5: not told apart; the "
        "standard error from resampling those; grey: of the average over bands",
    }
    estimators = (
        "fair energy score of 8x8 patches over the root of their values, fair CRPS; of one image the norm of the error "
        "and the absolute error; in grey levels, averaged over images"
    )
    record("realism", rows, notes, out, seed=seed, n=n, estimators=estimators)
