"""Options that several commands share, as decorators."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from bayesr.errors import StoreExists

Command = TypeVar("Command", bound=Callable[..., Any])


def group(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Return a decorator that adds options in their order."""

    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


device = click.option(
    "--device", default="auto", show_default=True, help="auto, cpu, openvino, or a device of torch, such as cuda:0."
)
dims = click.option("--dims", help='Names of the axes where they are ambiguous: "yxb" or "byx".')
img_without_members = click.option("--img", help="The image that was sampled, for a store without members.")
level = click.option("--level", default=0.9, show_default=True, help="Level of the interval, in (0, 1).")
overwrite = click.option("--overwrite", is_flag=True, help="Replace an existing store.")
recorded_model = click.option("--model", help="The model file, where its path differs from the recorded one.")
seed = click.option("--seed", default=0, show_default=True, help="Seed of the random numbers.")
smallest = click.option(
    "--smallest", default=0, show_default=True, help="Smallest number of pixels of an object; smaller ones are dropped."
)
threshold = click.option(
    "--threshold", default=0.5, show_default=True, help="Smallest probability of a foreground pixel."
)
window = click.option(
    "--window",
    type=(int, int, int, int),
    metavar="TOP BOTTOM LEFT RIGHT",
    help="A part of the product, in high-resolution pixels.",
)

drawing = group(
    click.option("-n", default=32, show_default=True, help="Number of members."),
    click.option(
        "--model", default="natural-x4", show_default=True, help="The name of a bundled model, or a model file."
    ),
    seed,
    click.option("--masks", type=int, help="Number of dropout masks; divides n."),
    level,
    click.option("--keep-samples", is_flag=True, help="Write the members, too."),
    overwrite,
    device,
)
"""Options of commands that sample an image and write a product."""

if_sampled = group(
    click.option("--model", help="The name of a bundled model, or a model file."),
    click.option("-n", type=int, help="Number of members, for an image that is sampled first."),
    click.option("--seed", type=int, help="Seed of the members, for an image that is sampled first."),
)
"""Options of commands that read a product, or sample an image first."""

redrawing = group(
    recorded_model,
    click.option("--device", help="The device; by default the recorded one."),
)
"""Options of commands that draw members of a store."""

parallel = group(
    click.option("--workers", type=click.IntRange(1), help="Number of processes, with one thread each."),
    click.option("--cluster", metavar="ADDRESS", help="A dask.distributed cluster: tcp://host:8786."),
)
"""Options of commands that distribute tiles; see `cluster_of`."""


def cluster_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """Replace the options of `parallel` by the parameter ``cluster``."""
    rest = {name: value for name, value in options.items() if name not in ("workers", "cluster")}
    workers, cluster = options["workers"], options["cluster"]
    if workers is not None and cluster is not None:
        raise click.UsageError("--workers and --cluster contradict each other: choose one.")
    return rest | {"cluster": workers if cluster is None else cluster}


def given(**options: Any) -> dict[str, Any]:
    """Return the options that were given; others keep the defaults of the functions."""
    return {name: value for name, value in options.items() if value is not None}


def slices(window: tuple[int, ...] | None) -> tuple[slice, slice] | None:
    """Return the rows and columns of `window`."""
    return None if window is None else (slice(*window[:2]), slice(*window[2:]))


def require_new(out: Path | None) -> None:
    """Raise `StoreExists` where `out` exists."""
    if out is not None and out.exists():
        raise StoreExists(f"{out} is already there: choose another name.")


def require_folder(out: Path) -> None:
    """Raise a usage error where the folder of `out` is missing."""
    if not out.absolute().parent.is_dir():
        raise click.BadParameter(f"there is no folder {out.parent} to write {out.name} to", param_hint="--out")
