"""Ratings in a CSV file, to which rows are only appended, so that no rating is lost."""

from __future__ import annotations

import csv
import datetime
import io
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bayesr.errors import DataNotFound, InvalidArgument
from bayesr_bench.rating.study import Picture

SCORES = range(1, 6)
COLUMNS = ("rater", "system", "image", "score", "time", "seed", "pixels")
"""Each row is a rating; `time` is UTC. A row without a score withdraws an earlier rating."""


@dataclass(frozen=True)
class Rating:
    """A rater's score of one picture, from 1 (bad) to 5 (excellent)."""

    rater: str
    system: str
    image: str
    score: int
    pixels: str


def read(path: Path) -> list[Rating]:
    """Read the valid ratings, in the order in which they were given.

    Only the last row of each rater, system and image counts; if it has no score, the rating was withdrawn. A last line
    without a line end, as after a crash, is ignored.

    Raises
    ------
    DataNotFound
        If the file does not exist.
    InvalidArgument
        If it holds something else than ratings.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise DataNotFound(f"There is no file {path}: give the CSV that `bayesr rate --out` wrote.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidArgument(f"{path} does not hold ratings ({error}).") from error
    lines = csv.reader(io.StringIO(text[: text.rfind("\n") + 1]))
    if tuple(next(lines, ())) != COLUMNS:
        raise InvalidArgument(f"{path} does not hold ratings: its first line is not {','.join(COLUMNS)}.")
    valid: dict[tuple[str, str, str], Rating] = {}
    for row in lines:
        if len(row) != len(COLUMNS) or row[3] not in ("", *map(str, SCORES)):
            raise InvalidArgument(
                f"{path}, line {lines.line_num}: {','.join(row)!r} is not a rating with a score of 1 to 5."
            )
        rater, system, image, score, _, _, pixels = row
        valid.pop((rater, system, image), None)
        if score:
            valid[rater, system, image] = Rating(rater, system, image, int(score), pixels)
    return list(valid.values())


class RatingFile:
    """The CSV file of a study, open for one rater.

    Parameters
    ----------
    path : Path
        Created if it does not exist.
    pictures : sequence of Picture
        The images of the study.
    rater : str
    seed : int
        Seed of the order, which is recorded with every rating.

    Raises
    ------
    InvalidArgument
        If the file holds something else, or ratings of other systems, images or pixels.
    """

    def __init__(self, path: Path, pictures: Sequence[Picture], rater: str, seed: int) -> None:
        if not rater.strip() or not rater.isprintable():
            raise InvalidArgument(f"A rater needs a name, not {rater!r}.")
        self.path, self.rater, self.seed = path, rater, seed
        known = {(picture.system, picture.image): picture for picture in pictures}
        self.rated: list[Picture] = []
        """Images that the rater has rated, in the order of the ratings."""
        if path.exists() and path.stat().st_size:
            valid = read(path)
            _check(path, valid, known.values())
            self.rated = [known[rating.system, rating.image] for rating in valid if rating.rater == rater]
            end = path.read_bytes().rfind(b"\n") + 1
            if end < path.stat().st_size:  # an incomplete line
                os.truncate(path, end)
        else:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(",".join(COLUMNS) + "\n", encoding="utf-8")
            except OSError as error:
                raise InvalidArgument(f"{path} cannot be written ({error}): choose another --out.") from error

    def append(self, picture: Picture, score: int) -> None:
        """Append a rating, and flush it to the disk.

        Raises
        ------
        InvalidArgument
            If the score is not an integer from 1 to 5.
        """
        if type(score) is not int or score not in SCORES:
            raise InvalidArgument(f"A score is a whole number from 1 to 5, not {score!r}.")
        self._write(picture, str(score))
        self.rated.append(picture)

    def withdraw(self) -> None:
        """Withdraw the rater's last rating."""
        self._write(self.rated[-1], "")
        self.rated.pop()

    def _write(self, picture: Picture, score: str) -> None:
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        line = io.StringIO()
        cells = (self.rater, picture.system, picture.image, score, now, self.seed, picture.pixels)
        csv.writer(line, lineterminator="\n").writerow(cells)
        with open(self.path, "a", encoding="utf-8", newline="") as file:
            file.write(line.getvalue())  # in one call, since others may append to the same file
            file.flush()
            os.fsync(file.fileno())


def _check(path: Path, valid: Iterable[Rating], pictures: Iterable[Picture]) -> None:
    known = {(picture.system, picture.image): picture.pixels for picture in pictures}
    for kind, found, expected in (
        ("systems", {rating.system for rating in valid}, {system for system, _ in known}),
        ("images", {rating.image for rating in valid}, {image for _, image in known}),
    ):
        if not found <= expected:
            raise InvalidArgument(
                f"{path} holds ratings of other {kind} ({', '.join(sorted(found - expected)[:4])}) than this study's "
                f"({', '.join(sorted(expected)[:4])}): choose another --out, or give the {kind} of those ratings."
            )
    for rating in valid:
        if rating.pixels != known[rating.system, rating.image]:
            raise InvalidArgument(
                f"{path} holds ratings of another version of {rating.image} by {rating.system!r}, whose pixels have "
                "changed since: choose another --out."
            )
