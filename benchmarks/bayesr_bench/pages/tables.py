"""The page of recorded tables and training histories, which a reader can sort and filter, with charts."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from bayesr.errors import DataNotFound, InvalidArgument
from bayesr.report.page import page, save
from bayesr.training import history
from bayesr_bench import recorded
from bayesr_bench.pages import charts
from bayesr_bench.recorded import Table


def write(sources: Sequence[str | Path], out: str | Path) -> Path:
    """Write one self-contained HTML page of recorded tables and training histories.

    Parameters
    ----------
    sources : sequence of path
        Tables ``NAME.json`` of `bayesr bench`, histories ``NAME.jsonl`` of trainings, and folders of such files. Other
        files in a folder are ignored, and the page lists JSON files that are not tables.
    out : path
        The file to write. An existing file is replaced.

    Returns
    -------
    Path
        `out`.

    Raises
    ------
    DataNotFound
        If a source does not exist, or the sources hold no table and no history.
    InvalidArgument
        If a given file is neither.
    TrainingFailed
        If a history is empty or damaged.
    StoreFailed
        If the page cannot be written.
    """
    tables: list[Table] = []
    histories: list[tuple[str, list[history.Record]]] = []
    left_out: list[str] = []
    for source in map(Path, sources):
        if not source.exists():
            raise DataNotFound(
                f"There is no {source}: give recorded tables (.json), histories (.jsonl), or their folder."
            )
        for path in _files(source):
            if path.suffix == ".jsonl":
                histories.append((path.stem.removesuffix("-training"), history.read(path)))
                continue
            try:
                tables.append(recorded.read(path))
            except InvalidArgument:
                if not source.is_dir():
                    raise
                left_out.append(path.name)
    if not tables and not histories:
        raise DataNotFound(
            f"There is no recorded table and no history in {', '.join(map(str, sources)) or 'nothing'}: `bayesr bench "
            "NAME` writes NAME.json, and training writes NAME.jsonl."
        )
    data = {
        "tables": [_table(table) for table in tables],
        "histories": [_history(name, records) for name, records in histories],
        "leftOut": left_out,
    }
    return save(page("tables.html", data, "bayesr: tables and training histories", assets=__package__), Path(out))


def _files(source: Path) -> list[Path]:
    if source.is_dir():
        return sorted(path for path in source.iterdir() if path.suffix in (".json", ".jsonl") and path.is_file())
    if source.suffix in (".json", ".jsonl"):
        return [source]
    raise InvalidArgument(f"{source} is neither a recorded table (.json) nor a training history (.jsonl).")


def _table(table: Table) -> dict[str, Any]:
    columns = [
        {
            "name": column,
            "numeric": table.numeric(column),
            "best": sorted(table.best(column)),
            "verdicts": [table.verdict(column, row) for row in table.rows],
        }
        for column in table.columns
    ]
    return {
        "name": table.name,
        "label": table.label,
        "group": table.group,
        "columns": columns,
        "rows": [[row.get(column) for column in table.columns] for row in table.rows],
        "errors": [[row.get(f"{column} ±") for column in table.columns] for row in table.rows],
        "nominal": table.nominal,
        "beaten": table.beaten(),
        "facts": {key: str(value) for key, value in table.facts.items() if value not in ("", None)},
        "charts": charts.of_table(table),
    }


def _history(name: str, records: list[history.Record]) -> dict[str, Any]:
    last = records[-1]
    stages = []
    for stage, some in groupby(records, lambda record: record.get("stage")):
        steps = list(some)
        stages.append({"stage": str(stage), "first": steps[0]["step"], "last": steps[-1]["step"]})
    return {
        "name": name,
        "records": len(records),
        "seconds": last.get("seconds"),
        "stages": stages,
        "last": {key: value for key, value in last.items() if recorded.is_number(value)},
        "charts": charts.of_history(records),
    }
