"""Charts of recorded tables and of training histories, as specifications for `charts.js`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

from bayesr.training.curves import NOT_LOSSES, SCORES
from bayesr.training.history import Record
from bayesr_bench.figures import COVERAGE
from bayesr_bench.recorded import Table, bounds, grouped, is_number, values

Spec = dict[str, Any]
"""The second argument of ``bayesrChart(element, spec)``."""

MOST = 9
"""Largest number of charts of a table."""
COLOURS = 6
"""Number of series with a colour of their own."""


def of_table(table: Table) -> list[Spec]:
    """Return the charts of a table by the first rules that apply to its columns; there may be none."""
    for rules in _RULES:
        found = [spec for rule in rules for spec in rule(table)]
        if found:
            return found[:MOST]
    return []


def of_history(records: Sequence[Record]) -> list[Spec]:
    """Return charts of the losses and of the held-out scores by step. Lines mark the beginnings of stages."""
    steps = [record["step"] for record in records]
    starts = [records[0]] + [b for a, b in pairwise(records) if a.get("stage") != b.get("stage")]
    marks = [{"at": record["step"], "label": str(record["stage"])} for record in starts if record.get("stage")]
    axis = {"label": "step", "marks": marks}
    names = list(dict.fromkeys(name for record in records for name in record if name not in NOT_LOSSES))
    losses = [_line(name, steps, values(records, name), dash=i >= COLOURS) for i, name in enumerate(names)]
    charts = []
    if losses:
        charts.append({"title": "Losses", "x": axis, "y": {"label": "loss, weighted", "log": True}, "series": losses})
    for name, title in SCORES.items():
        if any(name in record for record in records):
            short, _, rest = title.partition(",")
            series = [_line(short, steps, values(records, name))]
            charts.append(
                {"title": short + rest.replace(" held out", ", held out"), "x": axis, "y": {}, "series": series}
            )
    return charts


def _series(kind: str, name: str, x: Sequence[Any], y: Sequence[Any], **more: Any) -> Spec:
    return {"name": name, "kind": kind, "x": list(x), "y": list(y)} | more


_line, _points = partial(_series, "line"), partial(_series, "points")


def _where(group: str) -> str:
    return f", {group}" if group else ""


def _trade(table: Table) -> Iterator[Spec]:
    """CRPS against the energy score and against the time: one chart for each group, with named points."""
    crps = next((name for name in ("CRPS", "fair CRPS") if name in table.columns), None)
    costs = [name for name in table.columns if name.startswith("seconds") and " / " not in name]
    energy = next((name for name in table.columns if name.startswith("energy score") and table.worth(name)), None)
    if table.label is None or crps is None:
        return
    outputs = "outputs" if "outputs" in table.columns else None
    for column in [name for name in (energy, *costs[:1]) if name is not None]:
        for group, rows in list(table.groups().items())[:3]:
            series = [
                _points(
                    f"outputs: {name}" if outputs else "", values(some, column), values(some, crps),
                    labels=[str(row.get(table.label)) for row in some], **bounds(some, crps),
                )
                for name, some in grouped(rows, outputs).items()
            ]  # fmt: skip
            log = column in costs
            x = {"label": f"{column}, logarithmic" if log else column, "log": log}
            title = f"{crps} against {column}{_where(group)}"
            yield {"title": title, "height": 330, "x": x, "y": {"label": crps}, "series": series}


def _coverage(table: Table) -> Iterator[Spec]:
    """Empirical coverage and the nominal level."""
    column = next((name for name in COVERAGE if name in table.columns), None)
    if table.label is None or column is None or table.nominal is None:
        return
    series = []
    for group, rows in table.groups().items():
        known = [row for row in rows if is_number(row.get(column))]
        if known:
            names = [str(row.get(table.label)) for row in known]
            series.append(_points(group, values(known, column), names, **bounds(known, column)))
    x = {
        "label": f"empirical coverage; the nominal level is {table.nominal:g}",
        "marks": [{"at": table.nominal, "label": "nominal"}],
    }
    yield {"title": "Coverage", "x": x, "y": {}, "series": series}


def _ratios(table: Table) -> Iterator[Spec]:
    """Ratios to the exact posterior."""
    exact = next((row for row in table.rows if row.get(table.label or "") == "exact posterior"), None)
    if exact is None:
        return
    rows = [row for row in table.rows if row is not exact]
    columns = [name for name in table.columns if exact.get(name) == 1 and any(is_number(row.get(name)) for row in rows)]
    names = [str(row.get(table.label or "")) for row in rows]
    for column in columns:
        known = [value for value in values(rows, column) if value is not None]
        log = min(known) > 0 and max(known) / min(known) > 20
        marks = [{"at": 1, "label": "exact"}]
        x = {"label": "ratio to the exact posterior" + (", logarithmic" if log else ""), "log": log, "marks": marks}
        yield {"title": column, "x": x, "y": {}, "series": [_points("", values(rows, column), names)]}


def _by_set(table: Table) -> Iterator[Spec]:
    """Tables with a row for each figure and a column for each set: figures of one unit share a chart."""
    if table.columns[0] != "figure" or not all(table.numeric(name) for name in table.columns[1:]):
        return
    sets = table.columns[1:]
    nominal = [{"at": table.nominal, "label": "nominal"}] if table.nominal else []
    for title, wanted, y in (
        ("PSNR", ("bicubic PSNR", "A+ y PSNR", "PSNR"), {"label": "dB"}),
        ("CRPS and its references", ("fair CRPS", "climatology CRPS", "MAE of mean"), {"label": "grey levels"}),
        (
            "Coverage",
            ("covered", "covered, median", "covered, worst"),
            {"label": "empirical coverage", "marks": nominal},
        ),
    ):
        rows = [row for row in table.rows if row.get("figure") in wanted]
        if rows:
            series = [_points(row["figure"], sets, [row.get(name) for name in sets]) for row in rows]
            yield {"title": title, "x": {}, "y": y, "series": series}


def _scaling(table: Table) -> Iterator[Spec]:
    """Memory and time by the size of images."""
    if "image" not in table.columns or "way" not in table.columns:
        return
    for column in ("peak MiB", "seconds", "Mpixel/s"):
        series = []
        for way, rows in grouped(table.rows, "way").items():
            known = [row for row in rows if is_number(row.get(column)) and str(row["image"]).split("x")[0].isdecimal()]
            if known:
                sides = [int(str(row["image"]).split("x")[0]) for row in known]
                series += [_points(way, sides, values(known, column))]
        if series:
            x = {"label": "side of the input (pixels), logarithmic", "log": True}
            y = {"label": f"{column}, logarithmic", "log": True}
            yield {"title": f"{column} by side", "x": x, "y": y, "series": series}


def _reliability(table: Table) -> Iterator[Spec]:
    """Empirical coverage by nominal level."""
    if not {"level", "covered"} <= set(table.columns):
        return
    series = []
    for name, rows in table.groups().items():
        error = bounds(rows, "covered", "standard error")
        series.append(_line(name, values(rows, "level"), values(rows, "covered"), **error))
    axis = {"min": 0.4, "max": 1}
    x, y = axis | {"label": "nominal level"}, axis | {"label": "covered, ± standard error"}
    yield {"title": "Coverage by level", "identity": True, "x": x, "y": y, "series": series}


def _growth(table: Table) -> Iterator[Spec]:
    """Figures by the number of workers, pixels, or training scenes."""
    along = next((name for name in ("workers", "pixels", "training scenes") if name in table.columns), None)
    if along is None:
        return
    kinds = ("tiles are handed out", "statistic", "input", "n")
    by = [name for name in table.columns if name in kinds and len({str(row.get(name)) for row in table.rows}) > 1]
    named = [
        row | {"kind": ", ".join(f"n = {row.get(k)}" if k == "n" else str(row.get(k)) for k in by)}
        for row in table.rows
    ]
    log = table.numeric(along)
    wanted = ("efficiency", "scheduler busy", "coverage", "ratio", "naive ratio", "epistemic", "error of the mean")
    for column in [name for name in wanted if name in table.columns]:
        known = [v for v in values(named, column) if v is not None and v > 0]
        wide = len(known) > 0.8 * len(named) and max(known) / min(known) > 50  # estimates may be below 0
        series = []
        for kind, rows in grouped(named, "kind").items():
            places = values(rows, along) if log else [str(row.get(along)) for row in rows]
            series.append(_line(kind, places, values(rows, column)))
        x = {"label": f"{along}, logarithmic" if log else along, "log": log}
        y: Spec = {"label": f"{column}, logarithmic" if wide else column, "log": wide}
        if column.endswith("ratio"):
            y["marks"] = [{"at": 1}]
        yield {"title": column, "x": x, "y": y, "series": series}


def _tests(table: Table) -> Iterator[Spec]:
    """Differences with their intervals."""
    if not {"difference", "from", "to"} <= set(table.columns):
        return
    other = table.columns[1] if table.columns[0] == "figure" else table.columns[0]
    for figure, rows in grouped(table.rows, "figure" if "figure" in table.columns else None).items():
        x = {"label": "difference", "marks": [{"at": 0}]}
        names = [str(row.get(other)) for row in rows]
        points = _points("", values(rows, "difference"), names, low=values(rows, "from"), high=values(rows, "to"))
        yield {"title": f"{figure}, {other}".strip(", "), "x": x, "y": {}, "series": [points]}


def _dots(table: Table) -> Iterator[Spec]:
    """Figures with standard errors, in a chart for each group, since their ranges differ."""
    if table.label is None:
        return
    traded = ("CRPS", "energy score") if any(name.startswith("energy score") for name in table.columns) else ()
    chosen = [
        name
        for name in table.columns
        if any(is_number(row.get(f"{name} ±")) for row in table.rows)
        and table.worth(name)
        and name not in COVERAGE
        and not any(word in name for word in traded)
    ]
    for column in chosen[:4]:
        for group, rows in table.groups().items():
            points = _points(
                "", values(rows, column), [str(row.get(table.label)) for row in rows], **bounds(rows, column)
            )
            title = f"{column}{_where(group)}"
            yield {"title": title, "x": {"label": f"{column}, ± standard error"}, "y": {}, "series": [points]}


def _against(table: Table) -> Iterator[Spec]:
    """Columns of ratios."""
    column = next((name for name in table.columns if " / " in name and table.numeric(name)), None)
    named = [name for name in table.columns if not table.numeric(name)]
    if column is None or not named or len(table.rows) > 30:
        return
    more = [name for name in ("threads",) if name in table.columns]
    names = [
        ", ".join([str(row.get(name)) for name in named] + [f"{row.get(name)} {name}" for name in more])
        for row in table.rows
    ]
    x = {"label": column, "marks": [{"at": 1}], "zero": True}
    yield {"title": column, "x": x, "y": {}, "series": [_points("", values(table.rows, column), names)]}


_Rule = Callable[[Table], Iterator[Spec]]
_RULES: tuple[tuple[_Rule, ...], ...] = (
    (_ratios,), (_by_set,), (_scaling,), (_reliability,), (_tests,), (_growth,),
    (_trade, _coverage, _dots), (_against,),
)  # fmt: skip
