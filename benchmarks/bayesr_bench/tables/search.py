"""Compare stochastic heads and losses that were tried: score and time of each.

    bayesr bench search --train DATA

Every variant has the backbone of a bundled model, which is not trained, and trains its stochastic head for the same
number of steps on the same patches. The names of the variants say how they differ from the recipe. Scores are of
8 members on crops of held-out images. Times are of 32 members of a 64x64 image without intervals, as a ratio to one
pass of SRResNet in the same process.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import click
import numpy as np
import torch

import bayesr
from bayesr.model.model import Model
from bayesr.progress import progress as show_progress
from bayesr.training import losses
from bayesr.training.data import ImageSet, load_images
from bayesr.training.loop import Trainer
from bayesr.training.pairs import Pairs
from bayesr.training.recipe import Recipe, Stage
from bayesr.training.recipes import recipe
from bayesr.training.validation import Validation
from bayesr.training.warmstart import StartingPoint
from bayesr_bench.harness import Result, option, table
from bayesr_bench.options import ModelName, Seed
from bayesr_bench.timing import SRResNet, ratio

SCORES = recipe("bayes-sr")
N = 8
"""Members that are scored."""


@dataclass(frozen=True)
class Variant:
    """How a variant differs from the recipe: options of its network and of its second stage."""

    name: str
    network: Mapping[str, Any] = field(default_factory=dict)
    stage: Mapping[str, Any] = field(default_factory=dict)


VARIANTS = (
    Variant("as the recipe ships"),
    Variant("width 16, 2 blocks of 8 latents", dict(head_width=16, head_blocks=2, latent=8)),
    Variant("width 48, 6 blocks of 4 latents", dict(head_width=48, head_blocks=6, latent=4)),
    Variant("width 24", dict(head_width=24)),
    Variant("1 block of 16 latents", dict(head_blocks=1, latent=16)),
    Variant("2 blocks", dict(head_blocks=2)),
    Variant("3 latents a block", dict(latent=3)),
    Variant("12 latents a block", dict(latent=12)),
    Variant("gains constant within input pixels", dict(smooth=False)),
    Variant("no linear path", dict(direct=False)),
    Variant("a gain per value, 3x3 exit", dict(mix=0)),
    Variant("mix 32", dict(mix=32)),
    Variant("mix 96", dict(mix=96)),
    Variant("2 members", {}, dict(members=2)),
    Variant("pixels alone", {}, dict(patches={}, bands={})),
    Variant("no bands", {}, dict(bands={})),
    Variant("bands 16 beside 8", {}, dict(bands={8: 1.0, 16: 1.0})),
    Variant("patches 4 and 8", {}, dict(patches={4: 0.5, 8: 0.5})),
    Variant("bands without patches", {}, dict(patches={})),
)


def trained(
    variant: Variant, start: Model, images: ImageSet, steps: int, rate: float, seed: int, batch: int = 4
) -> Trainer:
    """Train the stochastic head of a variant, with the backbone of `start`."""
    score = next(stage for stage in SCORES.stages if stage.name == "score")
    stage: Stage = replace(score, steps=steps, rate=rate, batch=batch, trained="head", **variant.stage)
    backbone = {name: start.generator.architecture[name] for name in ("width", "blocks")}
    network = dict(SCORES.network) | backbone | dict(variant.network)
    own = Recipe(variant.name, network, (stage,), SCORES.patch, discriminators={})
    trainer = Trainer(own, Pairs(images, start.observation, own.patch), seed)
    trainer.start_from(StartingPoint(start.generator))
    begun = time.process_time()
    for _ in range(steps):
        trainer.advance()
    trainer.seconds = time.process_time() - begun
    return trainer


@torch.inference_mode()
def seconds_ratio(trainer: Trainer, rounds: int = 7) -> float:
    """Return the time of 32 members of a 64x64 image and their moments, over that of one pass of SRResNet."""
    reference = SRResNet().eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    model = Model("variant", trainer.average.eval(), trainer.operator)
    y, x = np.mgrid[0:64, 0:64].astype(np.float32) / 64
    image = np.stack([x, y, 0.5 + 0.4 * np.sin(40 * x * y)], -1)
    low = torch.from_numpy(image).permute(2, 0, 1)[None].contiguous(memory_format=torch.channels_last)
    return ratio(lambda: model.sample(image, 32, keep_samples=False), lambda: reference(low), rounds)[0]


def row_of(name: str, trainer: Trainer, validation: Validation) -> dict[str, Any]:
    """Return the row of a variant after its training."""
    trainer.calibrate_spread()
    scores = validation(trainer)
    with torch.no_grad():
        x = torch.cat([trainer.members(low, N, trainer.average)[1] for low in validation.low.split(8)])
    return {
        "variant": name,
        "fair CRPS x 1000": 1e3 * scores["fair_crps"],
        "energy 8x8 x 1000": 1e3 * float(losses.patch_energy(x, validation.high, 8)),
        "PSNR, mean of 8": scores["psnr"],
        "spread / skill": scores["spread_skill"],
        "head parameters": sum(p.numel() for p in trainer.average.head.parameters()),
        "32 members / SRResNet": round(seconds_ratio(trainer), 3),
        "CPU ms a step": round(1e3 * trainer.seconds / max(1, trainer.step)),
    }


@table(n=N, estimators="fair CRPS and energy score of 8 members in network units; times as medians of ratios")
def command(
    train: Annotated[tuple[Path, ...], option(type=click.Path(path_type=Path, exists=True), required=True)],
    model: Annotated[ModelName, "Model whose backbone all variants share."] = "natural-x4",
    steps: int = 600,
    rate: float = 2e-3,
    held_out: int = 120,
    only: Annotated[tuple[str, ...], "Names of variants, instead of all."] = (),
    seed: Seed = 0,
) -> Result:
    """One row for each variant."""
    start = bayesr.load(model)
    images, kept = load_images(train).split(held_out)
    validation = Validation(kept, start.observation)
    chosen = [variant for variant in VARIANTS if not only or variant.name in only]
    rows = []
    with show_progress("searching", len(chosen), None) as advance:
        for variant in chosen:
            trainer = trained(variant, start, images, steps, rate, seed)
            rows.append(row_of(variant.name, trainer, validation))
            click.echo(rows[-1])
            advance(1)
    notes = {
        "backbone": f"{start.name}, {start.sha256[:12]}, not trained",
        "recipe": ", ".join(f"{k} {v}" for k, v in SCORES.network.items()),
        "steps": f"{steps} of 4 patches, learning rate {rate:g}, seed {seed}",
        "scores": f"fair estimator, {N} members, {len(validation.high)} crops of held-out images",
    }
    return Result(rows, notes)
