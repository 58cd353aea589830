"""Options that tables share: folders of data, models, and the budget.

Tables use them as annotations of their parameters; see `bayesr_bench.harness`.

A budget is a set of defaults. ``small`` replaces a table's own defaults by smaller ones, and values that are given on
the command line override both. The record of the table states the values of a small budget.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import click
import pooch

from bayesr.errors import DataNotFound, InvalidArgument

VARIABLE = "BAYESR_DATA"
"""The environment variable with the folder of data that is used without ``--data``."""
BUDGETS = ("small", "full")
TRAINING = {"natural": ("photos_free",), "fluorescence": ("dsb2018/images",)}
"""For each domain, the folders in ``train`` on which models are trained by default."""
_BUDGET = "bayesr.budget"


@dataclass(frozen=True)
class Option:
    """Settings of an option that do not follow from the annotation and the default of a table's parameter.

    Attributes
    ----------
    flags : tuple of str
        Flags such as ``("--side",)``; by default the parameter's name with dashes.
    settings : dict
        Arguments of `click.Option` that replace the derived ones.
    """

    flags: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __or__(self, other: Option) -> Option:
        """Return this option with the flags and settings of another one, where that has any."""
        return Option(other.flags or self.flags, {**self.settings, **other.settings})


def option(*flags: str, **settings: Any) -> Option:
    """Return an `Option` from flags and arguments of `click.Option`."""
    return Option(flags, settings)


def sets_of(names: Iterable[str]) -> Option:
    """Return the option of a parameter that takes some of the sets of these names."""
    return option(type=click.Choice(list(names)), help="Set to measure on; may be repeated.")


class TrainingBudget(NamedTuple):
    """The time of each training of a table.

    Attributes
    ----------
    name : str
        ``small``, ``full``, or ``given``.
    seconds : float
        Processor time.
    """

    name: str
    seconds: float


# -- data ----------------------------------------------------------------------------------------


def cache() -> Path:
    """Return the folder to which ``bayesr data fetch`` downloads: the user's cache folder."""
    return Path(pooch.os_cache("bayesr"))


def data_folder(given: Path | None = None) -> Path:
    """Return the folder of sets: the given one, that of the environment variable, or that of downloaded sets.

    Parameters
    ----------
    given : Path or None
        A folder that holds a folder for each set, or a folder that holds such a folder with the name ``bench`` (and
        training sets in ``train``).

    Raises
    ------
    DataNotFound
        If there is no such folder.
    """
    named = given or (Path(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else None)
    if named is not None and not named.is_dir():
        source = "--data" if given else f"the environment variable {VARIABLE}"
        raise DataNotFound(f"There is no folder {named}, which {source} names.")
    folder = named or (cache() if (cache() / "bench").is_dir() else None)
    if folder is None:
        raise DataNotFound(
            "There are no images to measure on: download them with `bayesr data fetch`, or name a folder that holds a "
            f"folder for each set with --data or the environment variable {VARIABLE}."
        )
    return folder / "bench" if (folder / "bench").is_dir() else folder


def training_folders(data: Path, domain: str) -> tuple[Path, ...]:
    """Return the training sets of a domain (`TRAINING`) in the folder ``train`` beside a folder of sets, or in it."""
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
    help="Folder that holds a folder for each set, or the folders bench (of sets) and train (of training sets).  "
    f"[default: ${VARIABLE}, or the downloads of `bayesr data fetch`]",
)
_OUT: dict[str, Any] = dict(
    type=click.Path(path_type=Path),
    default=Path("benchmarks"),
    show_default=True,
    help="Folder to which the table is written, as JSON, CSV and Markdown.",
)
FOLDER = click.Path(path_type=Path, exists=True, file_okay=False)
NEW_FOLDER = click.Path(path_type=Path, file_okay=False)
"""The type of a folder that need not exist."""

# -- annotations of a table's parameters ---------------------------------------------------------

Data = Annotated[Path, option(**_DATA)]
"""``data: Data``, an existing folder that holds a folder for each set."""
Models = Annotated[tuple[str, ...], option(help="Model to measure, by name or file; may be repeated.")]
"""``models: Models = ("natural-x4",)``, names or files of models to measure."""
ModelName = Annotated[str, option(help="Model to measure, by name or file.")]
ModelsFolder = Annotated[
    Path | None,
    option(
        "--models", type=NEW_FOLDER,
        help="Folder for trained models: models in it that were trained with the same settings are not trained again.",
    ),
]  # fmt: skip
"""``models: ModelsFolder = None``, a folder for trained models, which need not exist."""
Members = Annotated[int, option("-n", type=click.IntRange(min=2), help="Number of members.")]
Seed = Annotated[int, option(help="Seed of all random numbers.")]
Limit = Annotated[int | None, option(type=click.IntRange(min=1), help="Number of images per set, for a quick look.")]
Photographs = Annotated[
    tuple[Path, ...],
    option(
        "--train", type=FOLDER,
        help="Folder of photographs to train on; may be repeated. By default photos_free in the folder train.",
    ),
]  # fmt: skip
Fluorescence = Annotated[
    tuple[Path, ...], option(type=FOLDER, help="Folder of fluorescence images to train on; may be repeated.")
]
Count = Annotated[int, option(type=click.IntRange(min=1))]
"""``steps: Annotated[Count, "Steps."] = 100``, an integer of at least 1."""
SRGAN = Annotated[
    Path | None, option(type=click.Path(path_type=Path, exists=True), help="A trained srgan to compare with.")
]
Workers = Annotated[int, option(type=click.IntRange(min=1), help="Number of processes.")]
Keep = Annotated[Path | None, option(type=NEW_FOLDER, help="Folder for results and checkpoints, to resume from.")]

# -- the same for plain click commands -----------------------------------------------------------

data_option = click.option("--data", **_DATA)
out_option = click.option("--out", **_OUT)


def out_parameter() -> click.Option:
    """``--out``, which every table has."""
    return click.Option(["--out"], **_OUT)


# -- budgets -------------------------------------------------------------------------------------


def budget_parameter(small: Mapping[str, Any], seconds: Mapping[str, float] | None = None) -> click.Option:
    """Return the option ``--budget``.

    Parameters
    ----------
    small : mapping of str to object
        For each parameter, its default with a small budget.
    seconds : mapping of str to float, optional
        Processor time of each training with a ``small`` and with a ``full`` budget. The parameter is then a
        `TrainingBudget`, and a number of seconds may be given, too.
    """

    def chosen(ctx: click.Context, option: click.Parameter, given: str) -> str | TrainingBudget:
        _take(ctx, given, small)
        return given if seconds is None else _training(given, seconds)

    settings: dict[str, Any] = dict(default="full", show_default=True, is_eager=True, callback=chosen)
    if seconds is None:
        return click.Option(
            ["--budget"], type=click.Choice(BUDGETS), help=f"Size of the run; small: {_listed(small)}.", **settings
        )
    return click.Option(
        ["--budget"], metavar="small|full|SECONDS",
        help=f"Processor seconds of each training; full: {seconds['full']:g}; small: {seconds['small']:g}, "
        f"{_listed(small)}.", **settings,
    )  # fmt: skip


def _training(given: str, seconds: Mapping[str, float]) -> TrainingBudget:
    if given in BUDGETS:
        return TrainingBudget(given, float(seconds[given]))
    try:
        found = float(given)
    except ValueError:
        found = 0.0
    if not 0 < found < float("inf"):
        raise InvalidArgument(f"--budget must be small, full, or a positive number of seconds, not {given!r}.")
    return TrainingBudget("given", found)


def _take(ctx: click.Context, name: str, small: Mapping[str, Any]) -> None:
    # The option is eager: the defaults must be replaced before any other option is processed.
    if name == "small":
        ctx.default_map = {**(ctx.default_map or {}), **small}
    ctx.meta[_BUDGET] = name, tuple(small)


def spent() -> str | None:
    """Return the budget of the running command, with the values of a small one, or None if it has no such option."""
    ctx = click.get_current_context(silent=True)
    if ctx is None or _BUDGET not in ctx.meta:
        return None
    name, smaller = ctx.meta[_BUDGET]
    if name != "small":
        return str(name) if name in BUDGETS else f"{name} processor seconds per training"
    return f"small, not for comparison with a full one: {_listed({key: ctx.params[key] for key in smaller})}"


def _listed(values: Mapping[str, Any]) -> str:
    def one(value: Any) -> str:
        return " ".join(map(str, value)) or "none" if isinstance(value, tuple | list) else str(value)

    return ", ".join(f"{key.replace('_', ' ')} {one(value)}" for key, value in values.items())
