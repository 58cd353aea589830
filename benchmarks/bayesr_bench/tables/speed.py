"""Time 32 members against one pass of SRGAN's generator; measure memory and start-up.

    bayesr bench speed
    bayesr bench speed --device cuda --side 64 --side 256 --side 1024 --name speed-cuda

The time of 32 members of a 64x64 image, with all moments, is compared with one forward pass of SRGAN's generator
(SRResNet: 16 blocks of 64 channels; C. Ledig et al., 2017, arXiv:1609.04802), on the same threads and in the same
engine: eager PyTorch with channels_last, then OpenVINO. The two are timed in turn, in one process, and the median
ratio is recorded. The floor is the time of the networks' multiply-adds at the speed of a large matrix product. On CUDA
devices the memory is that allocated at the peak, and both networks have float32 without TF32. Start-up, memory on a
CPU, scoring, and training steps of ``bayes-srgan`` (`--steps`) are measured once.
"""

from __future__ import annotations

import itertools
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import click
import numpy as np
import torch
from torch import Tensor

import bayesr
from bayesr.errors import InvalidArgument
from bayesr.networks.generator import Generator
from bayesr.observe import bicubic
from bayesr.sampling import engine
from bayesr.sampling.device import place
from bayesr.sampling.noise import MaskNoise
from bayesr.training.data import ImageSet
from bayesr.training.degradation import Degradation
from bayesr.training.loop import Trainer
from bayesr.training.pairs import pair_source
from bayesr.training.recipes import recipe
from bayesr_bench.harness import Result, option, table
from bayesr_bench.models import Measured, by_model, checksums, measured
from bayesr_bench.options import Models
from bayesr_bench.processes import run_code
from bayesr_bench.timing import SRResNet, example, multiply_adds, products_per_second, ratio, waiting, without_tf32


def naive(model: bayesr.Model, low: Tensor) -> None:
    """Run 32 whole forward passes of the same network, one after the other, with noise from torch."""
    net, operator = model.generator, model.forward_operator
    for _ in range(32):
        z = torch.randn(1, net.latent_channels, *low.shape[-2:], device=low.device)
        z = z.contiguous(memory_format=torch.channels_last)
        member = net.draw(net.prepare(low), z, net.head.training_masks(1, torch.Generator(low.device)))
        operator.project_onto_data_(member, low)


def first_call(model: bayesr.Model, img: np.ndarray, device: str) -> float:
    """Return by how many seconds the first sampling on a device takes longer than the second: for compilation."""
    taken = []
    for where in ("cpu", device, device):
        begun = time.perf_counter()
        model.sample(img, 32, keep_samples=False, device=where)
        taken.append(time.perf_counter() - begun)
    return taken[1] - taken[2]


_SCENE = """
import numpy as np, bayesr
y, x = np.mgrid[0 : given["side"], 0 : given["side"]] / given["side"]
scene = (np.stack([x, y, 0.5 + 0.4 * np.sin(40 * x * y)], -1) * 255).astype(np.uint8)
"""
_MEMORY = """
import threading, psutil
model = bayesr.load(given["model"])
model.sample(np.zeros((8, 8, 3), np.uint8), 4)
me, most, done = psutil.Process(), 0, False
def watch():
    global most
    while not done:
        most = max(most, me.memory_info().rss); time.sleep(0.002)
before = me.memory_info().rss
thread = threading.Thread(target=watch); thread.start()
model.sample(scene, 32, keep_samples=False)
done = True; thread.join()
print(json.dumps((most - before) / 2**20))
"""
_DRAW = """
low = scene.reshape(given["side"] // 4, 4, given["side"] // 4, 4, 3).mean((1, 3)).astype(np.uint8)
bayesr.sample(low, 32, model=given["model"], store="s.zarr", keep_samples=True)
"""
_SCORE = """
begun = time.perf_counter()
bayesr.score("s.zarr", scene)
print(json.dumps((peak(), time.perf_counter() - begun)))
"""


def peak_memory(model: str) -> float:
    """Return the MiB that sampling 256x256 pixels adds to the resident size of a process with a loaded model."""
    return float(run_code(_SCENE + _MEMORY, model=model, side=256))


def scoring(model: str, side: int = 1024) -> tuple[float, float]:
    """Return peak MiB and seconds of a process that scores 32 members of side x side x 3 from a Zarr store."""
    with tempfile.TemporaryDirectory() as folder:
        run_code(_SCENE + _DRAW, Path(folder), model=model, side=side)
        size, taken = run_code(_SCENE + _SCORE, Path(folder), side=side)
    return size, taken


def seconds(*command: str) -> float:
    """Return the median wall time of a process over seven runs, after one that fills the disk cache."""
    taken = []
    for _ in range(8):
        begun = time.perf_counter()
        subprocess.run(command, capture_output=True, check=True)
        taken.append(time.perf_counter() - begun)
    return statistics.median(taken[1:])


@table(
    n=32,
    small={"rounds": 5, "scored": 256, "devices": ("cpu",), "steps": 1},
    estimators="medians over rounds of times, and of ratios of the times of a round",
    renamed=True,
)
def command(
    models: Models = ("natural-x4",),
    rounds: Annotated[int, option(type=click.IntRange(min=1), help="Number of rounds.")] = 15,
    devices: Annotated[tuple[str, ...], option("--device", help="Device; may be repeated.")] = ("cpu", engine.NAME),
    sides: Annotated[
        tuple[int, ...], option("--side", type=click.IntRange(min=8), help="Side of an image; may be repeated.")
    ] = (64,),
    precision: Annotated[
        str, option(type=click.Choice(("float32", "bfloat16")), help="Precision of our networks.")
    ] = "float32",
    steps: Annotated[int, option(type=click.IntRange(min=0), help="Training steps of each stage that are timed.")] = 5,
    scored: Annotated[
        int, option(type=click.IntRange(min=32), help="Side of the image whose scoring is timed; a multiple of 4.")
    ] = 1024,
) -> Result:
    """Return one row per case and engine."""
    if scored % 4:
        raise InvalidArgument(f"--scored must be a multiple of 4, not {scored}.")
    found = measured(models, bands=3)
    notes: dict[str, str] = {}

    def rows(one: Measured) -> list[dict[str, Any]]:
        own = [
            row(one.model, rounds, device, side, clipped, precision)
            for side, clipped, device in itertools.product(sides, (False, True), devices)
        ]
        facts = once(one, devices, scored)
        notes.update({f"{key}, {one.label}" if len(found) > 1 else key: fact for key, fact in facts.items()})
        return own

    shown = by_model(found, rows)
    notes |= {
        "bayesr --help": f"{seconds(sys.executable, '-m', 'bayesr.cli', '--help'):.2f} s",
        "import bayesr": f"{seconds(sys.executable, '-c', 'import bayesr'):.2f} s "
        f"(python alone {seconds(sys.executable, '-c', 'pass'):.2f} s)",
        "rounds": f"{rounds}, the two calls in turn",
        "precision": precision,
    }
    for device in devices if steps else ():
        if device != engine.NAME:
            notes[f"training steps, {device}"] = training_steps(device, steps)
    return Result(shown, notes)


def training_steps(device: str, steps: int) -> str:
    """Return the seconds of a step of each stage of ``bayes-srgan`` on noise, as text.

    On a CPU the batch is an eighth of the recipe's.
    """
    what = recipe("bayes-srgan")
    share = 1 if torch.device(device).type == "cuda" else 8
    side = 4 * what.patch
    random = np.random.default_rng(0)
    images = ImageSet(tuple("abcdefgh"), tuple(random.integers(0, 256, (8, side, side, 3), dtype=np.uint8)))
    found = []
    for stage in what.stages:
        batch = stage.batch // share
        one = replace(what, stages=(replace(stage, batch=batch, warmup=0),))
        trainer = Trainer(one, pair_source(one, images, bicubic(4), device, Degradation()), device=device)
        step = waiting(trainer.take_step, device)
        for _ in range(5 if share == 1 else 1):  # CUDA graphs are captured at first
            step()
        begun = time.perf_counter()
        for _ in range(steps):
            step()
        taken = (time.perf_counter() - begun) / steps
        found.append(f"{stage.name} {taken:.3g} s (batch {batch} x {max(1, stage.members)})")
    return ", ".join(found)


def once(one: Measured, devices: Sequence[str], scored: int) -> dict[str, str]:
    """Measure once for a model: the first call, memory, and scoring; return the facts."""
    first = "not run"
    if engine.NAME in devices:
        first = f"{first_call(one.model, example()[:64, :64], engine.NAME):.1f} s"
    peak, taken = scoring(one.file, scored)
    return {
        "model": checksums([one]),
        "the first call in OpenVINO takes longer by": first,
        "memory": f"{peak_memory(one.file):.0f} MiB above the loaded model for 256x256, n = 32, keep_samples=False",
        f"scoring 32 members of {scored}x{scored}x3 from zarr": f"{peak:.0f} MiB at the peak, whole process; "
        f"{taken:.0f} s",
    }


def row(network: bayesr.Model, rounds: int, device: str, side: int, clipped: bool, precision: str) -> dict[str, Any]:
    """Return the row of a case: floats are not clipped, members of a photograph in uint8 are."""
    img = photograph(side)
    img = img if clipped else img.astype(np.float32)
    placed, target = place(network, device)
    with torch.inference_mode():
        eager = SRResNet().eval().to(device=target, memory_format=torch.channels_last)  # type: ignore[call-overload]
        low = torch.from_numpy(img.astype(np.float32)).permute(2, 0, 1)[None].div(255).to(target)
        low = low.contiguous(memory_format=torch.channels_last)
        theirs = partial(eager, low)
        if device == engine.NAME:
            theirs = partial(engine.Graph(eager), [low])
        options = {"keep_samples": False, "device": device, "precision": precision, "tile": side}
        ours = partial(network.sample, img, 32, **options)
        where = str(target)
        one, mine, other = ratio(waiting(ours, where), waiting(without_tf32(theirs), where), rounds)
        many, _, _ = ratio(waiting(ours, where), waiting(partial(naive, placed, low), where), max(3, rounds // 3))
        least = multiply_adds(partial(naive_head, placed, low)) / products_per_second(where)
        found: dict[str, Any] = {
            "case": f"{side}x{side} uint8, members clipped and reprojected" if clipped else f"{side}x{side} float",
            "engine": "PyTorch, eager" if device == "cpu" else device,
            "32 members / one SRResNet pass": round(one, 3),
            "floor / one SRResNet pass": round(1e3 * least / other, 3),
            "32 members / 32 naive passes": round(many, 3),
            "ms, 32 members": round(mine, 1),
            "ms, SRResNet": round(other, 1),
        }
        if target.type == "cuda":
            torch.cuda.reset_peak_memory_stats(target)
            ours()
            found["images / s"] = round(1e3 / mine, 2)
            found["peak MiB"] = round(torch.cuda.max_memory_allocated(target) / 2**20)
    return found


def photograph(side: int) -> np.ndarray:
    """Return the bundled photograph, mirrored at its borders until it is large enough, and cropped."""
    whole = example()
    short = [(0, max(0, side - size)) for size in whole.shape[:2]]
    return np.pad(whole, (*short, (0, 0)), mode="symmetric")[:side, :side]


def naive_head(model: bayesr.Model, low: Tensor) -> None:
    """Run the networks of 32 members: the backbone once, the head 32 times."""
    net = model.generator
    shared = Generator.prepare(net, low)
    z = torch.randn(1, net.latent_channels, *low.shape[-2:], device=low.device)
    masks = net.sampling_masks(MaskNoise(0, 0))
    for _ in range(32):
        Generator.draw(net, shared, z, masks)
