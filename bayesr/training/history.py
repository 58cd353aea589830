"""The history of a training: one JSON object a line, written as training goes, and what shows it live."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bayesr.errors import TrainingFailed

Record = dict[str, Any]
Report = Callable[[Record], None]

_ROWS = 12


class History:
    """A file that holds every record up to now.

    Parameters
    ----------
    path : Path
    records : sequence of dict
        What the checkpoint remembers. The file begins with these alone: lines of steps after the
        checkpoint, which are about to be taken again, go.

    Raises
    ------
    TrainingFailed
        When the file cannot be written, here and later.
    """

    def __init__(self, path: Path, records: Sequence[Record] = ()) -> None:
        self.path = path
        partial = path.with_suffix(".partial.jsonl")
        try:
            partial.write_text("".join(json.dumps(record) + "\n" for record in records))
            partial.replace(path)
        except OSError as error:
            partial.unlink(missing_ok=True)
            raise self._failed(error) from error

    def append(self, record: Record) -> None:
        """Add one record; it is on the disk afterwards."""
        try:
            with open(self.path, "a") as file:
                file.write(json.dumps(record) + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise self._failed(error) from error

    def _failed(self, error: OSError) -> TrainingFailed:
        return TrainingFailed(
            f"The history {self.path} could not be written ({error}); the checkpoint is kept. Free some space and "
            "resume."
        )


def read(path: str | Path) -> list[Record]:
    """Records of a history; a last line that was cut short is left out.

    Raises
    ------
    TrainingFailed
        When there is no such file, or it holds anything else.
    """
    try:
        lines = Path(path).read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise TrainingFailed(f"{path} is no history of a training ({error}).") from error
    records: list[Record] = []
    for i, line in enumerate(lines):
        try:
            record = json.loads(line)
            if not isinstance(record, dict) or "step" not in record:
                raise ValueError("not a record of a step")
        except ValueError as error:
            if i == len(lines) - 1 and i > 0:
                break
            raise TrainingFailed(f"{path} is no history of a training: line {i + 1} ({error}).") from error
        records.append(record)
    if not records:
        raise TrainingFailed(f"{path} holds no record yet.")
    return records


def line(record: Record) -> str:
    """A record as plain text."""
    return " ".join(f"{k}={v:.5g}" if isinstance(v, float) else f"{k}={v}" for k, v in record.items())


@contextmanager
def table(what: str, show: bool | None) -> Iterator[Report]:
    """A function that shows a record: in a live table of the latest on a terminal, as a line elsewhere.

    Parameters
    ----------
    what : str
        The title.
    show : bool or None
        True shows the table on a terminal and lines elsewhere; None the table on a terminal only; False
        shows nothing.
    """
    terminal = sys.stderr.isatty() and find_spec("rich") is not None
    if show is False or (show is None and not terminal):
        yield lambda record: None
        return
    if not terminal:
        yield lambda record: print(line(record), file=sys.stderr, flush=True)
        return
    # Slow to import, and not there on machines that have torch and numpy alone.
    from rich.console import Console
    from rich.live import Live
    from rich.table import Table

    latest: list[Record] = []
    with Live(console=Console(stderr=True), auto_refresh=False) as live:

        def update(record: Record) -> None:
            latest[:] = [*latest, record][-_ROWS:]
            columns = list(dict.fromkeys(name for known in reversed(latest) for name in known))
            shown = Table(*columns, title=what)
            for known in latest:
                cells = (known.get(name, "") for name in columns)
                shown.add_row(*(f"{cell:.4g}" if isinstance(cell, float) else str(cell) for cell in cells))
            live.update(shown, refresh=True)

        yield update


@contextmanager
def tensorboard(folder: Path, step: int) -> Iterator[Report]:
    """A function that writes a record for TensorBoard to `folder`, where TensorBoard is installed.

    Events after `step`, which a resumed training takes again, are hidden.
    """
    if find_spec("tensorboard") is None:
        yield lambda record: None
        return
    from torch.utils.tensorboard import SummaryWriter  # optional: needs TensorBoard

    writer = SummaryWriter(str(folder), purge_step=step + 1)

    def write(record: Record) -> None:
        for name, value in record.items():
            if isinstance(value, float):
                writer.add_scalar(name, value, record["step"])
        writer.flush()

    try:
        yield write
    finally:
        writer.close()
