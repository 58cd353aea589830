"""Retina vessels that two annotators drew: who predicts where they differ?

    bayesr bench annotators --data FOLDER --keep MODELS

FOLDER holds CHASE_DB1 as ``chase_db1/hr``, ``chase_db1/vessel_1st`` and ``chase_db1/vessel_2nd``: 28 images, both
eyes of 14 children. Every system is trained from random weights, once for each fold of children, and measured on the
children that it has not seen.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bayesr.bench.record import data_option, error_of_mean, out_option, record
from bayesr.errors import InvalidArgument
from bayesr.networks.annotators import AnnotatorEnsemble
from bayesr.networks.mobile_unet import MobileUNet
from bayesr.networks.probabilistic_unet import ProbabilisticUNet
from bayesr.scoring.paired import compare
from bayesr.segmentation.agreement import correlation, evaluate
from bayesr.segmentation.cases import Case, folders
from bayesr.segmentation.fit import fit, folds
from bayesr.segmentation.segmenter import Segmenter, load

FACTOR = 2
"""Images are taken at half their size, which two processor cores can train on."""
GREEN = 1
"""The band in which vessels stand out most; the only one that networks see."""
SIZES = {"width": 0.5, "depth": 3}
"""Of every U-Net: half of MobileNetV2's channels, down to an eighth of the size."""
RATE = 5e-3
REFERENCE = "U-Net"
_RESAMPLES = 500

Row = dict[str, Any]
Array = NDArray[Any]


@dataclass(frozen=True)
class System:
    """A network, how it is trained, and how masks are drawn from it, by the names of rows."""

    make: Callable[[int], nn.Module]
    loss: str
    optimiser: str
    drawn: Mapping[str, Callable[[nn.Module], nn.Module]]


# -- what is compared ----------------------------------------------------------------------------


class Drawn(nn.Module):
    """A network whose plausible maps are masks, each the pixels of the one map that reach a random threshold.

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
        p = self.probability(x)[:, None]
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
            {"Probabilistic U-Net": lambda network: network},
        ),
        "annotator ensemble": System(
            lambda annotators: AnnotatorEnsemble(**SIZES, annotators=annotators),  # type: ignore[arg-type]
            "tversky",
            "nadam",
            {"annotator ensemble": lambda network: network},
        ),
    }


# -- the images ----------------------------------------------------------------------------------


def retina(data: Path) -> list[Case]:
    """The images of CHASE_DB1 in a folder of data: reduced, in green, with two masks; a child is a group."""
    folder = data / "chase_db1"
    cases = folders(folder / "hr", folder / "vessel_1st", folder / "vessel_2nd")
    small = [reduced(replace(case, image=case.image[GREEN : GREEN + 1]), FACTOR) for case in cases]
    return [replace(case, group=re.sub(r"\D", "", case.name) or case.name) for case in small]


def reduced(case: Case, factor: int) -> Case:
    """A case at a fraction of its size: means of `factor x factor` pixels; a mask where at least half are marked.

    Ties are marked, so that vessels of one pixel, which mostly lie in two of four, do not vanish. What is left over
    at the lower and the right border is cut off.
    """
    height, width = (size // factor for size in case.image.shape[1:])
    if not height or not width:
        raise InvalidArgument(f"{case.name} is too small to be reduced by {factor}: its shape is {case.image.shape}.")

    def means(pixels: Array) -> Array:
        cut = pixels[:, : height * factor, : width * factor].astype(np.float32)
        found: Array = cut.reshape(len(cut), height, factor, width, factor).mean((2, 4))
        return found

    weight = None if case.weight is None else means(case.weight[None])[0]
    return replace(case, image=means(case.image), masks=(means(case.masks > 0) >= 0.5).astype(np.int32), weight=weight)


# -- training and measuring ----------------------------------------------------------------------


def measured(
    name: str, system: System, fold: tuple[Sequence[Case], Sequence[Case]], k: int, n: int, keep: Path, **options: Any
) -> list[Row]:
    """`evaluate` on the k-th fold's held-out cases, with a ``system`` in every row; from `keep` what is there."""
    training, held_out = fold
    place = keep / f"{name.lower().replace(' ', '-')}-{k}"
    segmenter = _trained(place, name, system, training, **options)
    rows: list[Row] = []
    for row_name, wrap in system.drawn.items():
        network = wrap(segmenter.network)
        for row in evaluate(replace(segmenter, network=network), held_out, n, seed=options["seed"]):
            rows.append({"system": row_name, "fold": k} | row)
    return rows


def _trained(
    place: Path, name: str, system: System, training: Sequence[Case], *, seed: int, **options: Any
) -> Segmenter:
    """The segmenter in a file, which must have been trained on the same terms; else it is trained."""
    terms = {"seed": seed, "loss": system.loss, "optimiser": system.optimiser, **options}
    terms["images"] = [case.name for case in training]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = system.make(len(training[0].masks))
    terms["network"] = network.architecture
    file = place.with_suffix(".safetensors")
    if not file.exists():
        settings = dict(loss=system.loss, optimiser=system.optimiser, scaling="percentiles", seed=seed, **options)
        trained = fit(
            training, network, name=name, checkpoint=place.with_suffix(".npz"), card={"terms": terms},
            progress=lambda step, loss: click.echo(f"{place.name} step {step} loss {loss:.4f}", err=True), **settings,
        )  # fmt: skip
        trained.save(file)
    found = load(file)  # also what was just trained: its weights are rounded in the file
    if json.loads(json.dumps(terms)) != found.card.get("terms"):
        raise InvalidArgument(
            f"{file.name} was trained on other terms ({found.card.get('terms')}) than this table's ({terms}): keep "
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
@click.option("--steps", default=500, show_default=True, type=click.IntRange(min=1), help="Of each training.")
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
def command(
    data: Path, count: int, steps: int, batch: int, patch: int, beta: float, n: int, seed: int, keep: Path, out: Path
) -> None:
    """Predicted against true disagreement of two annotators, on retina vessels, cross-validated by child."""
    cases = retina(data)
    ways = folds(cases, count, seed)
    keep.mkdir(parents=True, exist_ok=True)
    options = dict(steps=steps, batch=batch, patch=patch, rate=RATE)
    figures: list[Row] = []
    for k, fold in enumerate(ways):  # fold by fold, so that systems can be compared before all is done
        for name, system in systems(beta).items():
            figures += measured(name, system, fold, k, n, keep, seed=seed + k, **options)
            click.echo(f"{name}, fold {k + 1} of {count}: done", err=True)
        if k + 1 < count:
            for row in rows_of(figures):
                click.echo(json.dumps(row), err=True)
    record("annotators", rows_of(figures), _notes(cases, count, n, beta, seed, options), out)


def _notes(cases: Sequence[Case], count: int, n: int, beta: float, seed: int, options: Mapping[str, Any]) -> Row:
    height, width = cases[0].image.shape[1:]
    return {
        "images": f"CHASE_DB1, {len(cases)} images of {len({case.group for case in cases})} children, 2 annotators; "
        f"green band at 1/{FACTOR} of the size ({height} x {width}), means of pixels, masks where at least half of "
        f"the pixels are marked; {count} folds of children",
        "training": f"from random weights, {options['steps']} steps of {options['batch']} patches of "
        f"{options['patch']} x {options['patch']}, rate {options['rate']:g} for all, where the QUBIQ study trained "
        f"pretrained encoders long at 1e-5; seed {seed}; cross-entropy and Adam, but Tversky and Nadam for the "
        f"annotator ensemble; beta = {beta:g}; U-Nets of width {SIZES['width']:g}, depth {SIZES['depth']}",
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
