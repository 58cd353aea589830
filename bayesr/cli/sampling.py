"""``bayesr sample`` and ``demo``: the main job."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])


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


@click.command()
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


@click.command()
@click.argument("out", metavar="[OUT.zarr]", default="bayesr-demo.zarr")
@_sampling_options
def demo(out: str, **options: Any) -> None:
    """Run the main job on a bundled photograph."""
    import bayesr

    image = Path(__file__).parents[1] / "examples" / "coffee-x4.png"
    _tell(bayesr.sample(image, options.pop("n"), store=out, progress=True, **options), out)


def _tell(ds: Any, out: str) -> None:
    sizes = " x ".join(f"{ds.sizes[dim]} {dim}" for dim in ("band", "y", "x"))
    click.echo(f"{ds.attrs['n']} members of {sizes}, model {ds.attrs['model']}")
    click.echo(f"mean of std: {float(ds['std'].mean()):.3g}; interval at level {ds.attrs['level']:g}")
    click.echo(f"the input: {ds.attrs['input_check']}")
    click.echo(f"The product lies at {Path(out).absolute()}")
    click.echo(f"Open it with: xarray.open_zarr({out!r})")
