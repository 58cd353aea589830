"""Training histories as JSON lines, and live displays of them."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from torch import Tensor

from bayesr.errors import StoreFailed, TrainingFailed
from bayesr.files import append_atomically, write_atomically
from bayesr.progress import is_hidden

Record = dict[str, Any]
Report = Callable[[Record], None]

_ROWS = 12


class History:
    """A file with the records of a training, one JSON object per line.

    Parameters
    ----------
    path : Path
        File to write; an existing one is replaced.
    records : sequence of dict
        Records of the checkpoint, with which the file starts. Lines for later steps are dropped, because these steps
        are repeated.

    Raises
    ------
    TrainingFailed
        If the file cannot be written, now or later.
    """

    def __init__(self, path: Path, records: Sequence[Record] = ()) -> None:
        self.path = path
        try:
            write_atomically(path, "".join(json.dumps(record) + "\n" for record in records))
        except StoreFailed as error:
            raise TrainingFailed(f"The history of the training: {error}") from error

    def append(self, record: Record) -> None:
        """Append one record, and flush it."""
        try:
            append_atomically(self.path, json.dumps(record) + "\n")
        except StoreFailed as error:
            raise TrainingFailed(f"The checkpoint is kept. {error} Then resume.") from error


def read(path: str | Path) -> list[Record]:
    """Read the records of a history. An incomplete last line is left out.

    Raises
    ------
    TrainingFailed
        If the file does not exist, or is not the history of a training.
    """
    try:
        lines = Path(path).read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise TrainingFailed(f"{path} is not the history of a training ({error}).") from error
    records: list[Record] = []
    for i, line in enumerate(lines):
        try:
            record = json.loads(line)
            if not isinstance(record, dict) or "step" not in record:
                raise ValueError("not a record of a step")
            if wrong := [name for name, value in record.items() if name != "stage" and not _is_number(value)]:
                raise ValueError(f"{wrong[0]!r} is no number")
        except (ValueError, RecursionError) as error:
            if i == len(lines) - 1 and i > 0:
                break
            raise TrainingFailed(f"{path} is not the history of a training: line {i + 1} ({error}).") from error
        records.append(record)
    if not records:
        raise TrainingFailed(f"{path} has no record yet.")
    return records


def _is_number(value: Any) -> bool:
    """Whether a value is a number that fits into double precision, possibly NaN or infinite."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return isinstance(value, float) or abs(value) < 2**1023


def to_all(*receivers: Report | None) -> Report:
    """Return a function that passes records to several, in this order."""

    def pass_on(record: Record) -> None:
        for receiver in receivers:
            if receiver is not None:
                receiver(record)

    return pass_on


def line(record: Record) -> str:
    """Format a record as plain text."""
    return " ".join(f"{k}={v:.5g}" if isinstance(v, float) else f"{k}={v}" for k, v in record.items())


class Means:
    """Means of losses over steps, summed on their device, so that the host does not wait for every step."""

    def __init__(self) -> None:
        self._sums: dict[tuple[str, ...], Tensor] = {}
        self._count = 0

    def add(self, names: list[str], values: Tensor) -> None:
        """Add the losses of one step."""
        key = tuple(names)
        self._sums[key] = self._sums[key] + values if key in self._sums else values.double()
        self._count += 1

    def take(self) -> dict[str, float]:
        """Return means over the steps since the last call; a loss that a step lacks counts as 0."""
        means: dict[str, float] = {}
        for names, sums in self._sums.items():
            for name, value in zip(names, sums.tolist(), strict=True):
                means[name] = means.get(name, 0.0) + value / self._count
        self._sums, self._count = {}, 0
        return means


@contextmanager
def table(title: str, show: bool | None) -> Iterator[Report]:
    """Return a function that displays a record: in a live table on a terminal, as a line elsewhere.

    Parameters
    ----------
    title : str
    show : bool or None
        True shows the table or lines, None only the table, False nothing.
    """
    terminal = sys.stderr.isatty() and find_spec("rich") is not None
    if show is False or is_hidden() or (show is None and not terminal):
        yield lambda record: None
        return
    if not terminal:
        yield lambda record: print(line(record), file=sys.stderr, flush=True)
        return
    # Slow to import, and missing on machines that have only torch and numpy.
    from rich.console import Console
    from rich.live import Live
    from rich.table import Table

    latest: list[Record] = []
    with Live(console=Console(stderr=True), auto_refresh=False) as live:

        def update(record: Record) -> None:
            latest[:] = [*latest, record][-_ROWS:]
            columns = list(dict.fromkeys(name for row in reversed(latest) for name in row))
            grid = Table(*columns, title=title)
            for row in latest:
                cells = (row.get(name, "") for name in columns)
                grid.add_row(*(f"{cell:.4g}" if isinstance(cell, float) else str(cell) for cell in cells))
            live.update(grid, refresh=True)

        yield update


@contextmanager
def tensorboard(folder: Path, step: int) -> Iterator[Report]:
    """Return a function that writes a record for TensorBoard to `folder`, or does nothing without TensorBoard.

    Events after `step` are hidden: a resumed training repeats them.
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
