'''The harness of all tables: a table is one function, and the harness makes its command and its record.

How to write a table
--------------------
A table is a module in ``bayesr_bench/tables``. The module's name is the table's name (``bayesr bench NAME``,
``NAME.json``). The first line of its docstring appears in ``bayesr bench --help`` and must be complete in itself. The
whole docstring is the text of ``bayesr bench NAME --help``. There is no list of tables to extend:
`bayesr_bench.commands.bench.tables` reads the folder. The module defines one function, ``command``, with the decorator
`table`::

    """Score every model on every set.

        bayesr bench example --data FOLDER

    FOLDER holds ``set5``. A few sentences say what is measured, and how.
    """

    @table(
        estimators="fair CRPS; averages over images, +- their standard error",
        notes={"members": "before rounding"},
        small={"limit": 2, "n": 8},
        rounding=decimals(4),
    )
    def command(
        data: Data, models: Models = ("natural-x4",), n: Members = 32, seed: Seed = 0, limit: Limit = None,
        level: Annotated[float, "Level of the intervals."] = 0.9,
    ) -> Result:
        loaded = measured(models, bands=3, scale=4)
        pictures = read_set(data, "set5", limit=limit).values()
        rows = by_model(loaded, lambda one: [row(one.model, picture, n, seed) for picture in pictures])
        return Result(rows, {"model": checksums(loaded)})

**Options.** Each parameter is an option. Its annotation gives the type: ``int``, ``float``, ``str``, ``Path``, ``bool``
(a flag), ``X | None``, ``tuple[X, ...]`` (may be repeated). Its default is the default of the option, and a parameter
without a default is a required option. ``Annotated[X, "Help."]`` adds a help text or replaces that of a shared option.
``Annotated[X, option("--flag", help=..., type=click.IntRange(min=1))]`` adds flags, help, or any argument of
`click.Option`. Shared options are in `bayesr_bench.options`: `Data`, `Models`, `ModelName`, `ModelsFolder`, `Members`
(``-n``), `Seed`, `Limit`, `Count`, `SRGAN`, `Photographs` (``--train``), `Fluorescence`, `Workers`, `Keep`, and
``Annotated[tuple[str, ...], sets_of(NAMES)]``.

The harness adds three options. A function that needs their values has a parameter of that name:

- ``--out``, always. A table that writes figures has the parameter ``out: Path``.
- ``--budget``, if `small` or `seconds` is given. The parameter is ``budget: TrainingBudget``.
- ``--name``, if the table is `renamed`. The parameter is ``name: str``.

**Results.** The function returns a `Result`, or yields several. Each is recorded when it is yielded, so that an error
later does not lose it. The `suffix` of a result is appended to the name: ``posterior-gaussian``. To end with one
line and exit status 1, raise a child of `BayesrError`, or `click.ClickException`.

**Facts.** Each record states command, date, machine, versions, code, budget, seed, n, estimators and the notes. Seed
and n are the parameters ``seed`` and ``n`` if the table has them, or else arguments of `table`. A result may replace
them. The notes of the result come first, followed by those of the decorator. The code is the commit that was measured.
The fact ``weights`` has the checksum of every model that was loaded and whose checksum no note states. Documentation
may quote a model of a table only while the model has these weights (``docs/check_figures.py``).

**Figures.** Functions for figures that several tables have (coverage, width, spread-skill, LR-PSNR, averages with
errors, differences from a reference model) are in `bayesr_bench.measures`. `bayesr_bench.figures` states which
direction of a figure is better: add a new figure there if its name contains none of the known parts. A column ``X ±``
holds the standard error of ``X``.

**Models.** `bayesr_bench.models` loads models, checks bands and scale, distinguishes models of equal names, adds the
column ``model`` if there are several, and makes the fact with their checksums. `bayesr_bench.sets` reads images and
samples models. `bayesr_bench.timing` times calls in turn with a reference; `bayesr_bench.processes.run_code` measures
time and memory in a process of its own.

**Other commands.** `sheet`, which draws a picture, is in the same folder, with a plain `click.Command` named
``command``.

**Tests** call ``command.function(...)`` with plain arguments, which returns the result without recording it, or use
the command line with `click.testing.CliRunner`.
'''

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import click

from bayesr_bench.models import loads, unstated
from bayesr_bench.options import Option, budget_parameter, option, out_parameter
from bayesr_bench.record import NONE, Row, code, record

__all__ = ["NONE", "Result", "TableCommand", "decimals", "option", "significant", "table"]


@dataclass(frozen=True)
class Result:
    """Rows of a table, and the facts about this run.

    Attributes
    ----------
    rows : sequence of mappings
        Values by column; NaN where a row has no value.
    notes : mapping
        Facts about this run, by name.
    suffix : str
        Text that is appended to the table's name.
    n, seed, estimators : optional
        Values that replace those of the table.
    """

    rows: Sequence[Row]
    notes: Mapping[str, Any] = field(default_factory=dict)
    suffix: str = ""
    n: int | str | None = None
    seed: int | str | None = None
    estimators: str | None = None


Rounding = Callable[[float], float]
Function = Callable[..., Result | Iterable[Result]]


def decimals(digits: int) -> Rounding:
    """Return a function that rounds to a number of decimal places."""
    return lambda value: round(value, digits)


def significant(digits: int) -> Rounding:
    """Return a function that rounds to a number of significant digits."""
    return lambda value: float(f"{value:.{digits}g}")


@dataclass(frozen=True)
class Definition:
    """The function of a table and the arguments of `table`."""

    name: str
    function: Function
    estimators: str
    notes: Mapping[str, Any]
    n: int | str
    seed: int | str
    rounding: Rounding
    small: Mapping[str, Any] | None
    seconds: Mapping[str, float] | None
    renamed: bool

    def run(self, values: dict[str, Any]) -> None:
        """Call the function with the values of the command line, and record what it returns."""
        wanted = inspect.signature(self.function).parameters
        out, name = values["out"], values["name"] if self.renamed else self.name
        code()  # the code that runs: it may change until the table is recorded
        with loads() as loaded:
            returned = self.function(**{key: value for key, value in values.items() if key in wanted})
            for result in [returned] if isinstance(returned, Result) else returned:
                facts = {**result.notes, **self.notes}
                self._record(result, facts | unstated(loaded(), facts), values, out, name)

    def _record(
        self, result: Result, facts: Mapping[str, Any], values: Mapping[str, Any], out: Path, name: str
    ) -> None:
        rows = [
            {key: self.rounding(value) if isinstance(value, float) else value for key, value in row.items()}
            for row in result.rows
        ]
        record(
            f"{name}{result.suffix}", rows, facts, out,
            seed=values.get("seed", self.seed) if result.seed is None else result.seed,
            n=values.get("n", self.n) if result.n is None else result.n,
            estimators=result.estimators or self.estimators,
        )  # fmt: skip


class TableCommand(click.Command):
    """The command of a table.

    Attributes
    ----------
    definition : Definition
    function : callable
        The decorated function.
    """

    def __init__(self, definition: Definition) -> None:
        self.definition, self.function = definition, definition.function
        doc = inspect.getdoc(sys.modules[definition.function.__module__]) or ""
        super().__init__(
            definition.name,
            params=_parameters(definition),
            callback=lambda **values: definition.run(values),
            help=_help(doc),
        )


def table(
    *,
    estimators: str,
    notes: Mapping[str, Any] | None = None,
    n: int | str = NONE,
    seed: int | str = 0,
    rounding: Rounding = float,
    small: Mapping[str, Any] | None = None,
    seconds: Mapping[str, float] | None = None,
    renamed: bool = False,
) -> Callable[[Function], TableCommand]:
    """Turn a function into the command of a table. The table has the name of the function's module.

    Parameters
    ----------
    estimators : str
        Description of the figures and their estimators.
    notes : mapping, optional
        Facts that hold for every run.
    n : int or str
        Number of members, if the table has no parameter ``n``.
    seed : int or str
        Seed, if the table has no parameter ``seed``; `NONE` if nothing is random.
    rounding : callable
        Applied to every float in a row: `decimals` or `significant`; by default floats stay as they are.
    small : mapping, optional
        For each parameter, its default with a small budget. Adds ``--budget``.
    seconds : mapping, optional
        Processor seconds of each training with a ``small`` and with a ``full`` budget. Adds
        ``--budget small|full|SECONDS``.
    renamed : bool
        Whether the table has an option ``--name``.
    """

    def defined(function: Function) -> TableCommand:
        name = function.__module__.rpartition(".")[2]
        return TableCommand(
            Definition(name, function, estimators, notes or {}, n, seed, rounding, small, seconds, renamed)
        )

    return defined


# -- options -------------------------------------------------------------------------------------


def _parameters(definition: Definition) -> list[click.Parameter]:
    """Return the options of a table: those of its function's parameters, and those that the harness adds."""
    added: list[click.Parameter] = []
    if definition.small is not None or definition.seconds is not None:
        added.append(budget_parameter(definition.small or {}, definition.seconds))
    if definition.renamed:
        help_text = "Name of the table's files."
        added.append(click.Option(["--name"], default=definition.name, show_default=True, help=help_text))
    added.append(out_parameter())
    hints = get_type_hints(definition.function, include_extras=True)
    own = [
        _parameter(name, hints[name], parameter.default)
        for name, parameter in inspect.signature(definition.function).parameters.items()
        if name not in {option.name for option in added}
    ]
    return [*own, *added]


def _parameter(name: str, hint: Any, default: Any) -> click.Option:
    """Return the option of a parameter, from its annotation and default."""
    annotated = Option()
    if get_origin(hint) is Annotated:
        hint, *extras = get_args(hint)
        for extra in extras:
            extra = option(help=extra) if isinstance(extra, str) else extra
            annotated = annotated | extra if isinstance(extra, Option) else annotated
    settings = _of_type(hint)
    if default is not inspect.Parameter.empty:
        settings |= {"default": default, "show_default": default is not None and default is not False and default != ()}
    elif "callback" not in annotated.settings:  # a callback may supply a default
        settings["required"] = True
    settings |= annotated.settings
    flags = annotated.flags or (f"--{name.replace('_', '-')}",)
    return click.Option([*flags, name], **settings)


def _of_type(hint: Any) -> dict[str, Any]:
    """Return the arguments of `click.Option` for a type."""
    if get_origin(hint) in (Union, UnionType):
        (hint,) = [one for one in get_args(hint) if one is not NoneType]
    if hint is bool:
        return {"is_flag": True}
    if get_origin(hint) is tuple:
        parts = get_args(hint)
        if parts[-1] is Ellipsis:
            return {**_of_type(parts[0]), "multiple": True}
        return {"type": parts}
    return {"type": click.Path(path_type=Path) if hint is Path else hint}


def _help(doc: str) -> str:
    """Return a docstring in the form of click's help texts; indented paragraphs are not wrapped."""
    paragraphs = doc.replace("``", "`").split("\n\n")
    return "\n\n".join(f"\b\n{text}" if text.startswith("    ") else text for text in paragraphs)
