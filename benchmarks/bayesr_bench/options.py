"""Options that tables share: where data lies, which models are measured, and how much is spent.

Tables take them as annotations of their parameters; see `bayesr_bench.harness`.

A budget is a set of defaults. ``small`` replaces a table's own defaults by smaller ones, and values that are given on
the command line override either. The table records what a small budget stood for.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypeVar

import click
import pooch

from bayesr.errors import DataNotFound, InvalidArgument

VARIABLE = "BAYESR_DATA"
"""The environment variable that names the folder of data if ``--data`` is not given."""
BUDGETS = ("small", "full")
TRAINING = {"natural": ("photos_free",), "fluorescence": ("dsb2018/images",)}
"""Folders in ``train`` that models of a domain are trained on by default."""
_BUDGET = "bayesr.budget"

Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass(frozen=True)
class Option:
    """How a parameter of a table is given on the command line, where its annotation and default do not say it.

    Attributes
    ----------
    flags : tuple of str
        Such as ``("--side",)``; by default the parameter's name with dashes.
    settings : dict
        Arguments of `click.Option` that replace the derived ones.
    """

    flags: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __or__(self, other: Option) -> Option:
        """This option with all that another one says."""
        return Option(other.flags or self.flags, {**self.settings, **other.settings})


def option(*flags: str, **settings: Any) -> Option:
    """An `Option` from flags and arguments of `click.Option`."""
    return Option(flags, settings)


class TrainingBudget(NamedTuple):
    """What a table spends on each training.

    Attributes
    ----------
    name : str
        ``small``, ``full``, or ``given``.
    seconds : float
        Of processor time.
    """

    name: str
    seconds: float


# -- data ----------------------------------------------------------------------------------------


def cache() -> Path:
    """Where ``bayesr data fetch`` puts data: the user's cache folder."""
    return Path(pooch.os_cache("bayesr"))


def data_folder(given: Path | None = None) -> Path:
    """The folder that holds a folder for each set: as given, else by the environment, else what was fetched.

    Parameters
    ----------
    given : Path or None
        A folder of sets, or one that holds such a folder as ``bench`` (and training sets in ``train``).

    Raises
    ------
    DataNotFound
        If there is none.
    """
    named = given or (Path(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else None)
    if named is not None and not named.is_dir():
        source = "--data" if given else f"the environment variable {VARIABLE}"
        raise DataNotFound(f"There is no folder {named}, which {source} names.")
    folder = named or (cache() if (cache() / "bench").is_dir() else None)
    if folder is None:
        raise DataNotFound(
            "There is no data to measure on: fetch it with `bayesr data fetch`, or name a folder that holds a folder "
            f"for each set with --data or the environment variable {VARIABLE}."
        )
    return folder / "bench" if (folder / "bench").is_dir() else folder


def training_folders(data: Path, domain: str) -> tuple[Path, ...]:
    """The training sets of a domain (`TRAINING`) that lie in ``train`` beside a folder of sets, or in it."""
    for place in (data.parent / "train", data / "train"):
        found = tuple(place / name for name in TRAINING[domain] if (place / name).is_dir())
        if found:
            return found
    return ()


def _data(ctx: click.Context, option: click.Parameter, given: Path | None) -> Path:
    return data_folder(given)


_DATA: dict[str, Any] = dict(
    type=click.Path(path_type=Path),
    callback=_data,
    help="Folder with a folder for each data set, or with such a folder bench beside one of training sets, train.  "
    f"[default: ${VARIABLE}, else what `bayesr data fetch` brought]",
)
_OUT: dict[str, Any] = dict(
    type=click.Path(path_type=Path),
    default=Path("benchmarks"),
    show_default=True,
    help="Folder for the table, as JSON, CSV and Markdown.",
)
_MODELS = "Model to measure, by name or file; may be repeated."
_KEPT: dict[str, Any] = dict(
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for trained models: models that it holds, trained on the same terms, are not trained again.",
)
FOLDER = click.Path(path_type=Path, exists=True, file_okay=False)

# -- annotations of a table's parameters ---------------------------------------------------------

Data = Annotated[Path, Option(settings=_DATA)]
"""``data: Data``, a folder that exists and holds a folder for each set."""
Models = Annotated[tuple[str, ...], option(help=_MODELS)]
"""``models: Models = ("natural-x4",)``, names or files of models to measure."""
ModelName = Annotated[str, option(help="Model to measure, by name or file.")]
ModelsFolder = Annotated[Path | None, Option(("--models",), _KEPT)]
"""``keep: ModelsFolder = None``, a folder for trained models, which need not exist."""
Members = Annotated[int, option("-n", type=click.IntRange(min=2), help="Members.")]
Seed = Annotated[int, option(help="Of all random numbers.")]
Limit = Annotated[int | None, option(type=click.IntRange(min=1), help="Images per set, for a quick look.")]
Photographs = Annotated[
    tuple[Path, ...],
    option(
        "--train", type=FOLDER,
        help="Photographs to train on; may be repeated. By default photos_free in the folder train beside the sets.",
    ),
]  # fmt: skip
Fluorescence = Annotated[
    tuple[Path, ...], option(type=FOLDER, help="Fluorescence images to train on; may be repeated.")
]
Workers = Annotated[int, option(type=click.IntRange(min=1), help="Processes at a time.")]
Keep = Annotated[Path | None, option(type=click.Path(path_type=Path, file_okay=False), help="Folder to resume from.")]

# -- the same for plain click commands -----------------------------------------------------------

data_option = click.option("--data", **_DATA)
out_option = click.option("--out", **_OUT)
models_folder_option = click.option("--models", **_KEPT)


def models_option(*default: str) -> Callable[[Command], Command]:
    """``models: tuple[str, ...]``, names or files of models to measure; without a default all bundled models."""
    more = "" if default else "  [default: all bundled]"
    return click.option(
        "--models", multiple=True, default=default or None, show_default=bool(default), help=_MODELS + more
    )


def out_parameter() -> click.Option:
    """``--out``, which every table has."""
    return click.Option(["--out"], **_OUT)


# -- budgets -------------------------------------------------------------------------------------


def budget_option(**small: Any) -> Callable[[Command], Command]:
    """``budget: str``, ``small`` or ``full``; `small` as of `budget_parameter`."""
    return _decorated(lambda: budget_parameter(small))


def training_budget_option(seconds: Mapping[str, float], **small: Any) -> Callable[[Command], Command]:
    """``budget: TrainingBudget``; arguments as of `budget_parameter`."""
    return _decorated(lambda: budget_parameter(small, seconds))


def _decorated(make: Callable[[], click.Option]) -> Callable[[Command], Command]:
    def add(command: Command) -> Command:
        command.__dict__.setdefault("__click_params__", []).append(make())
        return command

    return add


def budget_parameter(small: Mapping[str, Any], seconds: Mapping[str, float] | None = None) -> click.Option:
    """``--budget``.

    Parameters
    ----------
    small : mapping of str to object
        By parameter, the values that a small budget uses as defaults.
    seconds : mapping of str to float, optional
        Processor time of each training, of ``small`` and of ``full``. The parameter is then a `TrainingBudget`, and a
        number of seconds may be given, too.
    """

    def chosen(ctx: click.Context, option: click.Parameter, given: str) -> str | TrainingBudget:
        _take(ctx, given, small)
        return given if seconds is None else _training(given, seconds)

    settings: dict[str, Any] = dict(default="full", show_default=True, is_eager=True, callback=chosen)
    if seconds is None:
        return click.Option(
            ["--budget"], type=click.Choice(BUDGETS), help=f"What is spent; small: {_said(small)}.", **settings
        )
    return click.Option(
        ["--budget"], metavar="small|full|SECONDS",
        help=f"Processor seconds that each training takes; full: {seconds['full']:g}; small: {seconds['small']:g}, "
        f"{_said(small)}.", **settings,
    )  # fmt: skip


def _training(given: str, seconds: Mapping[str, float]) -> TrainingBudget:
    if given in BUDGETS:
        return TrainingBudget(given, float(seconds[given]))
    try:
        found = float(given)
    except ValueError:
        found = 0.0
    if not 0 < found < float("inf"):
        raise InvalidArgument(f"--budget is small, full, or a positive number of seconds, not {given!r}.")
    return TrainingBudget("given", found)


def _take(ctx: click.Context, name: str, small: Mapping[str, Any]) -> None:
    # The option is eager, so that defaults are in place before any other option looks for its own.
    if name == "small":
        ctx.default_map = {**(ctx.default_map or {}), **small}
    ctx.meta[_BUDGET] = name, tuple(small)


def spent() -> str | None:
    """The budget of the command that runs, with what a small one stood for; None where commands have none."""
    ctx = click.get_current_context(silent=True)
    if ctx is None or _BUDGET not in ctx.meta:
        return None
    name, smaller = ctx.meta[_BUDGET]
    if name != "small":
        return str(name) if name in BUDGETS else f"{name} processor seconds a training"
    return f"small, not for comparison with a full one: {_said({key: ctx.params[key] for key in smaller})}"


def _said(values: Mapping[str, Any]) -> str:
    def one(value: Any) -> str:
        return " ".join(map(str, value)) or "none" if isinstance(value, tuple | list) else str(value)

    return ", ".join(f"{key.replace('_', ' ')} {one(value)}" for key, value in values.items())
