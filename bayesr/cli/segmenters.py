"""``bayesr train-segmenter``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click


@click.command("train-segmenter")
@click.argument("images", type=click.Path(path_type=Path))
@click.argument("masks", nargs=-1)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The segmenter's file to write.")
@click.option("--longest", type=int, help="Pixels that larger images are reduced to, along their longer side.")
@click.option("--qubiq", "task", type=int, metavar="TASK", help="IMAGES is a folder of QUBIQ's cases; the structure.")
@click.option(
    "--network", "kind", type=click.Choice(["unet", "probabilistic-unet", "annotators"]), default="unet",
    show_default=True, help="One map, plausible maps, or a map of each annotator.",
)  # fmt: skip
@click.option("--objects", is_flag=True, help="Learn borders too, so that objects that touch are told apart.")
@click.option("--width", default=1.0, show_default=True, help="Factor on MobileNetV2's channels.")
@click.option("--depth", default=5, show_default=True, help="How often the encoder halves the size, 1 to 5.")
@click.option("--encoder", type=click.Path(path_type=Path), help="Weights of MobileNetV2 to start from.")
@click.option("--loss", default="bce_dice", show_default=True, help="bce, dice, tversky, jaccard or bce_dice.")
@click.option("--steps", default=2000, show_default=True)
@click.option("--batch", default=8, show_default=True)
@click.option("--patch", default=192, show_default=True, help="Pixels along a side.")
@click.option("--rate", default=1e-3, show_default=True)
@click.option("--optimiser", type=click.Choice(["adam", "nadam"]), default="adam", show_default=True)
@click.option("--scaling", type=click.Choice(["range", "percentiles", "roots"]), default="range", show_default=True)
@click.option("--blur", default=0.0, help="Most blur of training patches, standard deviation in pixels.")
@click.option("--noise", default=0.0, help="Most noise of training patches, over the value range.")
@click.option("--threshold", default=0.5, show_default=True, help="Probability from which on a pixel is foreground.")
@click.option("--smallest", default=0, show_default=True, help="Pixels below which a region is no object.")
@click.option(
    "--uncertainty", type=click.Choice(["channels", "weight"]),
    help="Learn on products of --model: from mean and std, or from the mean with pixels weighted by std.",
)  # fmt: skip
@click.option("--model", default="natural-x4", show_default=True, help="Of --uncertainty.")
@click.option("-n", default=8, show_default=True, help="Members, of --uncertainty.")
@click.option("--held-out", default=0, show_default=True, help="Cases that are measured on instead.")
@click.option("--time-limit", type=float, default=float("inf"), help="Seconds, after which the same command goes on.")
@click.option("--seed", default=0, show_default=True)
@click.option("--data", "description", default="", help="What the images are, for the segmenter's papers.")
def train_segmenter(
    images: Path,
    masks: tuple[str, ...],
    out: Path,
    longest: int | None,
    task: int | None,
    time_limit: float,
    **options: Any,
) -> None:
    """Train a segmenter on the folder IMAGES and a folder of MASKS for every annotator.

    A checkpoint beside OUT remembers how far training is: the same command goes on from it.
    """
    import sys
    from dataclasses import replace

    import numpy as np
    import torch

    import bayesr
    from bayesr.errors import InvalidArgument
    from bayesr.segmentation.cases import folders, qubiq, with_uncertainty
    from bayesr.segmentation.fit import fit, measure

    if not out.absolute().parent.is_dir():
        raise click.BadParameter(f"there is no folder {out.parent} to write {out.name} to", param_hint="--out")
    cases = folders(images, *masks, longest=longest) if task is None else qubiq(images, task)
    order, held_out = np.random.default_rng(options["seed"]).permutation(len(cases)), options.pop("held_out")
    if not 0 <= held_out < len(cases):
        raise InvalidArgument(f"Of {len(cases)} cases, {held_out} cannot be held out: leave some to train on.")
    uncertainty, model, n = (options.pop(name) for name in ("uncertainty", "model", "n"))
    if uncertainty:
        cases = with_uncertainty(cases, bayesr.load(model), n, uncertainty, options["seed"])
    inputs = {None: ("member",), "channels": ("mean", "std"), "weight": ("mean",)}[uncertainty]
    kept, training = ([cases[i] for i in part] for part in (order[:held_out], order[held_out:]))
    torch.manual_seed(options["seed"])
    network = _network(options, len(cases[0].image), len(cases[0].masks))
    finish = {name: options.pop(name) for name in ("threshold", "smallest")}
    steps, checkpoint = options["steps"], out.with_suffix(".npz")
    segmenter = fit(
        training, network, inputs=inputs, time_limit=time_limit, checkpoint=checkpoint, name=out.stem,
        card={"data": options.pop("description")},
        progress=lambda step, loss: click.echo(f"step {step}: loss {loss:.4f}", err=True), **options,
    )  # fmt: skip
    if segmenter.card["steps"] < steps:
        click.echo(f"Time is up at step {segmenter.card['steps']} of {steps}; the same command goes on.")
        sys.exit(3)
    segmenter = replace(segmenter, **finish)
    if kept:
        figures = measure(segmenter, kept)
        segmenter = replace(segmenter, card=dict(segmenter.card) | {"held_out": {"cases": len(kept), **figures}})
        click.echo(", ".join(f"{name} {value:.4f}" for name, value in figures.items()) + f" on {len(kept)} held out")
    segmenter.save(out)
    click.echo(f"The segmenter lies at {out.absolute()}")


def _network(options: dict[str, Any], bands: int, annotators: int) -> Any:
    """The network that the options ask for, without them."""
    from bayesr.networks.segmenters.annotators import AnnotatorEnsemble
    from bayesr.networks.segmenters.mobile_unet import MobileUNet
    from bayesr.networks.segmenters.probabilistic_unet import ProbabilisticUNet

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
