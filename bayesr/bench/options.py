"""Options that tables share: where data lies, which models, how much is spent, and where results go.

A budget is a set of defaults: ``small`` puts smaller ones in the place of a table's own, and what is given on the
command line overrides either. What a small budget stood for is recorded with the table.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import click

from bayesr.errors import DataNotFound, InvalidArgument

VARIABLE = "BAYESR_DATA"
"""The environment variable that names the folder of data where ``--data`` does not."""
BUDGETS = ("small", "full")
TRAINING = {
    "natural": ("bsds500_train_jpg", "bsds500_test_jpg", "imagenet_sample_half"),
    "fluorescence": ("dsb2018/images",),
}
"""Folders of ``train`` that models of a domain learn from, by default."""
_BUDGET = "bayesr.budget"

Command = TypeVar("Command", bound=Callable[..., Any])


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
    from bayesr.bench.registry import pooch

    return Path(pooch().os_cache("bayesr"))


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
    folder = named or _fetched()
    if folder is None:
        raise DataNotFound(
            "There is no data to measure on: fetch it with `bayesr data fetch`, or name a folder that holds a folder "
            f"for each set with --data or the environment variable {VARIABLE}."
        )
    return folder / "bench" if (folder / "bench").is_dir() else folder


def _fetched() -> Path | None:
    try:
        folder = cache()
    except InvalidArgument:  # without pooch nothing was fetched
        return None
    return folder if (folder / "bench").is_dir() else None


def training_folders(data: Path, domain: str) -> tuple[Path, ...]:
    """The training sets of a domain (`TRAINING`) that lie in ``train`` beside a folder of sets, or in it."""
    for place in (data.parent / "train", data / "train"):
        found = tuple(place / name for name in TRAINING[domain] if (place / name).is_dir())
        if found:
            return found
    return ()


def _data(ctx: click.Context, option: click.Parameter, given: Path | None) -> Path:
    return data_folder(given)


data_option = click.option(
    "--data",
    type=click.Path(path_type=Path),
    callback=_data,
    help="Folder with a folder for each data set, or with such a folder bench beside one of training sets, train.  "
    f"[default: ${VARIABLE}, else what `bayesr data fetch` brought]",
)
"""``data: Path``, a folder that is there and holds a folder for each set."""


# -- models, results -----------------------------------------------------------------------------


def models_option(*default: str) -> Callable[[Command], Command]:
    """``models: tuple[str, ...]``, names or files of models that are measured; without a default every bundled one."""
    return click.option(
        "--models", multiple=True, default=default or None, show_default=bool(default),
        help="Model to measure, by name or file; may be repeated." + ("" if default else "  [default: all bundled]"),
    )  # fmt: skip


models_folder_option = click.option(
    "--models",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for trained models: those that are there already, on the same terms, are measured, not trained again.",
)
"""``models: Path | None``, a folder that need not be there yet."""

out_option = click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("benchmarks"),
    show_default=True,
    help="Folder for the table, as JSON, CSV and Markdown.",
)
"""``out: Path``."""


# -- budgets -------------------------------------------------------------------------------------


def budget_option(**small: Any) -> Callable[[Command], Command]:
    """``budget: str``, ``small`` or ``full``.

    Parameters
    ----------
    **small
        Values of the command's other parameters, by name, that a small budget puts in the place of their defaults.
    """

    def chosen(ctx: click.Context, option: click.Parameter, name: str) -> str:
        _take(ctx, name, small)
        return name

    return click.option(
        "--budget", type=click.Choice(BUDGETS), default="full", show_default=True, is_eager=True, callback=chosen,
        help=f"What is spent; small: {_said(small)}.",
    )  # fmt: skip


def training_budget_option(seconds: Mapping[str, float], **small: Any) -> Callable[[Command], Command]:
    """``budget: TrainingBudget``, from ``small``, ``full`` or a number of processor seconds.

    Parameters
    ----------
    seconds : mapping of str to float
        Of processor time for each training, of ``small`` and ``full``.
    **small
        As of `budget_option`.
    """

    def chosen(ctx: click.Context, option: click.Parameter, given: str) -> TrainingBudget:
        _take(ctx, given, small)
        if given in BUDGETS:
            return TrainingBudget(given, float(seconds[given]))
        try:
            found = float(given)
        except ValueError:
            found = 0.0
        if not 0 < found < float("inf"):
            raise InvalidArgument(f"--budget is small, full, or a positive number of seconds, not {given!r}.")
        return TrainingBudget("given", found)

    return click.option(
        "--budget", default="full", show_default=True, is_eager=True, callback=chosen, metavar="small|full|SECONDS",
        help=f"Processor seconds that each training takes; full: {seconds['full']:g}; small: {seconds['small']:g}, "
        f"{_said(small)}.",
    )  # fmt: skip


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
