"""The models that a table measures: loading, checks, and names in rows and facts."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import bayesr
from bayesr.errors import InvalidArgument
from bayesr_bench.record import Row
from bayesr_bench.sets import labels


@dataclass(frozen=True)
class Measured:
    """A model that is measured.

    Attributes
    ----------
    file : str
        Name or path, as given.
    label : str
        Its name in the table, with the beginning of its checksum if another model has the same name.
    model : Model
    """

    file: str
    label: str
    model: bayesr.Model


def measured(files: Sequence[str], *, bands: int | None = None, scale: int | None = None) -> list[Measured]:
    """Load models, each once, in the given order.

    Parameters
    ----------
    files : sequence of str
        Names of bundled models, or paths.
    bands, scale : int, optional
        Number of bands and scale factor that the table requires.

    Raises
    ------
    InvalidArgument
        If a model has another number of bands or another scale factor.
    """
    once = list(dict.fromkeys(files))
    networks = [bayesr.load(file) for file in once]
    for one in networks:
        if (bands or one.bands) != one.bands or (scale or one.scale) != one.scale:
            needed = " and ".join(
                [f"models of {bands} band(s)"] * (bands is not None) + [f"x{scale}"] * (scale is not None)
            )
            raise InvalidArgument(
                f"{one.name} takes {one.bands} band(s) to x{one.scale}: this table takes {needed}; see `bayesr bench "
                "domains`."
            )
    return [Measured(*parts) for parts in zip(once, labels(networks), networks, strict=True)]


def by_model(models: Sequence[Measured], rows: Callable[[Measured], Sequence[Row]]) -> list[Row]:
    """Return the rows of all models. If there are several, each row begins with the column ``model``, the label."""
    return [
        row if len(models) == 1 else {"model": one.label, **row} for one in models for row in rows(one)
    ]  # fmt: skip


def checksums(models: Sequence[Measured]) -> str:
    """Return the fact ``model`` of a table: each label, and the beginning of the file's checksum."""
    return ", ".join(f"{one.label}, {one.model.sha256[:12]}" for one in models)


class _Loads(logging.Handler):
    """Keeps name and beginning of the checksum of every model that is loaded, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[tuple[str, str], None] = {}

    def emit(self, record: logging.LogRecord) -> None:
        if isinstance(record.args, tuple) and len(record.args) == 3:
            name, _, checksum = record.args
            self.found[str(name), str(checksum)] = None


@contextmanager
def loads() -> Iterator[Callable[[], list[tuple[str, str]]]]:
    """Yield a function that returns name and checksum (its beginning) of each model loaded since, in this process.

    bayesr logs every load. Tables load models in many ways, so that no list of arguments has all of them.
    """
    logger, handler = logging.getLogger(bayesr.Model.__module__), _Loads()
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(min(logger.getEffectiveLevel(), logging.INFO))
    try:
        yield lambda: list(handler.found)
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)


def unstated(loaded: Sequence[tuple[str, str]], facts: Mapping[str, Any]) -> dict[str, str]:
    """Return the fact ``weights`` of a table: models that it loaded, and whose checksums its own facts lack."""
    text = "\n".join(str(value) for value in facts.values())
    missing = [
        f"{name}, {checksum}"
        for name, checksum in loaded
        if not re.search(rf"(?<![\w-]){re.escape(name)}(?: [0-9a-f]{{6}})?,? {checksum}", text)
    ]
    return {"weights": ", ".join(missing)} if missing else {}
