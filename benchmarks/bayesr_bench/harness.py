'''The harness of all tables: a table is one function, and the harness makes the command, the record and the registry.

How to write a table
--------------------
A table is a module in ``bayesr_bench/tables``. The name of the module is the name of the table (``bayesr bench NAME``,
``NAME.json``). The first line of its docstring is its line in ``bayesr bench --help`` and must be complete in itself;
the whole docstring is its own ``--help``. There is no other list of tables: `bayesr_bench.commands.bench.tables` reads
the folder. The module defines one function, ``command``, decorated with `table`::

    """Score every model on every set.

        bayesr bench example --data FOLDER

    FOLDER holds ``set5``. What is measured, and how, in a few sentences.
    """

    @table(
        estimators="fair CRPS; averages over images, +- their standard error",
        notes={"members": "as drawn"},
        small={"limit": 2, "n": 8},
        rounding=decimals(4),
    )
    def command(
        data: Data, models: Models = ("natural-x4",), n: Members = 32, seed: Seed = 0, limit: Limit = None,
        level: Annotated[float, option(help="Of intervals.")] = 0.9,
    ) -> Result:
        found = measured(models, bands=3, scale=4)
        pictures = pictures_of(data, "set5", limit)
        rows = by_model(found, lambda one: [row(one.model, picture, n, seed) for picture in pictures])
        return Result(rows, {"model": checksums(found)})

**Options.** Each parameter is an option. Its annotation says the type: ``int``, ``float``, ``str``, ``Path``, ``bool``
(a flag), ``X | None``, ``tuple[X, ...]`` (may be repeated). Its default is the option's default; without one the
option is required. ``Annotated[X, option("--flag", help=..., type=click.IntRange(min=1))]`` adds flags, help, or any
argument of `click.Option`; ``Annotated[Seed, option(help=...)]`` changes the help of a shared option. Shared options
lie in `bayesr_bench.options`: `Data`, `Models`, `ModelName`, `ModelsFolder`, `Members` (``-n``), `Seed`, `Limit`,
`Photographs` (``--train``), `Fluorescence`, `Workers`, `Keep`. The harness adds ``--out``; a parameter ``out: Path``
receives the folder if the table writes figures there. It adds ``--budget`` if `small` or `seconds` is given; a
parameter ``budget: TrainingBudget`` receives it. It adds ``--name`` if the table is `renamed`.

**Results.** The function returns a `Result`, or yields several, each of which is recorded as soon as it comes (before
an error ends the table, too). A result's `suffix` is appended to the name: ``posterior-gaussian``. Raise a child of
`BayesrError`, or `click.ClickException`, to end with one line and exit status 1.

**Facts.** Each record states command, date, machine, versions, budget, seed, n, estimators and the notes. Seed and n
come from the parameters ``seed`` and ``n`` if the table has them, else from arguments of `table`, which a result may
override. Notes of the result come first, then the notes that the decorator states once and for all.

**Figures.** `bayesr_bench.measures` has the figures that tables share (coverage, width, spread-skill, LR-PSNR, averages
with errors, differences from a reference model). `bayesr_bench.figures` says which direction of a figure is better:
name a new figure there if its name has none of the known parts. A column ``X ±`` holds the standard error of ``X``.

**Models.** `bayesr_bench.models` loads models, checks bands and scale, tells equal names apart, puts the column
``model`` in front if there are several, and makes the fact of checksums. `bayesr_bench.sets` reads images and asks
models. `bayesr_bench.timing` times calls in turn with a reference.

**What is no table** (`sheet` draws a picture) lies in the same folder, with a plain `click.Command` named ``command``.

**In tests** call ``command.function(...)`` with plain arguments, which returns the result unrecorded, or the command
line with `click.testing.CliRunner`.
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

from bayesr_bench.options import Option, budget_parameter, option, out_parameter
from bayesr_bench.record import NONE, Row, record

__all__ = ["NONE", "Result", "TableCommand", "decimals", "option", "significant", "table"]


@dataclass(frozen=True)
class Result:
    """Rows of a table, and the facts that only its run knows.

    Attributes
    ----------
    rows : sequence of mappings
        By column; NaN where a row has no value.
    notes : mapping
        Facts about this run, by name.
    suffix : str
        Appended to the table's name.
    n, seed, estimators : optional
        Replace those of the table.
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
    """Round to a number of digits behind the point."""
    return lambda value: round(value, digits)


def significant(digits: int) -> Rounding:
    """Round to a number of significant digits."""
    return lambda value: float(f"{value:.{digits}g}")


def _as_it_is(value: float) -> float:
    return value


@dataclass(frozen=True)
class Definition:
    """What `table` was given; see there."""

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
        found = self.function(**{key: value for key, value in values.items() if key in wanted})
        for result in [found] if isinstance(found, Result) else found:
            self._record(result, values, out, name)

    def _record(self, result: Result, values: Mapping[str, Any], out: Path, name: str) -> None:
        rows = [
            {key: self.rounding(value) if isinstance(value, float) else value for key, value in row.items()}
            for row in result.rows
        ]
        record(
            f"{name}{result.suffix}", rows, {**result.notes, **self.notes}, out,
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
        The function that was decorated.
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
    rounding: Rounding = _as_it_is,
    small: Mapping[str, Any] | None = None,
    seconds: Mapping[str, float] | None = None,
    renamed: bool = False,
) -> Callable[[Function], TableCommand]:
    """Make a function the command of the table that its module is named for.

    Parameters
    ----------
    estimators : str
        What the figures are, by which estimator.
    notes : mapping, optional
        Facts that hold for every run.
    n : int or str
        Number of members, of tables without a parameter ``n``.
    seed : int or str
        Of tables without a parameter ``seed``; `NONE` if nothing is random.
    rounding : callable
        Of every float in a row: `decimals` or `significant`.
    small : mapping, optional
        By parameter, the defaults of a small budget. Adds ``--budget``.
    seconds : mapping, optional
        Processor seconds of each training, of ``small`` and ``full``. Adds ``--budget small|full|SECONDS``.
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
    hints = get_type_hints(definition.function, include_extras=True)
    found: list[click.Parameter] = [
        _parameter(name, hints[name], parameter.default)
        for name, parameter in inspect.signature(definition.function).parameters.items()
        if name not in ("out", "budget")
    ]
    if definition.small is not None or definition.seconds is not None:
        found.append(budget_parameter(definition.small or {}, definition.seconds))
    if definition.renamed:
        found.append(click.Option(["--name"], default=definition.name, show_default=True, help="Of the table."))
    return [*found, out_parameter()]


def _parameter(name: str, hint: Any, default: Any) -> click.Option:
    """The option of a parameter, from its annotation and default."""
    said = Option()
    if get_origin(hint) is Annotated:
        hint, *extras = get_args(hint)
        for extra in extras:
            said = said | extra if isinstance(extra, Option) else said
    settings = _of_type(hint)
    if default is not inspect.Parameter.empty:
        settings |= {"default": default, "show_default": default is not None and default is not False and default != ()}
    elif "callback" not in said.settings:  # which finds a default of its own
        settings["required"] = True
    settings |= said.settings
    flags = said.flags or (f"--{name.replace('_', '-')}",)
    return click.Option([*flags, name], **settings)


def _of_type(hint: Any) -> dict[str, Any]:
    """The arguments of `click.Option` that a type stands for."""
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
    """A docstring as click shows it: indented paragraphs stay as they are."""
    paragraphs = doc.replace("``", "`").split("\n\n")
    return "\n\n".join(f"\b\n{text}" if text.startswith("    ") else text for text in paragraphs)
