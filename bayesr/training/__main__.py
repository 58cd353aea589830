"""``python -m bayesr.training``: the training loop, for machines that have only torch and numpy.

It writes a checkpoint and a history, of which ``bayesr train --resume`` makes a calibrated model file. Several
processes train together with ``torchrun --nproc-per-node 2 -m bayesr.training ...``.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import torch

from bayesr.errors import BayesrError
from bayesr.observe import Separable
from bayesr.training.adjusting import with_duration, with_schedule, with_steps
from bayesr.training.data import held_out_images, load_images
from bayesr.training.degradation import RANGES, Degradation
from bayesr.training.history import History, Record, table
from bayesr.training.loop import PRECISIONS, Trainer
from bayesr.training.pairs import pair_source
from bayesr.training.processes import process_group
from bayesr.training.recipes import recipe
from bayesr.training.schedules import SCHEDULES
from bayesr.training.validation import Validation
from bayesr.training.warmstart import StartingPoint


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bayesr.training", description=__doc__)
    parser.add_argument("data", nargs="+", help="folders of images, or archives written by ImageSet.pack")
    parser.add_argument("--recipe", default="bayes-srgan", help="a name, or a Python file that defines RECIPE")
    parser.add_argument("--checkpoint", type=Path, required=True, help="the history is written next to it, as .jsonl")
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--start", type=Path, help="checkpoint of another training; weights that fit are used")
    parser.add_argument("--held-out", default="120", help="number of images, or a text file with one file name a line")
    parser.add_argument("--time-limit", type=float, default=float("inf"), help="seconds")
    parser.add_argument("--patience", type=int, help="steps without a better score after which a stage ends")
    parser.add_argument("--every", type=int, default=200, help="steps between validations and checkpoints")
    parser.add_argument("--steps", default="", help="fidelity=12000,score=5000,...")
    parser.add_argument("--duration", default="", help="seconds by stage: fidelity=110,score=320,...")
    parser.add_argument("--schedule", choices=tuple(SCHEDULES), help="schedule of learning rates")
    parser.add_argument("--precision", choices=PRECISIONS, default="auto", help="of convolutions")
    parser.add_argument("--kernel", default="bicubic", help="bicubic, gaussian or box")
    parser.add_argument("--sigma", type=float, default=0.0, help="of the Gaussian kernel, in high-resolution pixels")
    parser.add_argument("--scale", type=int, default=4)
    parser.add_argument("--bands", type=int, default=3, help="3 for colour, 1 for grey")
    for name in RANGES:
        usual = getattr(Degradation(), name)
        parser.add_argument(f"--{name}", type=float, nargs=2, default=usual, help="range, see Degradation")
    parser.add_argument("--shares", default="", help="probability of degradations: blur=0.75,jpeg=0.4")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    try:
        _train(parser.parse_args())
    except BayesrError as error:
        sys.exit(f"Error: {error}")


def _numbers(text: str) -> dict[str, float]:
    return {name: float(number) for name, _, number in (part.partition("=") for part in text.split(",") if part)}


def _train(args: argparse.Namespace) -> None:
    steps, seconds = _numbers(args.steps), _numbers(args.duration)
    operator = Separable(args.kernel, args.scale, args.sigma)
    ranges: dict[str, Any] = {name: tuple(getattr(args, name)) for name in RANGES}
    degradation = Degradation(**ranges, shares=_numbers(args.shares))
    chosen = with_steps(recipe(args.recipe), {name: int(number) for name, number in steps.items()})
    chosen = with_duration(chosen, seconds)
    if args.schedule:
        chosen = with_schedule(chosen, args.schedule)
    kept = held_out_images(int(args.held_out) if args.held_out.isdecimal() else args.held_out)
    training, held_out = load_images(args.data, args.bands).split(kept)
    validate = Validation(held_out, operator, degradation=degradation) if kept else None
    with process_group(args.device) as processes, table(chosen.name, processes.first) as show:
        pairs = pair_source(chosen, training, operator, str(processes.device), degradation)
        trainer = Trainer(chosen, pairs, args.seed, processes=processes, precision=args.precision)
        if args.resume:
            trainer.load(args.checkpoint)
        elif args.start:
            trainer.start_from(StartingPoint.from_checkpoint(args.start))
        history = History(args.checkpoint.with_suffix(".jsonl"), trainer.history) if processes.first else None

        def report(record: Record) -> None:
            if history:
                history.append(record)
            show(record)

        trainer.run(
            args.checkpoint,
            time_limit=args.time_limit,
            every=args.every,
            patience=args.patience,
            validate=validate,
            report=report,
        )


if __name__ == "__main__":
    main()
