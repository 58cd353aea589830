"""Compare plausible vessel masks of retinas with those of two annotators.

    bayesr bench annotators --data FOLDER --keep MODELS

FOLDER holds CHASE_DB1 as ``chase_db1/hr``, ``chase_db1/vessel_1st`` and ``chase_db1/vessel_2nd``: 28 images, both
eyes of 14 children. Every system is trained once for each fold of children, and measured on the children that it
has not seen.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bayesr.errors import InvalidArgument
from bayesr.networks.segmenters.annotators import AnnotatorEnsemble
from bayesr.networks.segmenters.mobile_unet import MobileUNet
from bayesr.networks.segmenters.probabilistic_unet import ProbabilisticUNet
from bayesr.scoring.paired import compare
from bayesr.segmentation.agreement import correlation, evaluate
from bayesr.segmentation.cases import Case
from bayesr.segmentation.fit import fit, folds
from bayesr.segmentation.segmenter import Segmenter, load
from bayesr_bench.options import data_option, out_option
from bayesr_bench.record import error_of_mean, record
from bayesr_bench.retina import FACTOR, retina

SIZES = {"width": 0.5, "depth": 3}
"""Of every U-Net: half of MobileNetV2's channels, down to an eighth of the size."""
RATE, FURTHER_RATE = 5e-3, 3e-3
"""The highest learning rates: of the U-Net that all systems begin with, and of their own training."""
REFERENCE = "U-Net"
_RESAMPLES = 500

Row = dict[str, Any]
Array = NDArray[Any]
Network = MobileUNet | ProbabilisticUNet | AnnotatorEnsemble


@dataclass(frozen=True)
class System:
    """A network for so many annotators, how it is trained, and how masks are drawn from it, by the names of rows."""

    make: Callable[[int], Network]
    loss: str
    optimiser: str
    drawn: Mapping[str, Callable[[nn.Module], nn.Module]]


# -- what is compared ----------------------------------------------------------------------------


class Drawn(nn.Module):
    """A network whose plausible maps are masks: of each of its maps the pixels that reach a random threshold.

    A threshold for every pixel draws pixels independently, each as likely as the map says. One threshold for the
    whole mask keeps these odds, too, but draws masks of which each holds all smaller ones.
    """

    def __init__(self, network: nn.Module, independent: bool) -> None:
        super().__init__()
        self.network, self.independent = network, independent
        self.architecture = network.architecture

    def probability(self, x: Tensor) -> Tensor:
        """The network's, `n x outputs x h x w`."""
        found: Tensor = self.network.probability(x)  # type: ignore[operator]
        return found

    def maps(self, x: Tensor, count: int, generator: torch.Generator | None = None) -> Tensor:
        """Masks, `n x count x outputs x h x w`."""
        p: Tensor = self.network.maps(x, count, generator)  # type: ignore[operator]
        sizes = p.shape[2:] if self.independent else (1, 1, 1)
        return (torch.rand(len(x), count, *sizes, generator=generator) < p).float()


def systems(beta: float) -> dict[str, System]:
    """All of them, by name, for cases of one band."""
    return {
        REFERENCE: System(
            lambda annotators: MobileUNet(**SIZES),  # type: ignore[arg-type]
            "bce",
            "adam",
            {
                REFERENCE: lambda network: network,
                "U-Net, pixels drawn independently": lambda network: Drawn(network, independent=True),
                "U-Net, one random threshold": lambda network: Drawn(network, independent=False),
            },
        ),
        "Probabilistic U-Net": System(
            lambda annotators: ProbabilisticUNet(**SIZES, beta=beta),  # type: ignore[arg-type]
            "bce",
            "adam",
            {
                "Probabilistic U-Net": lambda network: network,
                "Probabilistic U-Net, one random threshold": lambda network: Drawn(network, independent=False),
            },
        ),
        "annotator ensemble": System(
            lambda annotators: AnnotatorEnsemble(**SIZES, annotators=annotators),  # type: ignore[arg-type]
            "tversky",
            "nadam",
            {"annotator ensemble": lambda network: network},
        ),
    }


# -- training and measuring ----------------------------------------------------------------------


@dataclass(frozen=True)
class Terms:
    """What networks of a table have in common; ``keep`` is the folder for them."""

    steps: int
    further: int
    batch: int
    patch: int
    seed: int
    keep: Path


def measured(
    systems: Mapping[str, System], fold: tuple[Sequence[Case], Sequence[Case]], k: int, n: int, terms: Terms
) -> list[Row]:
    """`evaluate` of all systems on the k-th fold's held-out cases, with a ``system`` in every row.

    A U-Net is trained first, which all of them begin with; so what differs comes from `further` steps.
    """
    training, held_out = fold
    begin = _trained(f"begin-{k}", MobileUNet(**SIZES), "bce", "adam", training, k, terms, terms.steps, RATE)  # type: ignore[arg-type]
    rows: list[Row] = []
    for name, system in systems.items():
        network = system.make(len(training[0].masks))
        if isinstance(network, MobileUNet):
            network.load_state_dict(begin.network.state_dict())
        else:
            network.begin_with(begin.network)  # type: ignore[arg-type]
        place = f"{name.lower().replace(' ', '-')}-{k}"
        begun = {"begun with": begin.sha256}
        segmenter = _trained(
            place, network, system.loss, system.optimiser, training, k, terms, terms.further, FURTHER_RATE, begun
        )
        for row_name, wrap in system.drawn.items():
            wrapped = replace(segmenter, network=wrap(segmenter.network))
            found = evaluate(wrapped, held_out, n, seed=terms.seed + k)
            rows += [{"system": row_name, "fold": k} | row for row in found]
        click.echo(f"{name}, fold {k + 1}: done", err=True)
    return rows


def _trained(
    place: str,
    network: SegmentationNetwork,
    loss: str,
    optimiser: str,
    training: Sequence[Case],
    k: int,
    terms: Terms,
    steps: int,
    rate: float,
    begun: Mapping[str, str] | None = None,
) -> Segmenter:
    """The segmenter in a file, which must have been trained on the same terms; else it is trained."""
    settings: Row = dict(loss=loss, steps=steps, batch=terms.batch, patch=terms.patch, rate=rate, optimiser=optimiser)
    settings |= dict(scaling="percentiles", seed=terms.seed + k)
    known = settings | {"images": [case.name for case in training], "network": network.architecture} | dict(begun or {})
    file = terms.keep / f"{place}.safetensors"
    if not file.exists():
        trained = fit(
            training, network, name=place, checkpoint=file.with_suffix(".npz"), card={"terms": known},
            progress=lambda step, loss: click.echo(f"{place} step {step} loss {loss:.4f}", err=True), **settings,
        )  # fmt: skip
        trained.save(file)
    found = load(file)  # also what was just trained: its weights are rounded in the file
    if json.loads(json.dumps(known)) != found.card.get("terms"):
        raise InvalidArgument(
            f"{file.name} was trained on other terms ({found.card.get('terms')}) than this table's ({known}): keep "
            "this table's networks in another folder, or take that file away."
        )
    return found


# -- the table -----------------------------------------------------------------------------------

COLUMNS = {
    "QUBIQ Dice": "qubiq_dice",
    "Dice": "dice",
    "energy distance": "energy_distance",
    "fair energy distance": "energy_distance_fair",
    "correlation over pixels": "correlation",
    "correlation over marked pixels": "correlation_marked",
}


def rows_of(figures: Sequence[Row]) -> list[Row]:
    """A row for each system, from its figures by image: means ± standard errors, and comparisons with the U-Net."""
    by_system: dict[str, list[Row]] = {}
    for one in figures:
        by_system.setdefault(one["system"], []).append(one)
    for rows in by_system.values():
        rows.sort(key=lambda one: str(one["case"]))
    others = [name for name in by_system if name != REFERENCE]
    p_values = {}
    for unit, of_units in (("images", _values), ("children", _by_group)):
        known = {name: of_units(rows, "energy_distance") for name, rows in by_system.items()}
        found = compare(known, [(name, REFERENCE) for name in others])
        p_values[unit] = {one.first: one for one in found}
    table = []
    for name, rows in by_system.items():
        row: Row = {"system": name, "images": len(rows)}
        for column, figure in COLUMNS.items():
            values = _values(rows, figure)
            row[column], row[f"{column} ±"] = float(np.nanmean(values)), error_of_mean(values)
        predicted, true = (_values(rows, figure) for figure in ("predicted_share", "true_share"))
        row["correlation over images"] = correlation(predicted, true)
        row["correlation over images ±"] = resampled_error(predicted, true, [str(one["group"]) for one in rows])
        row["predicted share"], row["true share"] = float(predicted.mean()), float(true.mean())
        against = p_values["images"].get(name)
        row["energy distance minus U-Net's"] = against.difference if against else float("nan")
        row["effect"] = against.effect if against else float("nan")
        row["p, images"] = against.p_holm if against else float("nan")
        row["p, children"] = p_values["children"][name].p_holm if against else float("nan")
        table.append(row)
    return [{k: float(f"{v:.4g}") if isinstance(v, float) else v for k, v in row.items()} for row in table]


def resampled_error(first: Array, second: Array, groups: Sequence[str]) -> float:
    """The standard error of a correlation, by the bootstrap over groups."""
    random, names = np.random.default_rng(0), sorted(set(groups))
    members = [np.flatnonzero(np.array(groups) == name) for name in names]
    found = []
    for _ in range(_RESAMPLES):
        chosen = np.concatenate([members[i] for i in random.integers(0, len(members), len(members))])
        found.append(correlation(first[chosen], second[chosen]))
    return float(np.nanstd(found, ddof=1)) if np.isfinite(found).sum() > 1 else float("nan")


def _values(rows: Sequence[Row], figure: str) -> Array:
    return np.array([row[figure] for row in rows], float)


def _by_group(rows: Sequence[Row], figure: str) -> Array:
    groups = np.array([row["group"] for row in rows])
    return np.array([_values(rows, figure)[groups == name].mean() for name in sorted(set(groups))])


# -- the command ---------------------------------------------------------------------------------


@click.command()
@data_option
@click.option("--folds", "count", default=3, show_default=True, type=click.IntRange(min=2), help="Of children.")
@click.option("--steps", default=300, show_default=True, type=click.IntRange(min=1), help="Of the first U-Net.")
@click.option("--further", default=200, show_default=True, type=click.IntRange(min=1), help="Steps of each system.")
@click.option("--batch", default=2, show_default=True, type=click.IntRange(min=1), help="Patches a step.")
@click.option("--patch", default=240, show_default=True, type=click.IntRange(min=16), help="Side, in reduced pixels.")
@click.option("--beta", default=1.0, show_default=True, help="Of the Probabilistic U-Net's divergence.")
@click.option("-n", default=16, show_default=True, type=click.IntRange(min=2), help="Plausible masks an image.")
@click.option("--seed", default=0, show_default=True, help="Of folds, weights, patches and masks.")
@click.option(
    "--keep", type=click.Path(path_type=Path, file_okay=False), default=Path("annotators"), show_default=True,
    help="Folder for networks and checkpoints: what is there is not trained again.",
)  # fmt: skip
@out_option
def command(data: Path, count: int, beta: float, n: int, out: Path, **options: Any) -> None:
    """Predicted against true disagreement of two annotators, on retina vessels, cross-validated by child."""
    cases, terms = retina(data), Terms(**options)
    terms.keep.mkdir(parents=True, exist_ok=True)
    figures: list[Row] = []
    for k, fold in enumerate(folds(cases, count, terms.seed)):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(terms.seed + k)
            figures += measured(systems(beta), fold, k, n, terms)
        if k + 1 < count:
            for row in rows_of(figures):  # so that systems can be compared before all is done
                click.echo(json.dumps(row), err=True)
    estimators = "means over images; energy distance fair in masks and annotators"
    notes = _notes(cases, count, n, beta, terms)
    record("annotators", rows_of(figures), notes, out, seed=terms.seed, n=n, estimators=estimators)


def _notes(cases: Sequence[Case], count: int, n: int, beta: float, terms: Terms) -> Row:
    height, width = cases[0].image.shape[1:]
    return {
        "images": f"CHASE_DB1, {len(cases)} images of {len({case.group for case in cases})} children, 2 annotators; "
        f"green band at 1/{FACTOR} of the size ({height} x {width}), means of pixels, masks where at least half of "
        f"the pixels are marked; {count} folds of children",
        "training": f"in each fold a U-Net from random weights, {terms.steps} steps, rate {RATE:g}, cross-entropy with "
        f"both annotators; all systems begin with it and are trained {terms.further} steps more, rate "
        f"{FURTHER_RATE:g} (the QUBIQ study trained pretrained encoders long, at 1e-5): cross-entropy and Adam, but "
        f"Tversky and Nadam for the annotator ensemble; {terms.batch} patches of {terms.patch} x {terms.patch} a "
        f"step; seed {terms.seed}; beta = {beta:g}; U-Nets of width {SIZES['width']:g}, depth {SIZES['depth']}",
        "QUBIQ Dice": "mean over thresholds 0.1, ..., 0.9 of the Dice of the annotators' mean map with the "
        "probability map (of the Probabilistic U-Net the mean of 16 draws)",
        "Dice": "of the probability map from 0.5 on, mean over annotators",
        "energy distance": f"generalised, d = 1 - IoU, all pairs as published, n = {n} masks (maps from 0.5 on; of "
        "the annotator ensemble its two in turn); fair: pairs of different masks alone, unbiased in n and in the "
        "number of annotators",
        "correlation": "Pearson's, of predicted p(1-p) with the annotators': over the pixels of an image, all or those "
        "alone that an annotator marked; over images, of the shares of pixels in which annotators are expected to "
        "differ and do",
        "±": "standard error over images; of the correlation over images by the bootstrap over children",
        "p": "Wilcoxon's signed-rank test of the energy distance against the U-Net's, over images or over children "
        "(means of both eyes), Holm-corrected over rows; effect: matched-pairs rank-biserial, negative where lower",
    }
