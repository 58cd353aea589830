"""The command line. Commands import what they need when they run, so that help comes at once."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

import click

from bayesr import __version__

Command = TypeVar("Command", bound=Callable[..., Any])


class _Group(click.Group):
    """Turns every error that bayesr raises on purpose into one line and exit status 1, its warnings into lines."""

    def invoke(self, ctx: click.Context) -> Any:
        from bayesr.errors import BayesrError, TilesDiffer, UnfamiliarInput

        def show(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
            text = str(message) if category in (UnfamiliarInput, TilesDiffer) else f"{category.__name__}: {message}"
            click.echo(f"Warning: {text}", err=True)

        try:
            with warnings.catch_warnings():
                warnings.showwarning = show
                return super().invoke(ctx)
        except BayesrError as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="bayesr")
def main() -> None:
    """Super-resolution that says what it does not know."""


_TABLES = {
    "posterior": "Scores as ratios to an exact posterior, of bayes-srgan and of what else is used.",
    "epistemic": "Aleatoric and epistemic against the exact posterior variance, by training data and domain.",
    "quality": "Fidelity of the mean and quality of the spread on Set5, Set14 and BSD100.",
    "domains": "Every model on every set, and how models of a domain compare with that of photographs.",
    "realism": "Members against the truth: power by frequency, a network that tells them apart, and their scores.",
    "systems": "Every recipe after an equal budget of training on equal data, on photographs and on fluorescence.",
    "sheet": "Twelve crops: input, mean, four members, standard deviation, truth, as one picture.",
    "calibration": "Coverage of intervals on photographs, and on aerial images they were not calibrated for.",
    "inputs": "The share of images, as they are and degraded, that the input check warns about.",
    "search": "Tails and losses that were tried: score and time of each, with the same trunk and training.",
    "speed": "Time of 32 members against one pass of SRGAN's generator; memory; start-up.",
}


class _Tables(click.Group):
    """Loads the module of a table when it is asked for: they need nearly everything."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_TABLES)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in _TABLES:
            return None
        found: click.Command = import_module(f"bayesr.bench.{name}").command
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Tables"):
            formatter.write_dl(list(_TABLES.items()))


@main.group(cls=_Tables)
def bench() -> None:
    """Measure what bayesr claims, and record it."""


def _sampling_options(command: Command) -> Command:
    for option in (
        click.option("-n", default=32, show_default=True, help="Members."),
        click.option("--model", default="natural-x4", show_default=True, help="A bundled name, or a model file."),
        click.option("--seed", default=0, show_default=True),
        click.option("--masks", type=int, help="Dropout masks; divides n."),
        click.option("--level", default=0.9, show_default=True, help="Of the interval, in (0, 1)."),
        click.option("--keep-samples", is_flag=True, help="Write the members too."),
        click.option("--overwrite", is_flag=True, help="Replace a store that is there."),
        click.option("--device", default="auto", show_default=True, help="auto, cpu, openvino, or as torch says it."),
    ):
        command = option(command)
    return command


@main.command()
@click.argument("img", metavar="IN")
@click.argument("out", metavar="OUT.zarr")
@_sampling_options
@click.option("--resume", is_flag=True, help="Go on with an unfinished store.")
@click.option("--dims", help='Names of the axes where they are ambiguous: "yxb" or "byx".')
@click.option("--nodata", type=float, help="The value of missing pixels.")
@click.option("--value-range", type=(float, float), help="Input values that the network sees as 0 and 1.")
@click.option("--tile", type=int, help="Side of a tile, in input pixels.")
def sample(img: str, out: str, **options: Any) -> None:
    """Draw members of the image IN and write the product to OUT.zarr."""
    import bayesr

    ds = bayesr.sample(img, options.pop("n"), store=out, progress=True, **options)
    _tell(ds, out)


@main.command()
@click.argument("out", metavar="[OUT.zarr]", default="bayesr-demo.zarr")
@_sampling_options
def demo(out: str, **options: Any) -> None:
    """Run the main job on a bundled photograph."""
    import bayesr

    image = Path(__file__).parent / "examples" / "coffee-x4.png"
    _tell(bayesr.sample(image, options.pop("n"), store=out, progress=True, **options), out)


def _tell(ds: Any, out: str) -> None:
    sizes = " x ".join(f"{ds.sizes[dim]} {dim}" for dim in ("band", "y", "x"))
    click.echo(f"{ds.attrs['n']} members of {sizes}, model {ds.attrs['model']}")
    click.echo(f"mean of std: {float(ds['std'].mean()):.3g}; interval at level {ds.attrs['level']:g}")
    click.echo(f"the input: {ds.attrs['input_check']}")
    click.echo(f"The product lies at {Path(out).absolute()}")
    click.echo(f"Open it with: xarray.open_zarr({out!r})")


@main.command()
@click.argument("store", metavar="STORE.zarr")
@click.argument("reference")
@click.option("--out", type=click.Path(path_type=Path), help="Write maps and figures to this Zarr store.")
@click.option("--overwrite", is_flag=True, help="Replace a store that is there.")
@click.option("--img", help="The low-resolution image, where the store holds no members.")
@click.option("--model", help="The model file, where it does not lie under its recorded name.")
@click.option("--dims", help='Names of the axes of REFERENCE where they are ambiguous: "yxb" or "byx".')
@click.option("--seed", default=0, show_default=True, help="Of the random numbers that break ties.")
def score(store: str, reference: str, out: Path | None, overwrite: bool, **options: Any) -> None:
    """Score the product STORE.zarr against the high-resolution image REFERENCE."""
    from rich.console import Console
    from rich.table import Table

    import bayesr
    from bayesr.store import check

    if out is not None:
        check(out, 0, overwrite=overwrite, resume=False)
    scores = bayesr.score(store, reference, progress=True, **options)
    table = Table("figure", "value", "what it is", title=f"n = {scores.attrs['n']}, {scores.attrs['model']}")
    for name, figure in scores.data_vars.items():
        units, meaning = figure.attrs.get("units", "1").removesuffix("1"), figure.attrs["long_name"]
        if figure.dims == ("level",):
            meaning += " at " + ", ".join(f"{level:g}" for level in figure["level"].values)
        if figure.dims in ((), ("level",)):
            table.add_row(str(name), ", ".join(f"{v:.4g}" for v in figure.values.flat) + f" {units}", meaning)
    Console().print(table)
    if out is not None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that consolidation is not in the Zarr v3 specification yet
            scores.to_zarr(out, mode="w" if overwrite else "w-")
        click.echo(f"Maps and curves lie at {out.absolute()}")


@main.command()
def models() -> None:
    """List the models at hand."""
    from rich.console import Console
    from rich.table import Table

    from bayesr.catalogue import models as known

    table = Table("name", "domain", "scale", "bands", "parameters", "size", "PSNR, fair CRPS of the mean of n")
    for info in known():
        scores = "\n".join(
            f"{name}: {value['PSNR']:.2f} dB, {value['fair CRPS']:.2f}" + (f", n={value['n']}" if "n" in value else "")
            for name, value in info.scores.items()
            if "PSNR" in value and "fair CRPS" in value
        )
        size = f"{info.bytes / 2**20:.1f} MiB"
        table.add_row(info.name, info.domain, f"x{info.scale}", str(info.bands), f"{info.parameters:,}", size, scores)
    Console().print(table)


@main.command()
@click.argument("model", required=False)
@click.option("--out", type=click.Path(path_type=Path), help="The Markdown file to write; standard output by default.")
@click.option(
    "--set", "texts", type=(str, str), multiple=True, metavar="NAME TEXT",
    help="Write a text into the model file first: use, limits, domain, licence or hardware.",
)  # fmt: skip
def card(model: str | None, out: Path | None, texts: tuple[tuple[str, str], ...]) -> None:
    """The card of MODEL as Markdown, from the file itself; without MODEL a page of all that are bundled."""
    from bayesr.card import markdown, page, store_text
    from bayesr.catalogue import locate

    if model is None and texts:
        raise click.UsageError("Say whose texts these are: bayesr card MODEL --set NAME TEXT.")
    for name, text in texts:
        store_text(locate(model or ""), name, text)
    found = page(out.parent if out else Path()) if model is None else markdown(model)
    if out is None:
        click.echo(found, nl=False)
        return
    out.write_text(found)
    click.echo(f"The card lies at {out.absolute()}")


def _steps(ctx: click.Context, param: click.Parameter, value: str | None) -> dict[str, int]:
    try:
        return {name: int(count) for name, count in (part.split("=") for part in (value or "").split(",") if part)}
    except ValueError as error:
        raise click.BadParameter("write it as fidelity=12000,score=5000") from error


@main.command()
@click.argument("recipe")
@click.argument("data", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The model file to write.")
@click.option("--time-limit", type=float, default=float("inf"), help="Seconds, after which --resume goes on.")
@click.option("--patience", type=int, help="Steps without a better validation score that end a stage.")
@click.option("--every", default=200, show_default=True, help="Steps between validations and checkpoints.")
@click.option("--resume", is_flag=True, help="Go on from the checkpoint beside OUT.")
@click.option("--start", help="A model, or a training's checkpoint, to start from; what fits is taken.")
@click.option("--steps", callback=_steps, help="Steps by stage, such as fidelity=12000,score=5000.")
@click.option("--held-out", default=120, show_default=True, help="Images kept for calibration.")
@click.option("--kernel", default="bicubic", show_default=True, help="bicubic, gaussian, box or airy.")
@click.option("--sigma", default=0.0, help="Of the gaussian kernel, in high-resolution pixels.")
@click.option("--na", type=float, help="Numerical aperture, of the airy kernel.")
@click.option("--sharp-na", type=float, help="That of high-resolution images, if they are seen through one too.")
@click.option("--wavelength", type=float, help="Of the airy kernel; in the unit of --pixel.")
@click.option("--pixel", type=float, help="Size of a high-resolution pixel, of the airy kernel.")
@click.option("--scale", default=4, show_default=True)
@click.option("--blur", type=(float, float), default=(0, 0), help="Range of further blur, high-resolution pixels.")
@click.option("--noise", type=(float, float), default=(0, 0), help="Range of noise, standard deviation / value range.")
@click.option("--photon", type=(float, float), default=(0, 0), help="Range of noise variance per signal.")
@click.option("--bands", default=3, show_default=True, help="3 for colour, 1 for grey.")
@click.option("--seed", default=0, show_default=True)
@click.option("--device", default="auto", show_default=True)
@click.option("--domain", default="", help="For the model's papers.")
@click.option("--licence", default="", help="Of the training data, for the model's papers.")
def train(kernel: str, sigma: float, scale: int, domain: str, licence: str, **options: Any) -> None:
    """Train RECIPE on the images in DATA, calibrate it, and write a model file.

    RECIPE is a name, such as bayes-srgan, or a Python file that defines a RECIPE.

    Several processes train together when torchrun starts them:
    torchrun --nproc-per-node 2 -m bayesr.cli train ...
    """
    import bayesr
    from bayesr.observe import Separable, airy
    from bayesr.training.degradation import Degradation
    from bayesr.training.processes import started

    optics = {name: options.pop(name) for name in ("na", "sharp_na", "wavelength", "pixel")}
    if (kernel == "airy") != all(optics[name] is not None for name in ("na", "wavelength", "pixel")):
        raise click.UsageError("--kernel airy needs --na, --wavelength and --pixel, and they need --kernel airy.")
    operator = airy(scale, **optics) if kernel == "airy" else Separable(kernel, scale, sigma)
    ranges = {name: options.pop(name) for name in ("blur", "noise", "photon")}
    model = bayesr.train(
        observation=operator, degradation=Degradation(**ranges),
        card={"domain": domain, "licence": licence}, progress=True, **options,
    )  # fmt: skip
    rank, count = started()
    if rank:
        return
    if model is None:
        click.echo(f"Time is up; go on with --resume. The checkpoint is {options['out'].with_suffix('.npz')}")
        if count == 1:  # torchrun would take a status for a failure
            sys.exit(3)
        return
    click.echo(f"The model lies at {options['out'].absolute()}")


@main.command()
@click.argument("histories", nargs=-1, required=True, metavar="RUN.jsonl...", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="The image to write; RUN.png by default.")
def curves(histories: tuple[Path, ...], out: Path | None) -> None:
    """Draw losses and validation scores of one or more trainings from their histories."""
    from importlib.util import find_spec

    if find_spec("matplotlib") is None:
        raise click.ClickException("Curves are drawn by Matplotlib: pip install 'bayesr[report]'.")
    from bayesr.training.curves import draw
    from bayesr.training.history import read

    names = [run.stem if len({other.stem for other in histories}) == len(histories) else str(run) for run in histories]
    runs = dict(zip(names, map(read, histories), strict=True))
    path = draw(runs, out or histories[0].with_suffix(".png"))
    click.echo(f"The curves lie at {path.absolute()}")


def _levels(ctx: click.Context, param: click.Parameter, value: str) -> tuple[float, ...]:
    try:
        return tuple(sorted(float(part) for part in value.split(",") if part))
    except ValueError as error:
        raise click.BadParameter("write them as 0.5,0.9") from error


@main.command()
@click.argument("model")
@click.argument("data", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The model file to write.")
@click.option(
    "--low", type=click.Path(path_type=Path), help="Folder of low-resolution images with the names of DATA's."
)
@click.option("--levels", callback=_levels, default="0.5,0.8,0.9,0.95", show_default=True, help="To be supported.")
@click.option("--held-out", type=int, help="Only the images that train --held-out keeps from training on DATA.")
@click.option("--limit", type=int, help="At most so many images.")
@click.option("--source", default="", help="What the images are, for the model's papers.")
@click.option("--seed", default=0, show_default=True)
def calibrate(model: str, data: tuple[Path, ...], out: Path, levels: tuple[float, ...], **options: Any) -> None:
    """Calibrate MODEL on the held-out high-resolution images in DATA, and write it to OUT.

    Low-resolution images are made with the model's observation, unless --low has them.
    """
    from bayesr.training.held_out import gather
    from bayesr.training.workflow import calibrate as fit

    if not out.parent.is_dir():
        raise click.BadParameter(f"there is no folder {out.parent} to write {out.name} to", param_hint="--out")
    pairs = gather(model, data, options["low"], options["held_out"], options["limit"])
    source = options["source"] or f"{len(pairs)} images of {', '.join(sorted({folder.name for folder in data}))}"
    calibrated = fit(model, pairs, levels=levels, source=source, seed=options["seed"], progress=True)
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
    click.echo(f"The model lies at {out.absolute()}")


@main.command()
@click.argument("source", metavar="STORE_OR_IMG")
@click.option("-k", default=4, show_default=True, help="Components, fewer than members.")
@click.option("--img", help="The image that was sampled, for a store without members.")
@click.option("--window", type=(int, int, int, int), metavar="TOP BOTTOM LEFT RIGHT", help="High-resolution pixels.")
@click.option("--out", type=click.Path(path_type=Path), help="A Zarr store to write them to.")
@click.option("--model", help="A bundled name, or a model file.")
@click.option("-n", type=int, help="Members, for an image.")
@click.option("--seed", type=int, help="For an image.")
def components(
    source: str,
    k: int,
    img: str | None,
    window: tuple[int, ...] | None,
    out: Path | None,
    model: str | None,
    **options: Any,
) -> None:
    """The K ways in which the answer varies most, of a product's store or of an image that is sampled first."""
    import bayesr
    from bayesr.errors import StoreExists

    if out is not None and out.exists():
        raise StoreExists(f"{out} is already there: choose another name.")
    part = None if window is None else (slice(*window[:2]), slice(*window[2:]))
    given = {name: value for name, value in options.items() if value is not None}
    ds = bayesr.components(source, k, img=img, window=part, model=model, progress=True, **given)
    click.echo(f"component  share of the variance ({ds['share'].attrs['comment']})")
    for i, share in enumerate(ds["share"].values):
        click.echo(f"{i:<9}  {share:.3f}")
    if out is not None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that consolidation is not in the Zarr v3 specification yet
            ds.to_zarr(out, zarr_format=3)
        click.echo(f"Images and scores lie at {out.absolute()}")


if __name__ == "__main__":
    main()
