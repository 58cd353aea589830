"""Networks that predict plausible vessel masks, and their training for `bayesr bench annotators`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
import torch
from torch import Tensor, nn

from bayesr.networks.segmenters.annotators import AnnotatorEnsemble
from bayesr.networks.segmenters.mobile_unet import MobileUNet
from bayesr.networks.segmenters.probabilistic_unet import ProbabilisticUNet
from bayesr.segmentation.agreement import evaluate
from bayesr.segmentation.cases import Case
from bayesr.segmentation.fit import fit
from bayesr.segmentation.losses import PixelLoss
from bayesr.segmentation.protocol import SegmentationNetwork
from bayesr.segmentation.segmenter import Segmenter, load
from bayesr_bench.training import check_terms

SIZES: dict[str, Any] = {"width": 0.5, "depth": 3}
"""Options of every U-Net: half of MobileNetV2's channels, down to an eighth of the image size."""
RATE, FURTHER_RATE = 5e-3, 3e-3
"""Highest learning rates: of the U-Net from which all systems start, and of their own training."""
REFERENCE = "U-Net"

Row = dict[str, Any]
Wrap = Callable[[SegmentationNetwork], SegmentationNetwork]


@dataclass(frozen=True)
class System:
    """A network, its training, and the ways in which masks are drawn from it.

    Attributes
    ----------
    make : callable
        Returns the network for a number of annotators, with the weights of a U-Net.
    loss, optimiser : str
        Arguments of `bayesr.segmentation.fit.fit`.
    ways : mapping
        For each row of the table, a function that wraps the trained network.
    """

    make: Callable[[int, MobileUNet], SegmentationNetwork]
    loss: str
    optimiser: str
    ways: Mapping[str, Wrap]


class ThresholdedMaps(nn.Module):
    """A network whose plausible maps are masks: the pixels of its maps that reach a random threshold.

    With one threshold per pixel, pixels are drawn independently, each with its probability. One threshold for the
    whole mask preserves these probabilities, too, but each mask contains all smaller ones.

    Parameters
    ----------
    network : SegmentationNetwork
    independent : bool
        Whether each pixel has its own threshold.
    """

    def __init__(self, network: SegmentationNetwork, independent: bool) -> None:
        super().__init__()
        self.network, self.independent = network, independent

    @property
    def architecture(self) -> Mapping[str, Any]:
        return self.network.architecture

    @property
    def reach(self) -> int | None:
        return self.network.reach

    @property
    def multiple(self) -> int:
        return self.network.multiple

    def probability(self, x: Tensor) -> Tensor:
        """Return the network's probability maps, ``n x outputs x h x w``."""
        return self.network.probability(x)

    def maps(self, x: Tensor, count: int, generator: torch.Generator | None = None) -> Tensor:
        """Return masks, ``n x count x outputs x h x w``."""
        p = self.network.maps(x, count, generator)
        sizes = p.shape[2:] if self.independent else (1, 1, 1)
        return (torch.rand(len(x), count, *sizes, generator=generator) < p).float()

    def loss(
        self, x: Tensor, targets: Tensor, weight: Tensor, pixel_loss: PixelLoss, generator: torch.Generator
    ) -> Tensor:
        """Return the network's training loss."""
        return self.network.loss(x, targets, weight, pixel_loss, generator)


def systems(beta: float) -> dict[str, System]:
    """Return all systems by name, for images of one band.

    Parameters
    ----------
    beta : float
        Weight of the divergence in the loss of the Probabilistic U-Net.
    """

    def unet(annotators: int, first: MobileUNet) -> MobileUNet:
        network = MobileUNet(**SIZES)
        network.load_state_dict(first.state_dict())
        return network

    def probabilistic(annotators: int, first: MobileUNet) -> ProbabilisticUNet:
        network = ProbabilisticUNet(**SIZES, beta=beta)
        network.begin_with(first)
        return network

    def ensemble(annotators: int, first: MobileUNet) -> AnnotatorEnsemble:
        network = AnnotatorEnsemble(**SIZES, annotators=annotators)
        network.begin_with(first)
        return network

    def unchanged(network: SegmentationNetwork) -> SegmentationNetwork:
        return network

    def independent(network: SegmentationNetwork) -> SegmentationNetwork:
        return ThresholdedMaps(network, independent=True)

    def nested(network: SegmentationNetwork) -> SegmentationNetwork:
        return ThresholdedMaps(network, independent=False)

    name = "Probabilistic U-Net"
    of_unet = {
        REFERENCE: unchanged,
        "U-Net, pixels drawn independently": independent,
        "U-Net, one random threshold": nested,
    }
    return {
        REFERENCE: System(unet, "bce", "adam", of_unet),
        name: System(probabilistic, "bce", "adam", {name: unchanged, f"{name}, one random threshold": nested}),
        "annotator ensemble": System(ensemble, "tversky", "nadam", {"annotator ensemble": unchanged}),
    }


@dataclass(frozen=True)
class Terms:
    """Training settings that all networks of a table share.

    Attributes
    ----------
    steps, further : int
        Steps of the first U-Net, and of each system.
    batch, patch : int
        Patches per step, and pixels along a side of a patch.
    seed : int
    keep : Path
        Folder for networks and checkpoints.
    """

    steps: int
    further: int
    batch: int
    patch: int
    seed: int
    keep: Path


def measure_fold(
    systems: Mapping[str, System], fold: tuple[Sequence[Case], Sequence[Case]], k: int, n: int, terms: Terms
) -> list[Row]:
    """Train all systems on a fold, and evaluate them on its held-out cases.

    A U-Net is trained first. All systems start from its weights, so that they differ by `further` steps only.

    Parameters
    ----------
    systems : mapping
    fold : (sequence of Case, sequence of Case)
        Training cases and held-out cases.
    k : int
        Index of the fold.
    n : int
        Number of masks per image.
    terms : Terms

    Returns
    -------
    list of dict
        One row per way of drawing masks and held-out case: those of `bayesr.segmentation.agreement.evaluate`, with
        ``system`` and ``fold``.
    """
    training, held_out = fold
    settings: Row = dict(
        loss="bce", steps=terms.steps, batch=terms.batch, patch=terms.patch, rate=RATE, optimiser="adam",
        scaling="percentiles", seed=terms.seed + k,
    )  # fmt: skip
    begin = _load_or_train(f"begin-{k}", MobileUNet(**SIZES), training, settings, terms.keep)
    assert isinstance(begin.network, MobileUNet)
    rows: list[Row] = []
    for name, system in systems.items():
        network = system.make(len(training[0].masks), begin.network)
        own = dict(loss=system.loss, optimiser=system.optimiser, steps=terms.further, rate=FURTHER_RATE)
        place = f"{name.lower().replace(' ', '-')}-{k}"
        segmenter = _load_or_train(place, network, training, settings | own, terms.keep, {"begun with": begin.sha256})
        for row_name, wrap in system.ways.items():
            found = evaluate(replace(segmenter, network=wrap(segmenter.network)), held_out, n, seed=terms.seed + k)
            rows += [{"system": row_name, "fold": k} | row for row in found]
        click.echo(f"{name}, fold {k + 1}: done", err=True)
    return rows


def _load_or_train(
    place: str,
    network: SegmentationNetwork,
    cases: Sequence[Case],
    settings: Mapping[str, Any],
    keep: Path,
    begun: Mapping[str, str] | None = None,
) -> Segmenter:
    """Load a segmenter from a folder, after checking its training settings, or train it and store it there."""
    known = {**settings, "images": [case.name for case in cases], "network": network.architecture, **(begun or {})}
    file = keep / f"{place}.safetensors"
    if not file.exists():
        trained = fit(
            cases, network, name=place, checkpoint=file.with_suffix(".npz"), card={"terms": known},
            progress=lambda step, loss: click.echo(f"{place} step {step} loss {loss:.4f}", err=True), **settings,
        )  # fmt: skip
        trained.save(file)
    found = load(file)  # also one that was just trained, since files round weights
    check_terms(file, found.card.get("terms"), json.loads(json.dumps(known)))
    return found
