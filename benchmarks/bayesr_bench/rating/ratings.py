"""Ratings in a CSV file, to which rows are only appended, so that no rating is lost."""

from __future__ import annotations

import csv
import datetime
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bayesr.cli import cells
from bayesr.errors import DataNotFound, InvalidArgument, LinesLeftOut, warn
from bayesr_bench.rating.lines import Lines, opened
from bayesr_bench.rating.study import Picture

SCORES = range(1, 6)
COLUMNS = ("rater", "system", "image", "score", "time", "seed", "pixels")
"""Each row is a rating; `time` is UTC. A row without a score withdraws an earlier rating. Names are `cells`."""
HEADER = ",".join(COLUMNS)


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

    Only the last row of each rater, system and image counts; if it has no score, the rating was withdrawn. Lines that
    are cut short or damaged are left out, and a warning names them.

    Raises
    ------
    DataNotFound
        If the file does not exist.
    InvalidArgument
        If it holds something else than ratings.
    """
    try:
        with opened(path, append=False) as lines:
            return _valid(path, lines)
    except FileNotFoundError as error:
        raise DataNotFound(f"There is no file {path}: give the CSV that `bayesr rate --out` wrote.") from error
    except OSError as error:
        raise InvalidArgument(f"{path} does not hold ratings ({error}).") from error


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
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with opened(path, append=True) as lines:
                valid = _valid(path, lines)
                _check(path, valid, known.values())
                self._begin(lines)
        except OSError as error:
            raise InvalidArgument(f"{path} cannot be written ({error}): choose another --out.") from error
        self.rated = [known[rating.system, rating.image] for rating in valid if rating.rater == rater]
        """Images that the rater has rated, in the order of the ratings."""

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
        names = (cells.cell(name) for name in (self.rater, picture.system, picture.image))
        with opened(self.path, append=True) as lines:
            _check_header(self.path, lines)
            self._begin(lines)
            lines.append(_line((*names, score, now, self.seed, picture.pixels)))

    @staticmethod
    def _begin(lines: Lines) -> None:
        """Make the file end with a whole line, and begin with the header."""
        lines.drop_rest()
        if not lines.whole:
            lines.append(HEADER)


def _line(row: Iterable[object]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(row)
    return line.getvalue()


def _check_header(path: Path, lines: Lines) -> None:
    first = lines.whole[0].rstrip(b"\r") if lines.whole else lines.rest
    if first != HEADER.encode() and (lines.whole or not HEADER.encode().startswith(first)):
        raise InvalidArgument(f"{path} does not hold ratings: its first line is not {HEADER}.")


def _valid(path: Path, lines: Lines) -> list[Rating]:
    """Return the ratings that count; see `read`."""
    _check_header(path, lines)
    valid: dict[tuple[str, str, str], Rating] = {}
    left_out = {}
    for number, line in enumerate(lines.whole[1:], 2):
        row = _row(line)
        if row is None:
            left_out[number] = line
            continue
        rater, system, image, score, _, _, pixels = row
        valid.pop((rater, system, image), None)
        if score:
            valid[rater, system, image] = Rating(rater, system, image, int(score), pixels)
    if lines.rest and lines.whole:
        left_out[len(lines.whole) + 1] = lines.rest
    if left_out:
        _warn(path, left_out)
    return list(valid.values())


def _row(line: bytes) -> list[str] | None:
    """Return the cells of a line, or None if it is not a whole rating."""
    try:
        [row] = csv.reader([line.decode()], strict=True)
    except (ValueError, csv.Error):
        return None
    if len(row) != len(COLUMNS) or row[3] not in ("", *map(str, SCORES)):
        return None
    return [*map(cells.text, row[:3]), *row[3:]]


def _warn(path: Path, left_out: Mapping[int, bytes]) -> None:
    shown = [f"line {n} ({line[:80].decode(errors='replace')!a})" for n, line in list(left_out.items())[:3]]
    more = f" and {len(left_out) - 3} more" if len(left_out) > 3 else ""
    warn(
        f"{path} has lines that are no whole ratings, as a full disk or a crash leaves them: {', '.join(shown)}{more}. "
        "They are left out, and their images are shown again to their raters.",
        LinesLeftOut,
    )


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
