"""Lists of attributions: source and licence of every image that a bundled model was trained on.

A card names a list in its entry ``attributions``, such as ``photos_free.csv``. The list is that file beside the
weights, a row for each image. A second file, ``photos_free-licences.csv``, holds the notes on licences, of which each
row gives the number.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

from bayesr.errors import InvalidModel

FOLDER = Path(__file__).parent / "weights" / "attributions"
"""Folder of the bundled lists."""
_NOTES = "-licences.csv"


@dataclass(frozen=True)
class Attribution:
    """Where a training image comes from.

    Attributes
    ----------
    file : str
        Name of the image among the training images.
    source, path : str
        The repository or package that it was taken from, and its path there.
    reduced_by : float
        Factor by which it was downsampled before it was cropped.
    crop : (int, int, int, int)
        Top, left, height and width of the crop, in pixels of the downsampled image.
    licence : str
        The licence as the source states it; names of files are those of the source.
    """

    file: str
    source: str
    path: str
    reduced_by: float
    crop: tuple[int, int, int, int]
    licence: str


def names() -> tuple[str, ...]:
    """Return the names of the bundled lists."""
    return tuple(sorted(path.name for path in FOLDER.glob("*.csv") if not path.name.endswith(_NOTES)))


def read(name: str) -> list[Attribution]:
    """Return the rows of a bundled list.

    Raises
    ------
    InvalidModel
        When no such list is bundled, or a file of it is damaged.
    """
    if name not in names():
        raise InvalidModel(
            f"No list of attributions {name!r} comes with this version of bayesr (there are: {', '.join(names())}): "
            "ask whoever trained the model."
        )
    try:
        notes = {row["licence"]: row["note"] for row in _rows(FOLDER / name.replace(".csv", _NOTES))}
        return [_attribution(row, notes) for row in _rows(FOLDER / name)]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, csv.Error) as error:
        raise InvalidModel(f"The list of attributions {name} is damaged ({error!r}): install bayesr again.") from error


def lists(card: Mapping[str, Any]) -> list[str]:
    """Return the names of the lists of a card, and of the models that its training started from."""
    found: dict[str, None] = {}
    entries: Any = card
    while isinstance(entries, Mapping):
        if entries.get("attributions"):
            found[str(entries["attributions"])] = None
        entries = entries.get("start")
    return list(found)


def table(card: Mapping[str, Any]) -> str:
    """Return all attributions of a card as one table in CSV, with the licences in full; empty if it names no list.

    Raises
    ------
    InvalidModel
        See `read`.
    """
    rows = [row for name in lists(card) for row in read(name)]
    if not rows:
        return ""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(field.name for field in fields(Attribution))
    for row in rows:
        writer.writerow(" ".join(map(str, value)) if isinstance(value, tuple) else value for value in astuple(row))
    return out.getvalue()


def _rows(path: Path) -> list[dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, strict=True))


def _attribution(row: Mapping[str, str], notes: Mapping[str, str]) -> Attribution:
    top, left, height, width = map(int, row["crop"].split())
    crop = (top, left, height, width)
    return Attribution(row["file"], row["source"], row["path"], float(row["reduced_by"]), crop, notes[row["licence"]])
