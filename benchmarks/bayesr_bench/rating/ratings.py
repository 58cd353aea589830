"""Ratings on the disk: a CSV that only ever grows, so that nothing given is lost."""

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
"""One row a rating; `time` is UTC. A row without a score takes the rating before it back."""


@dataclass(frozen=True)
class Rating:
    """A rater's score of one picture, from 1 (bad) to 5 (excellent)."""

    rater: str
    system: str
    image: str
    score: int
    pixels: str


def read(path: Path) -> list[Rating]:
    """Ratings that stand, in the order in which they were given.

    The last row of a rater, system and image counts; where it has no score, the rating was taken back. A last
    line without its end, which a machine that stopped may leave, does not count.

    Raises
    ------
    DataNotFound
        When there is no such file.
    InvalidArgument
        When it holds anything else than ratings.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise DataNotFound(f"There is no file {path}: give the CSV that `bayesr rate --out` wrote.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidArgument(f"{path} holds no ratings ({error}).") from error
    lines = csv.reader(io.StringIO(text[: text.rfind("\n") + 1]))
    if tuple(next(lines, ())) != COLUMNS:
        raise InvalidArgument(f"{path} holds no ratings: its first line is not {','.join(COLUMNS)}.")
    standing: dict[tuple[str, str, str], Rating] = {}
    for row in lines:
        if len(row) != len(COLUMNS) or row[3] not in ("", *map(str, SCORES)):
            raise InvalidArgument(
                f"{path}, line {lines.line_num}: {','.join(row)!r} is no rating with a score of 1 to 5."
            )
        rater, system, image, score, _, _, pixels = row
        standing.pop((rater, system, image), None)
        if score:
            standing[rater, system, image] = Rating(rater, system, image, int(score), pixels)
    return list(standing.values())


class Sheet:
    """The CSV of a study, open for one rater.

    Parameters
    ----------
    path : Path
        Made where it is not there.
    pictures : sequence of Picture
        Of the study.
    rater : str
    seed : int
        Of the order; it is written beside every rating.

    Raises
    ------
    InvalidArgument
        When the file holds anything else, or ratings of other systems, images or pixels.
    """

    def __init__(self, path: Path, pictures: Sequence[Picture], rater: str, seed: int) -> None:
        if not rater.strip() or not rater.isprintable():
            raise InvalidArgument(f"A rater needs a name, not {rater!r}.")
        self.path, self.rater, self.seed = path, rater, seed
        known = {(picture.system, picture.image): picture for picture in pictures}
        self.rated: list[Picture] = []
        """What the rater has rated, the last one last."""
        if path.exists() and path.stat().st_size:
            standing = read(path)
            _check(path, standing, known.values())
            self.rated = [known[rating.system, rating.image] for rating in standing if rating.rater == rater]
            end = path.read_bytes().rfind(b"\n") + 1
            if end < path.stat().st_size:  # a line that was cut short
                os.truncate(path, end)
        else:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(",".join(COLUMNS) + "\n", encoding="utf-8")
            except OSError as error:
                raise InvalidArgument(f"{path} cannot be written ({error}): choose another --out.") from error

    def append(self, picture: Picture, score: int) -> None:
        """Write a rating; it is on the disk afterwards.

        Raises
        ------
        InvalidArgument
            When the score is not a whole number from 1 to 5.
        """
        if type(score) is not int or score not in SCORES:
            raise InvalidArgument(f"A score is a whole number from 1 to 5, not {score!r}.")
        self._write(picture, str(score))
        self.rated.append(picture)

    def withdraw(self) -> None:
        """Take the rater's last rating back."""
        self._write(self.rated[-1], "")
        self.rated.pop()

    def _write(self, picture: Picture, score: str) -> None:
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        line = io.StringIO()
        cells = (self.rater, picture.system, picture.image, score, now, self.seed, picture.pixels)
        csv.writer(line, lineterminator="\n").writerow(cells)
        with open(self.path, "a", encoding="utf-8", newline="") as file:
            file.write(line.getvalue())  # in one piece: others may rate into the same file
            file.flush()
            os.fsync(file.fileno())


def _check(path: Path, standing: Iterable[Rating], pictures: Iterable[Picture]) -> None:
    known = {(picture.system, picture.image): picture.pixels for picture in pictures}
    for what, mine, theirs in (
        ("systems", {rating.system for rating in standing}, {system for system, _ in known}),
        ("images", {rating.image for rating in standing}, {image for _, image in known}),
    ):
        if not mine <= theirs:
            raise InvalidArgument(
                f"{path} holds ratings of other {what} ({', '.join(sorted(mine - theirs)[:4])}) than this study's "
                f"({', '.join(sorted(theirs)[:4])}): choose another --out, or give the {what} it was made with."
            )
    for rating in standing:
        if rating.pixels != known[rating.system, rating.image]:
            raise InvalidArgument(
                f"{path} holds ratings of another version of {rating.image} by {rating.system!r}: its pixels have "
                "changed since. Choose another --out."
            )
