"""``bayesr sample`` and ``demo``: the main job; ``extend`` and ``check``: what can be done with its stores."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])


def _with(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


_device = click.option("--device", default="auto", show_default=True, help="auto, cpu, openvino, or as torch says it.")
_drawing = _with(
    click.option("-n", default=32, show_default=True, help="Members."),
    click.option("--model", default="natural-x4", show_default=True, help="A bundled name, or a model file."),
    click.option("--seed", default=0, show_default=True),
    click.option("--masks", type=int, help="Dropout masks; divides n."),
    click.option("--level", default=0.9, show_default=True, help="Of the interval, in (0, 1)."),
    click.option("--keep-samples", is_flag=True, help="Write the members too."),
    click.option("--overwrite", is_flag=True, help="Replace a store that is there."),
    _device,
)
_many = _with(
    click.option("--workers", type=click.IntRange(1), help="Draw in so many processes, one thread each."),
    click.option("--cluster", metavar="ADDRESS", help="Draw on a dask.distributed cluster: tcp://host:8786."),
)
_again = _with(
    click.option("--model", help="The model file, where it does not lie under its recorded name."),
    click.option("--device", help="By default the recorded one."),
)


def _cluster(options: dict[str, Any]) -> dict[str, Any]:
    workers, cluster = options.pop("workers"), options.pop("cluster")
    if workers is not None and cluster is not None:
        raise click.UsageError("--workers and --cluster contradict each other: choose one.")
    return options | {"cluster": workers if cluster is None else cluster}


@contextmanager
def _resumable(how: str) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        click.echo(f"\nInterrupted. What was finished stays: go on with {how}.", err=True)
        raise SystemExit(130) from None


@click.command()
@click.argument("img", metavar="IN")
@click.argument("out", metavar="OUT.zarr")
@_drawing
@_many
@click.option("--resume", is_flag=True, help="Go on with an unfinished store; what is done stays.")
@click.option("--dims", help='Names of the axes where they are ambiguous: "yxb" or "byx".')
@click.option("--nodata", type=float, help="The value of missing pixels.")
@click.option("--value-range", type=(float, float), help="Input values that the network sees as 0 and 1.")
@click.option("--tile", type=int, help="Side of a tile, in input pixels; a tile is a shard.")
@click.option("--variables", help="Which variables are written, as mean,std; all by default.")
@click.option("--keepbits", type=int, help="Bits of the significand that are kept, 1 to 23; all by default.")
def sample(img: str, out: str, variables: str | None, **options: Any) -> None:
    """Draw members of the image IN and write the product to OUT.zarr, a path or a URL."""
    import bayesr

    options = _cluster(options) | {"variables": variables.split(",") if variables is not None else None}
    options["keep_samples"] = options["keep_samples"] or None  # no flag says nothing, so that variables may
    with _resumable("the same command and --resume"):
        ds = bayesr.sample(img, options.pop("n"), store=out, progress=True, **options)
    _tell(ds, out)


@click.command()
@click.argument("out", metavar="[OUT.zarr]", default="bayesr-demo.zarr")
@_drawing
def demo(out: str, **options: Any) -> None:
    """Run the main job on a bundled photograph."""
    import bayesr

    image = Path(__file__).parents[1] / "examples" / "coffee-x4.png"
    _tell(bayesr.sample(image, options.pop("n"), store=out, progress=True, **options), out)


@click.command()
@click.argument("store", metavar="STORE.zarr")
@click.option("-n", type=int, required=True, help="Members in the end, a multiple of the masks.")
@_again
@_many
def extend(store: str, n: int, **options: Any) -> None:
    """Add members to a finished product; those that are there are not drawn again."""
    import bayesr

    with _resumable("the same command"):
        ds = bayesr.extend(store, n, progress=True, **_cluster(options))
    _tell(ds, store)


@click.command()
@click.argument("store", metavar="STORE.zarr")
@click.option("--repair", is_flag=True, help="Draw damaged tiles again, and just these.")
@click.option("--img", help="The image that was sampled, where the store's own copy is damaged.")
@_again
@_many
def check(store: str, **options: Any) -> None:
    """Compare every shard of a product with its recorded checksum.

    The exit status is 1 where something is damaged or not drawn yet, and stays so.
    """
    import bayesr

    found = bayesr.check(store, progress=True, **_cluster(options))
    click.echo(str(found))
    if found.unfinished or found.repaired < len(found.damaged) or (found.image and not options["repair"]):
        raise SystemExit(1)


def _tell(ds: Any, out: str) -> None:
    sizes = " x ".join(f"{ds.sizes[dim]} {dim}" for dim in ("band", "y", "x"))
    click.echo(f"{ds.attrs['n']} members of {sizes}, model {ds.attrs['model']}")
    if "std" in ds:
        click.echo(f"mean of std: {float(ds['std'].mean()):.3g}; interval at level {ds.attrs['level']:g}")
    click.echo(f"the input: {ds.attrs['input_check']}")
    click.echo(f"The product lies at {out if '://' in out else Path(out).absolute()}")
    click.echo(f"Open it with: xarray.open_zarr({out!r})")
