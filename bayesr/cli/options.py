"""Options that several commands share, as decorators."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from bayesr.errors import StoreExists
from bayesr.files import zarr_store

Command = TypeVar("Command", bound=Callable[..., Any])


def group(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Return a decorator that adds options in their order."""

    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def examples(*lines: str) -> str:
    """Return the epilog of a command: examples of calls, one a line."""
    return "\b\n" + "\n".join(("Example:" if len(lines) == 1 else "Examples:", *(f"  {line}" for line in lines)))


def print_json(value: Any) -> None:
    """Print one JSON document: arrays as lists, and numbers that JSON lacks as null."""
    click.echo(json.dumps(_plain(value), indent=1, allow_nan=False))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if hasattr(value, "tolist"):  # of NumPy, which is slow to import
        return _plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, str | int) else str(value)


as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead.")
device = click.option(
    "--device", default="auto", show_default=True, help="auto, cpu, openvino, or a device of torch, such as cuda:0."
)
dims = click.option(
    "--dims",
    callback=lambda ctx, param, value: tuple(value.split(",")) if value and "," in value else value,
    help='Names of the axes where they are ambiguous: "yxb" or "byx", or "time,y,x,band" for a stack.',
)
img_without_members = click.option("--img", help="The image that was sampled, for a store without members.")
level = click.option("--level", default=0.9, show_default=True, help="Level of the interval, in (0, 1).")
overwrite = click.option("--overwrite", is_flag=True, help="Replace an existing store or file.")
recorded_model = click.option("--model", help="The model file, where its path differs from the recorded one.")
seed = click.option("--seed", default=0, show_default=True, help="Seed of the random numbers.")
smallest = click.option(
    "--smallest", default=0, show_default=True, help="Smallest number of pixels of an object; smaller ones are dropped."
)
threshold = click.option(
    "--threshold", default=0.5, show_default=True, help="Smallest probability of a foreground pixel."
)


def _noise(ctx: click.Context, param: click.Parameter, value: str | None) -> float | tuple[float, ...] | None:
    if value is None:
        return None
    try:
        numbers = tuple(float(part) for part in value.split(","))
    except ValueError:
        raise click.BadParameter(f"{value!r} is neither a number nor two, such as 0.1,2.5") from None
    return numbers[0] if len(numbers) == 1 else numbers


noise = click.option(
    "--noise", metavar="SIGMA | GAIN,READ", callback=_noise,
    help="Noise of the low-resolution image, in its units, for chi_squared; by default estimated.",
)  # fmt: skip
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
    click.option(
        "--precision", default="float32", show_default=True, help="Of the network: float32, or the faster bfloat16."
    ),
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


VALUE_RANGE = "--value-range"
VALUE_RANGES = ("minmax", "unit", "percentiles")
"""Words of `bayesr.product.arguments`, which is slow to import."""


class ValueRangeCommand(click.Command):
    """A command whose option ``--value-range`` takes two numbers or one word.

    Click's options take a fixed number of values: a word is given twice to it.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, list(_repeat_words(args)))


def _repeat_words(args: list[str]) -> Iterator[str]:
    left = iter(args)
    for arg in left:
        if arg == "--":
            yield from (arg, *left)
            return
        name, equals, word = arg.partition("=")
        if name != VALUE_RANGE:
            yield arg
            continue
        yield name
        word = word if equals else next(left, "")
        yield from (word, word) if word in VALUE_RANGES else filter(None, (word,))


class _End(click.ParamType[float | str]):
    """An end of a value range, or a word for all of it."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float | str:
        if value in VALUE_RANGES:
            return str(value)
        try:
            return float(value)
        except ValueError:
            self.fail(f"{value!r} is no number, and none of {', '.join(VALUE_RANGES)}.", param, ctx)


def _range(ctx: click.Context, param: click.Parameter, value: tuple[Any, Any] | None) -> Any:
    words = [end for end in value or () if isinstance(end, str)]
    if len(words) == 1 or len(set(words)) > 1:
        raise click.BadParameter(f"give two numbers, or one of {', '.join(VALUE_RANGES)}")
    return words[0] if words else value


class HeldOut(click.ParamType[int | Path]):
    """Held-out images: their number, or a text file with their names."""

    name = "number or file"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | Path:
        try:
            number = int(value)
        except (TypeError, ValueError):
            return Path(value)
        if number < 0:
            self.fail(f"{number} is no number of images.", param, ctx)
        return number


class Operators(click.ParamType[Any]):
    """What is known of an image's forward operator: a posterior in a file, or JSON, in a file or as it is."""

    name = "file or JSON"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        text = str(value)
        if text.lstrip().startswith(("{", "[")):
            return self._described(text, param, ctx)
        path = Path(text)
        if not path.exists():
            self.fail(f"there is no file {text}.", param, ctx)
        if path.suffix == ".json":
            return self._described(path.read_text("utf-8"), param, ctx)
        if not path.is_dir() and path.suffix != ".nc":
            self.fail(f"{text} is no store of bayesr observe ... --out, nor a .nc or .json file.", param, ctx)
        import xarray as xr  # slow to import

        options: dict[str, Any] = {"engine": "zarr", "consolidated": False} if path.is_dir() else {}
        try:
            with xr.open_dataset(zarr_store(path) if path.is_dir() else path, **options) as ds:
                return ds.load()
        except (OSError, ValueError, KeyError) as error:
            self.fail(f"{text} is no posterior of bayesr observe ... --out ({error}).", param, ctx)

    def _described(self, text: str, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        from bayesr.observe import from_description  # slow to import

        try:
            found = json.loads(text)
        except ValueError as error:
            self.fail(f"it is no JSON ({error}).", param, ctx)
        return [from_description(one) for one in (found if isinstance(found, list) else [found])]


forward_operator = click.option(
    "--forward-operator", type=Operators(), metavar="FILE | JSON",
    help="What is known of the blur, for models of a range of blur: a posterior of bayesr observe ... --out, or an "
    'operator such as \'{"kernel": "gaussian", "scale": 4, "sigma": 2.1, "noise": 0.01}\'.',
)  # fmt: skip

value_range = click.option(
    VALUE_RANGE, type=(_End(), _End()), callback=_range, metavar="LOW HIGH | WORD",
    help="Input values that are 0 and 1 for the network: two numbers, or minmax, unit (0 and 1) or percentiles "
    "(0.1 and 99.9).",
)  # fmt: skip
"""The option of a `ValueRangeCommand`."""


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
