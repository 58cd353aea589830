"""``python -m bayesr.training``: the loop alone, for a machine that has torch and numpy and nothing else.

It leaves a checkpoint; ``bayesr train --resume`` turns that into a calibrated model file.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from bayesr.observe import bicubic
from bayesr.training.data import Pairs, load_images
from bayesr.training.loop import Record, Trainer, with_steps
from bayesr.training.recipes import recipe
from bayesr.training.validation import Validation


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bayesr.training", description=__doc__)
    parser.add_argument("data", nargs="+", help="folders of images, or archives packed by ImageSet.pack")
    parser.add_argument("--recipe", default="bayes-srgan")
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--held-out", type=int, default=120)
    parser.add_argument("--time-limit", type=float, default=float("inf"), help="seconds")
    parser.add_argument("--steps", default="", help="fidelity=12000,score=5000,...")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args()

    steps = {name: int(count) for name, _, count in (part.partition("=") for part in args.steps.split(",") if part)}
    training, held_out = load_images(args.data).split(args.held_out)
    what = with_steps(recipe(args.recipe), steps)
    trainer = Trainer(what, Pairs(training, bicubic(4), what.patch, args.device), args.seed, args.device)
    if args.resume:
        trainer.load(args.checkpoint)

    def report(record: Record) -> None:
        print(" ".join(f"{k}={v:.5g}" if isinstance(v, float) else f"{k}={v}" for k, v in record.items()), flush=True)

    trainer.run(args.checkpoint, time_limit=args.time_limit, validate=Validation(held_out, bicubic(4)), report=report)


if __name__ == "__main__":
    main()
