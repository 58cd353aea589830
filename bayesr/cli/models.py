"""Commands that train and calibrate models."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

import click

import bayesr
from bayesr.cli import options as shared

Number = TypeVar("Number", int, float)


def _by_stage(value: str, number: Callable[[str], Number]) -> dict[str, Number]:
    return {name: number(text) for name, text in (part.split("=") for part in value.split(",") if part)}


def _duration(ctx: click.Context, param: click.Parameter, value: str | None) -> float | dict[str, float] | None:
    try:
        if value is None:
            return None
        return _by_stage(value, float) if "=" in value else float(value)
    except ValueError as error:
        raise click.BadParameter("write it as 600, or as fidelity=110,score=320") from error


def _shares(ctx: click.Context, param: click.Parameter, value: str | None) -> dict[str, float]:
    try:
        return _by_stage(value or "", float)
    except ValueError as error:
        raise click.BadParameter("write it as blur=0.75,jpeg=0.4") from error


def _steps(ctx: click.Context, param: click.Parameter, value: str | None) -> dict[str, int]:
    try:
        return _by_stage(value or "", int)
    except ValueError as error:
        raise click.BadParameter("write it as fidelity=12000,score=5000") from error


@click.command(epilog=shared.examples("bayesr train bayes-srgan photos/ --out mine.safetensors --duration 600"))
@click.argument("recipe")
@click.argument("data", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The model file to write.")
@click.option(
    "--time-limit", type=float, default=float("inf"), help="Seconds after which training stops; --resume continues it."
)
@click.option("--patience", type=int, help="Number of steps without a better validation score that end a stage.")
@click.option("--every", default=200, show_default=True, help="Number of steps between validations and checkpoints.")
@click.option("--resume", is_flag=True, help="Continue from the checkpoint next to OUT.")
@click.option("--start", help="A model or a checkpoint to start from; weights that fit are taken over.")
@click.option("--steps", callback=_steps, help="Number of steps by stage, such as fidelity=12000,score=5000.")
@click.option(
    "--duration",
    callback=_duration,
    help="Seconds of training, whatever the steps: 600 in all, or by stage, such as fidelity=110,score=320.",
)
@click.option("--schedule", type=click.Choice(["cosine", "wsd"]), help="Schedule of learning rates.")
@click.option(
    "--precision",
    type=click.Choice(["auto", "float32", "bfloat16"]),
    default="auto",
    show_default=True,
    help="Of convolutions; auto is bfloat16 on CUDA.",
)
@click.option(
    "--held-out", type=shared.HeldOut(), default=120, show_default=True, metavar="NUMBER|FILE",
    help="Images kept for calibration: their number, or a text file with the file name of one image a line.",
)  # fmt: skip
@click.option("--kernel", default="bicubic", show_default=True, help="bicubic, gaussian, box or airy.")
@click.option("--sigma", default=0.0, help="Standard deviation of the gaussian kernel, in high-resolution pixels.")
@click.option("--na", type=float, help="Numerical aperture of the airy kernel.")
@click.option("--sharp-na", type=float, help="Numerical aperture of the high-resolution images, if they have one, too.")
@click.option("--wavelength", type=float, help="Wavelength for the airy kernel, in the unit of --pixel.")
@click.option("--pixel", type=float, help="Size of a high-resolution pixel, for the airy kernel.")
@click.option("--scale", default=4, show_default=True, help="Scale factor.")
@click.option(
    "--blur", type=(float, float), default=(0, 0), help="Range of additional blur, in high-resolution pixels."
)
@click.option("--noise", type=(float, float), default=(0, 0), help="Range of noise, standard deviation / value range.")
@click.option("--photon", type=(float, float), default=(0, 0), help="Range of noise variance per signal.")
@click.option(
    "--anisotropy", type=(float, float), default=(1, 1), help="Range of the blur's wider over narrower width."
)
@click.option(
    "--defocus", type=(float, float), default=(0, 0), help="Range of a disc's radius, high-resolution pixels."
)
@click.option("--bits", type=(float, float), default=(8, 8), help="Range of bits that low-resolution images have.")
@click.option("--jpeg", type=(float, float), default=(0, 0), help="Range of JPEG quality, 1 to 100.")
@click.option(
    "--chroma", type=click.Choice(["full", "half", "either"]), default="either", help="Resolution of a JPEG's chroma."
)
@click.option("--shares", callback=_shares, help="Probability of degradations, such as blur=0.75,jpeg=0.4.")
@click.option("--bands", default=3, show_default=True, help="3 for colour, 1 for grey.")
@shared.seed
@shared.device
@click.option("--domain", default="", help="Kind of images, for the model card.")
@click.option("--licence", default="", help="Licence of the training data, for the model card.")
def train(kernel: str, sigma: float, scale: int, domain: str, licence: str, **options: Any) -> None:
    """Train RECIPE on the images in DATA, calibrate it, and write a model file.

    RECIPE is a name, such as bayes-srgan, or a Python file that defines a RECIPE.

    Several processes train together when torchrun starts them:
    torchrun --nproc-per-node 2 -m bayesr.cli train ...
    """
    from bayesr.training.degradation import Degradation  # slow to import
    from bayesr.training.processes import started  # slow to import

    optics = {name: options.pop(name) for name in ("na", "sharp_na", "wavelength", "pixel")}
    if (kernel == "airy") != all(optics[name] is not None for name in ("na", "wavelength", "pixel")):
        raise click.UsageError("--kernel airy needs --na, --wavelength and --pixel, and they need --kernel airy.")
    observe = bayesr.observe
    operator = observe.airy(scale, **optics) if kernel == "airy" else observe.Separable(kernel, scale, sigma)
    chosen = ("blur", "noise", "photon", "anisotropy", "defocus", "bits", "jpeg", "chroma", "shares")
    degradation = Degradation(**{name: options.pop(name) for name in chosen})
    model = bayesr.train(
        forward_operator=operator, degradation=degradation,
        card={"domain": domain, "licence": licence}, progress=True, **options,
    )  # fmt: skip
    rank, count = started()
    if rank:
        return
    if model is None:
        click.echo(f"Time is up; --resume continues from {options['out'].with_suffix('.npz')}")
        if count == 1:  # torchrun would take a status for a failure
            sys.exit(3)
        return
    click.echo(f"The model is at {options['out'].absolute()}")


@click.command(epilog=shared.examples("bayesr curves mine.jsonl --out curves.png"))
@click.argument("histories", nargs=-1, required=True, metavar="RUN.jsonl...", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="The image to write; RUN.png by default.")
def curves(histories: tuple[Path, ...], out: Path | None) -> None:
    """Draw losses and validation scores of one or more trainings from their histories."""
    if find_spec("matplotlib") is None:
        raise click.ClickException("Curves need Matplotlib: pip install 'bayesr[report]'.")
    from bayesr.training.curves import draw  # needs Matplotlib, which is optional
    from bayesr.training.history import read  # slow to import

    names = [run.stem if len({other.stem for other in histories}) == len(histories) else str(run) for run in histories]
    runs = dict(zip(names, map(read, histories), strict=True))
    path = draw(runs, out or histories[0].with_suffix(".png"))
    click.echo(f"The curves are at {path.absolute()}")


def _levels(ctx: click.Context, param: click.Parameter, value: str) -> tuple[float, ...]:
    try:
        return tuple(sorted(float(part) for part in value.split(",") if part))
    except ValueError as error:
        raise click.BadParameter("write them as 0.5,0.9") from error


@click.command(
    epilog=shared.examples("bayesr calibrate natural-x4 photos/ --out mine.safetensors --source 'my photographs'")
)
@click.argument("model")
@click.argument("data", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The model file to write.")
@click.option(
    "--low",
    type=click.Path(path_type=Path),
    help="Folder of low-resolution images, with the same file names as those in DATA.",
)
@click.option(
    "--levels", callback=_levels, default="0.5,0.8,0.9,0.95", show_default=True, help="Levels of intervals to support."
)
@click.option(
    "--held-out", type=shared.HeldOut(), metavar="NUMBER|FILE",
    help="Use only the images that train --held-out excludes from training on DATA.",
)  # fmt: skip
@click.option("--images", is_flag=True, help="DATA are low-resolution images without a truth, or folders of such.")
@click.option("--limit", type=int, help="Largest number of images.")
@click.option("--source", default="", help="Description of the images, for the model card.")
@shared.seed
def calibrate(model: str, data: tuple[Path, ...], out: Path, levels: tuple[float, ...], **options: Any) -> None:
    """Calibrate MODEL on the held-out high-resolution images in DATA, and write it to OUT.

    The model's forward operator makes the low-resolution images, unless --low names their folder. With --images, the
    images in DATA are as taken: they are reduced once more, and are their own truth. That assumes that errors are alike
    at both scales.
    """
    from bayesr.training.held_out import files_of, gather  # slow to import

    shared.require_folder(out)
    low, held_out, limit = (options[name] for name in ("low", "held_out", "limit"))
    given: dict[str, Any]
    if options["images"]:
        if low is not None or held_out is not None:
            raise click.UsageError("--images have no truth: leave out --low and --held-out.")
        given = {"images": files_of(data)[:limit]}
    else:
        given = {"pairs": gather(model, data, low, held_out, limit)}
    count = len(*given.values())
    source = options["source"] or f"{count} images of {', '.join(sorted({folder.name for folder in data}))}"
    calibrated = bayesr.calibrate(model, **given, levels=levels, source=source, seed=options["seed"], progress=True)
    calibrated.save(out)
    ds = calibrated.calibration.dataset().sel(level=list(levels))
    click.echo("level  coverage           worst image  width / value range")
    for level in levels:
        row = {name: float(ds[name].sel(level=level)) for name in ("coverage", "standard_error", "worst", "width")}
        covered = f"{row['coverage']:.3f} +- {row['standard_error']:.3f}"
        click.echo(f"{level:<5g}  {covered:<17}  {row['worst']:<11.3f}  {row['width']:.3f}")
    click.echo(
        f"{ds.attrs['images']} images for the intervals, enough for levels up to {ds.attrs['largest_level']:.3f}"
    )
    click.echo(f"The model is at {out.absolute()}")
