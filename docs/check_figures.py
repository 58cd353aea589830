"""Check that every measured number of README and docs is a cell of a recorded table: ``check_figures.py [PAGE...]``.

A block is a paragraph, a list or a table between blank lines. A block with measured numbers has a comment directly
above, ``<!-- figures: NAME, NAME -->``, that names the tables they come from: ``benchmarks/NAME.json``, or a
training history ``NAME.jsonl``. Each number must be a cell or a fact of these tables, or be part of a text in them,
rounded half up or half even to the digits of the page. Percentages are fractions x 100.

The numbers in a row of a Markdown table must all come from one recorded row. This is a row with a value equal to
the first cell, if there is one, else any row. They may also come from all rows whose names, without text in
brackets, occur among the words of the row, unless those are all rows. The numbers of a column (the first ones in
its cells, the second ones, ...) must all come from one recorded column.

These numbers are measured: every number with a decimal point, an exponent or a thousands separator; every
percentage; every integer with a unit (dB, MiB, MB/s, ms, s, seconds, minutes, hours, times, x); ``N of M``; numbers
joined to such a number by ``±``, ``to``, ``and`` or ``or``; and every number in the body of a table, except in its
first column.

These numbers define something and are not measured: those in code, links, DOIs and arXiv ids; digits in a word (x4,
Set14, Apache-2.0); sizes (8x8, 8 x 8); ``n = 32``; the level of an interval (90% interval); versions (Python 3.11).
Other definitions, and facts from a source, are listed in a comment above the block, with a reason: ``<!-- settings:
1e-5, 0.02 - what tests check -->``. Words are not checked.

A table is older than a model that it measured when other weights have the model's name now. Tables record the first
digits of the checksum of each model. A block that shows figures of such a model has a second comment: ``<!-- older:
NAME - NOTE -->`` names the table, and the NOTE is also written where readers see it, in this block or one next to it.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Context, Decimal
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from bayesr.model.catalogue import models, segmenters
from bayesr.model.header import read_header

ROOT = Path(__file__).parent.parent
WRITTEN = {"models.md"}  # by `bayesr card`; tests compare it with the cards, and its scores with the tables
_NO_RESULTS = {"command", "date", "machine", "versions", "code", "weights"}
_UNIT = r"dB|[kKMGT]i?B(?:/s)?|Mpixel/s|ms|s|seconds?|minutes?|hours?|times|[x×]"
_NUMBER = re.compile(
    r"(?<![\w.])(?<![A-Za-z_]-)(?P<value>(?:(?<!\))[-−])?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:e[-−+]?\d+)?)"
    rf"(?:(?P<percent>\s?%|\sper\scent)|\s?(?P<unit>{_UNIT})(?!\w))?(?!\w|\.\d)"
)
_NAME = re.compile(
    r"(?P<ticks>`+).+?(?P=ticks)|<!--.*?-->|(?<=\])\([^)]*\)|(?:https?://|doi:|arXiv:)\S+"  # code, comments, links
    r"|\d{4}-\d\d-\d\d|^\s*\d+\.(?=\s)|\d[\d,]*(?:\s?[x×]\s?\d[\d,]*)+(?!\w)"  # dates, numbers of a list, sizes
    r"|[^\W\d]\w*\s?=\s?\d+(?!\s?%|[.,]\d|\w)|\d+(?:\.\d+)?\s?%(?=[\s-]intervals?\b)"  # n = 32, 90% interval
    r"|\b(?:Python|version)\s\d[\d.]*",
    re.DOTALL | re.MULTILINE,
)
_BLOCK = re.compile(r"(?:^.*\S.*(?:\n|\Z))+", re.MULTILINE)
_COMMENT = re.compile(r"\s*<!--\s*(figures|settings|older):(.*?)-->[^\S\n]*\n?", re.DOTALL)
_REASON = re.compile(r"\s[-–—]\s")
_JOINED = re.compile(r"\s*(?:±|–|-|to|and|or)\s*")
# A model and the beginning of its checksum, in a fact: "natural-x4, 5c1983f75e49". Labels may have six digits of it.
_WEIGHTS = re.compile(r"(?<![\w-])([A-Za-z][\w-]*)(?: [0-9a-f]{6})?,? ([0-9a-f]{12})(?![0-9a-f])")


Cell = tuple[Decimal, str]  # a number of a recorded table, and the name of its column or fact


class Number(NamedTuple):
    """A number as the page shows it, a percentage without its sign."""

    text: str
    shown: Decimal
    percent: bool
    measured: bool
    start: int

    def among(self, cells: list[Cell]) -> bool:
        """Return whether one of the cells, rounded to the digits of the page, is this number."""
        values, ways = {cell[0].scaleb(2 * self.percent) for cell in cells}, (ROUND_HALF_UP, ROUND_HALF_EVEN)
        return any(value.quantize(self.shown, way, Context(99)) == self.shown for value in values for way in ways)


def numbers(text: str, body: bool = False, start: int = 0) -> list[Number]:
    """Return the numbers of a text without names, which begins at `start`. In the body of a table all are measured."""
    found: list[Number] = []  # from the last to the first, because units follow numbers
    for match in reversed([*_NUMBER.finditer(text)]):
        value, percent = match["value"], bool(match["percent"])
        measured = body or percent or bool(match["unit"] or re.search("[.e,]", value))
        between = text[match.end() : found[-1].start - start] if found else ""
        if _JOINED.fullmatch(between):
            percent, measured = percent or (found[-1].percent and not match["unit"]), measured or found[-1].measured
            found[-1] = found[-1]._replace(measured=measured)
        elif between.strip() == "of" and (value + found[-1].text).isdigit():
            measured, found[-1] = True, found[-1]._replace(measured=True)
        found.append(Number(" ".join(match[0].split()), _decimal(value), percent, measured, start + match.start()))
    return found[::-1]


def _decimal(text: str) -> Decimal:
    return Decimal(text.replace("−", "-").replace(",", ""))


def _cells(values: Any, name: str) -> Iterator[Cell]:
    """Yield the numbers of a recorded value: the value itself, or those in it."""
    for match in _NUMBER.finditer(values if isinstance(values, str) else ""):
        yield _decimal(match["value"]).scaleb(-2 if match["percent"] else 0), name
    for value in values.values() if isinstance(values, dict) else values if isinstance(values, list) else []:
        yield from _cells(value, name)
    if isinstance(values, int | Decimal) and not isinstance(values, bool):
        yield Decimal(values), name


@cache
def bundled() -> dict[str, str]:
    """Return the checksum of the weights of every model and segmenter that has a name."""
    headers = {info.name: read_header(info.path) for info in models()} | segmenters()
    return {name: header["sha256"] for name, header in headers.items()}


class Replaced(NamedTuple):
    """A model of a table whose recorded weights do not have its name any more, and the name that they have now."""

    name: str
    start: str
    now: str | None

    def __str__(self) -> str:
        now = f"are now {self.now}" if self.now else "are not bundled any more"
        return f"{self.name} with the weights {self.start}, which {now}"


def replaced(facts: dict[str, Any]) -> list[Replaced]:
    """Return the models of a table whose recorded weights do not have their name any more.

    Models that never had a name here, which a table trains or is given as files, are left out.
    """
    found, known = list[Replaced](), bundled()
    for name, start in _WEIGHTS.findall("\n".join(str(value) for key, value in facts.items() if key != "command")):
        now = next((other for other, checksum in known.items() if checksum.startswith(start)), None)
        if (name in known or now) and not known.get(name, "").startswith(start):
            found.append(Replaced(name, start, now))
    return [*dict.fromkeys(found)]


def _names(name: str, text: str) -> bool:
    return bool(re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text))


class Table:
    """A recorded table: its rows, the numbers of each row, and all numbers including those of the facts.

    `replaced` are the models whose name other weights have now, and `command` records the table again.
    """

    def __init__(self, path: Path) -> None:
        text, self.name = path.read_text(), path.stem
        if path.suffix == ".jsonl":
            text = f'{{"rows": [{",".join(text.splitlines())}]}}'
        content = json.loads(text, parse_float=Decimal)
        self.rows: list[dict[str, Any]] = content["rows"]
        self.cells = [[cell for key in row for cell in _cells(row[key], key)] for row in self.rows]
        self.facts: list[Cell] = []
        facts = content.get("facts", {})
        self.replaced, self.command = replaced(facts), facts.get("command") or f"bayesr bench {self.name}"
        for key, value in facts.items():
            self.facts += [] if key in _NO_RESULTS else _cells(value, key)
        self.all = [*chain(*self.cells), *self.facts]

    def older(self, block: str) -> list[Replaced]:
        """Return the models whose name other weights have now, and whose figures a block shows.

        Where rows name the model, these are its figures: a block shows them if it names the model, or has a number that
        other rows lack. Elsewhere it shows them in any case.
        """
        return [model for model in self.replaced if self._shows(model.name, block)]

    def _shows(self, name: str, block: str) -> bool:
        own = [any(_names(name, str(value)) for value in row.values()) for row in self.rows]
        if not any(own) or _names(name, block):
            return True
        others = [*self.facts, *chain(*(cells for cells, named in zip(self.cells, own, strict=True) if not named))]
        shown = chain(*(found for found, _ in groups(block)))
        return any(number.among(self.all) and not number.among(others) for number in shown)

    def choices(self, first: str, words: str) -> Iterator[list[Cell]]:
        """Yield the numbers that a row of a Markdown table may show.

        `first` is its first cell, `words` are all cells without figures.
        """
        keys = {number.shown for number in numbers(first)}

        def named(value: Any) -> bool:
            if isinstance(value, str):
                name = re.escape(value.split(" (")[0].casefold())
                return bool(name and re.search(rf"(?<![\w-]){name}(?![\w-])", words.casefold()))
            return type(value) is int and value in keys

        same = [i for i, row in enumerate(self.rows) if first.casefold() in (str(v).casefold() for v in row.values())]
        rows = same or [*range(len(self.rows))]
        yield from (self.cells[i] for i in rows)
        telling = {key for row in self.rows for key in row if named(row[key])}
        chosen = [i for i in rows if all(named(self.rows[i].get(key)) for key in telling)]
        if len(chosen) < len(self.rows):
            yield [*chain(*(self.cells[i] for i in chosen))]


def groups(block: str) -> Iterator[tuple[list[Number], tuple[str, str] | None]]:
    """Yield the numbers of a block, for a row of a table with its first cell and all its cells without figures."""
    text, body = _NAME.sub(lambda name: re.sub(r"[^\n]", "\N{NO-BREAK SPACE}", name[0]), block), False
    for line in re.finditer(r"[^\n]+" if block.startswith("|") else r"(?s).+", text):
        if not body:
            yield [number for number in numbers(line[0], start=line.start()) if number.measured], None
            body = bool(re.fullmatch(r"[\s|:-]+", line[0]))
            continue
        parts = [(part, line.start() + part.start()) for part in re.finditer(r"(?<=\|)[^|\n]+", line[0])]
        found = [numbers(part[0], i > 0, start) for i, (part, start) in enumerate(parts)]
        raw = [block[start : start + len(part[0])].strip(" `*") for part, start in parts]
        yield [number for number in found[0] if number.measured], None
        yield [*chain(*found[1:])], (raw[0], " ".join(cell for i, cell in enumerate(raw) if i == 0 or not found[i]))


def judge(block: str, tables: list[Table], settings: list[Number]) -> Iterator[tuple[int, str]]:
    """Yield the position and a description of every wrong number of a block."""
    whole, names = [*chain(*(table.all for table in tables))], ", ".join(table.name for table in tables)
    known, every = {(n.shown, n.percent) for n in settings}, list[Number]()
    columns: dict[tuple[int, int], set[str]] = {}  # recorded columns that contain all numbers of a column of the page
    for found, row in groups(block):
        every += found
        figures = [n for n in found if (n.shown, n.percent) not in known]
        unknown = [n for n in figures if not n.among(whole)]
        for n in unknown:
            near = min(whole, key=lambda cell: abs(cell[0].scaleb(2 * n.percent) - n.shown), default=None)
            complaint = f"no cell of {names}; the nearest is {near[0]} ({near[1]})" if near else "of no named table"
            yield n.start, f"{n.text} is {complaint}"
        if not row or not figures or unknown:
            continue
        any_of = chain(*(table.choices(*row) for table in tables))
        choices = [choice for choice in any_of if all(n.among(choice) for n in figures)]
        if not choices:
            yield figures[0].start, f"{', '.join(n.text for n in figures)} are not of one row of {names}"
            continue
        at = [block.count("|", block.rfind("\n", 0, n.start) + 1, n.start) for n in figures]
        for i, n in enumerate(figures):
            place = at[i], at[:i].count(at[i])
            keys = {cell[1] for cell in chain(*choices) if n.among([cell])}
            columns[place] = columns.get(place, keys) & keys
            if not columns[place]:
                yield n.start, f"{n.text} is not of the column of {names} that those above it are of"
    yield from ((0, f"no number of {t.name} is here") for t in tables if not any(n.among(t.all) for n in every))
    unused = known - {(n.shown, n.percent) for n in every}
    yield from ((0, f"settings name {n.text}, no measured number") for n in settings if (n.shown, n.percent) in unused)


def marks(comment: str) -> tuple[list[str], str]:
    """Return the names of the tables that a comment ``older: NAME, NAME - NOTE`` marks, and its note."""
    names, *note = _REASON.split(comment, maxsplit=1)
    return [name.strip() for name in names.split(",") if name.strip()], note[0].strip() if note else ""


def judge_marks(block: str, tables: list[Table], comment: str, seen: str) -> Iterator[str]:
    """Yield a description of every older table that a block shows without a mark, and of every wrong mark.

    `seen` is what a reader sees near the block.
    """
    marked, note = marks(comment)
    for table in tables:
        if table.name not in marked:
            yield from (
                f"{table.name} measured {model}: record it again with `{table.command}`, or mark this block with "
                f"<!-- older: {table.name} - NOTE --> and write the NOTE where readers see it"
                for model in table.older(block)
            )
    known = {table.name: table for table in tables}
    yield from (f"{name} has no figure here" for name in marked if name not in known)
    yield from (
        f"{name} is not older than its models: remove the mark"
        for name in marked
        if name in known and not known[name].older(block)
    )
    if marked and not note:
        yield "a mark needs a note, after a dash"
    elif " ".join(note.split()) not in " ".join(seen.split()):
        yield f"no reader sees the note {note!r}: write it in this block or one next to it"


def problems(text: str, folder: Path) -> Iterator[tuple[int, str]]:
    """Yield the line and a description of every problem of a page whose tables are in `folder`."""
    text = re.sub(r"(?ms)^( *```).*?^\1[^\n]*$", lambda fence: "\n" * fence[0].count("\n"), text)
    found = [*_BLOCK.finditer(text)]
    for i, match in enumerate(found):
        start, comments = 0, {"figures": "", "settings": "", "older": ""}
        while comment := _COMMENT.match(match[0], start):
            comments[comment[1]], start = comment[2].strip(), comment.end()
        line, block = text.count("\n", 0, match.start() + start) + 1, match[0][start:]
        names = [name.strip() for name in comments["figures"].split(",") if name.strip()]
        files = {name: [*folder.glob(f"{name}.json"), *folder.glob(f"{name}.jsonl")] for name in names}
        yield from ((line, f"no table {name} is recorded") for name, paths in files.items() if not paths)
        settings, *reason = _REASON.split(comments["settings"], maxsplit=1)
        if settings and not reason:
            yield line, "settings need a reason, after a dash"
        tables = [Table(file) for paths in files.values() for file in paths]
        for place, complaint in judge(block, tables, numbers(settings, body=True)):
            yield line + block.count("\n", 0, place), complaint
        near = re.sub(r"(?s)<!--.*?-->", "", "\n".join(one[0] for one in found[max(i - 1, 0) : i + 2]))
        yield from ((line, complaint) for complaint in judge_marks(block, tables, comments["older"], near))


if __name__ == "__main__":
    named = [Path(page) for page in sys.argv[1:]] or [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    pages = {page: page.read_text() for page in named if page.name not in WRITTEN}
    wrong = [f"{page}:{n}: {what}" for page, text in pages.items() for n, what in problems(text, ROOT / "benchmarks")]
    print("\n".join(wrong) or f"every measured number of {len(pages)} pages is a cell of a recorded table")
    sys.exit(bool(wrong))
