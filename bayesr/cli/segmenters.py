"""Command ``bayesr train-segmenter``."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

import bayesr
from bayesr.cli import options as shared
from bayesr.errors import InvalidArgument
from bayesr.progress import is_hidden


@click.command(
    "train-segmenter",
    epilog=shared.examples("bayesr train-segmenter images/ masks/ --out mine.safetensors --objects"),
)
@click.argument("images", type=click.Path(path_type=Path))
@click.argument("masks", nargs=-1)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The segmenter file to write.")
@click.option("--longest", type=int, help="Longest side, in pixels; larger images are downsampled.")
@click.option(
    "--qubiq", "task", type=int, metavar="TASK", help="IMAGES is a folder of QUBIQ cases, of which TASK is segmented."
)
@click.option(
    "--network", "kind", type=click.Choice(["unet", "probabilistic-unet", "annotators"]), default="unet",
    show_default=True, help="One map, plausible maps, or one map per annotator.",
)  # fmt: skip
@click.option("--objects", is_flag=True, help="Learn borders, too, to separate touching objects.")
@click.option("--width", default=1.0, show_default=True, help="Factor on the channels of MobileNetV2.")
@click.option("--depth", default=5, show_default=True, help="Number of times that the encoder halves the size, 1 to 5.")
@click.option("--encoder", type=click.Path(path_type=Path), help="Pretrained weights of MobileNetV2.")
@click.option("--loss", default="bce_dice", show_default=True, help="bce, dice, tversky, jaccard or bce_dice.")
@click.option("--steps", default=2000, show_default=True, help="Number of training steps.")
@click.option("--batch", default=8, show_default=True, help="Number of patches per step.")
@click.option("--patch", default=192, show_default=True, help="Side of a patch, in pixels.")
@click.option("--rate", default=1e-3, show_default=True, help="Learning rate.")
@click.option("--optimiser", type=click.Choice(["adam", "nadam"]), default="adam", show_default=True, help="Optimiser.")
@click.option(
    "--scaling",
    type=click.Choice(["range", "percentiles", "roots"]),
    default="range",
    show_default=True,
    help="Scaling of the values: by the value range, by percentiles, or by percentiles and square roots.",
)
@click.option("--blur", default=0.0, help="Largest blur of training patches, standard deviation in pixels.")
@click.option("--noise", default=0.0, help="Largest noise of training patches, standard deviation / value range.")
@shared.threshold
@shared.smallest
@click.option(
    "--uncertainty", type=click.Choice(["channels", "weight"]),
    help="Train on products of --model: on mean and std, or on the mean with pixels weighted by std.",
)  # fmt: skip
@click.option("--model", default="natural-x4", show_default=True, help="Model for --uncertainty.")
@click.option("-n", default=8, show_default=True, help="Number of members for --uncertainty.")
@click.option("--held-out", default=0, show_default=True, help="Number of cases kept for evaluation.")
@click.option(
    "--time-limit",
    type=float,
    default=float("inf"),
    help="Seconds after which training stops; the same command continues it.",
)
@shared.seed
@click.option("--data", "description", default="", help="Description of the images, for the card of the segmenter.")
def train_segmenter(
    images: Path,
    masks: tuple[str, ...],
    out: Path,
    longest: int | None,
    task: int | None,
    time_limit: float,
    **options: Any,
) -> None:
    """Train a segmenter on the folder IMAGES and one folder of MASKS per annotator.

    Training writes a checkpoint next to OUT; the same command continues from it.
    """
    import numpy as np  # slow to import
    import torch  # slow to import

    from bayesr.segmentation.cases import folders, qubiq, with_uncertainty  # slow to import
    from bayesr.segmentation.fit import fit, measure  # slow to import

    shared.require_folder(out)
    cases = folders(images, *masks, longest=longest) if task is None else qubiq(images, task)
    order, held_out = np.random.default_rng(options["seed"]).permutation(len(cases)), options.pop("held_out")
    if not 0 <= held_out < len(cases):
        raise InvalidArgument(f"Of {len(cases)} cases, {held_out} cannot be held out: leave some to train on.")
    uncertainty, model, n = (options.pop(name) for name in ("uncertainty", "model", "n"))
    if uncertainty:
        cases = with_uncertainty(cases, bayesr.load(model), n, uncertainty, options["seed"])
    inputs = {None: ("member",), "channels": ("mean", "std"), "weight": ("mean",)}[uncertainty]
    evaluation, training = ([cases[i] for i in part] for part in (order[:held_out], order[held_out:]))
    torch.manual_seed(options["seed"])
    network = _network(options, len(cases[0].image), len(cases[0].masks))
    finish = {name: options.pop(name) for name in ("threshold", "smallest")}
    steps, checkpoint = options["steps"], out.with_suffix(".npz")
    segmenter = fit(
        training, network, inputs=inputs, time_limit=time_limit, checkpoint=checkpoint, name=out.stem,
        card={"data": options.pop("description")},
        progress=None if is_hidden() else _say, **options,
    )  # fmt: skip
    if segmenter.card["steps"] < steps:
        click.echo(f"Time is up at step {segmenter.card['steps']} of {steps}; the same command continues.")
        sys.exit(3)
    segmenter = replace(segmenter, **finish)
    if evaluation:
        figures = measure(segmenter, evaluation)
        segmenter = replace(segmenter, card=dict(segmenter.card) | {"held_out": {"cases": len(evaluation), **figures}})
        click.echo(
            ", ".join(f"{name} {value:.4f}" for name, value in figures.items()) + f" on {len(evaluation)} held out"
        )
    segmenter.save(out)
    click.echo(f"The segmenter is at {out.absolute()}")


def _say(step: int, loss: float) -> None:
    click.echo(f"step {step}: loss {loss:.4f}", err=True)


def _network(options: dict[str, Any], bands: int, annotators: int) -> Any:
    """Build the network, and remove its options."""
    from bayesr.networks.segmenters.annotators import AnnotatorEnsemble  # slow to import
    from bayesr.networks.segmenters.mobile_unet import MobileUNet  # slow to import
    from bayesr.networks.segmenters.probabilistic_unet import ProbabilisticUNet  # slow to import

    kind, encoder, borders = (options.pop(name) for name in ("kind", "encoder", "objects"))
    size = {"bands": bands, "outputs": 1 + borders, "width": options.pop("width"), "depth": options.pop("depth")}
    network: Any
    if kind == "annotators":
        network = AnnotatorEnsemble(annotators=annotators, **size)
    else:
        network = (MobileUNet if kind == "unet" else ProbabilisticUNet)(**size)
    if encoder is not None:
        network.start_from(encoder)
    return network
