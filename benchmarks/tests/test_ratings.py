"""The file of ratings on a full disk, after a crash, and changed by other programs."""

import json
import os
import resource
from pathlib import Path

import pytest
from click.testing import CliRunner
from rating_helpers import SYSTEMS, ask, rate, state

from bayesr.cli import main
from bayesr.errors import InvalidArgument, LinesLeftOut
from bayesr_bench.rating.ratings import HEADER, RatingFile, read
from bayesr_bench.rating.study import gather
from tests.faults.kills import cuts


def scores(path):
    return [rating.score for rating in read(path)]


# -- full disks and crashes --


def with_limit(size, function):
    """Call a function while no file can be larger than this, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        return function()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_rating_that_does_not_fit_on_the_disk_is_told_and_leaves_the_file_as_it_was(study, tmp_path):
    server, path = study(), tmp_path / "ratings.csv"
    rate(server, 4)
    whole = path.read_bytes()
    for room in (0, 1, 20, 40):
        status, _, body = with_limit(len(whole) + room, lambda: rate(server, 2))
        assert status == 500 and "could not be written" in json.loads(body)["error"]
        assert path.read_bytes() == whole and state(server)["done"] == 1
        status, _, _ = with_limit(len(whole) + room, lambda: ask(server, "POST", "undo", {}))
        assert status == 500 and path.read_bytes() == whole and state(server)["done"] == 1
    assert rate(server, 2)[0] == 200 and scores(path) == [4, 2]


def test_a_file_that_does_not_fit_on_the_disk_is_refused_and_can_be_begun_later(folders, tmp_path):
    pictures, path = gather(folders), tmp_path / "ratings.csv"
    with pytest.raises(InvalidArgument, match="cannot be written"):
        with_limit(10, lambda: RatingFile(path, pictures, "ann", 0))
    assert path.read_bytes() == b""
    RatingFile(path, pictures, "ann", 0).append(pictures[0], 3)
    assert scores(path) == [3]


def test_a_line_that_was_cut_short_is_named_and_dropped_and_nothing_else(folders, tmp_path):
    pictures, path = gather(folders), tmp_path / "ratings.csv"
    file = RatingFile(path, pictures, "ann", 0)
    file.append(pictures[0], 3)
    whole = path.read_bytes()
    file.append(pictures[1], 4)
    longer = path.read_bytes()
    for cut in range(len(whole) + 1, len(longer)):
        path.write_bytes(longer[:cut])
        with pytest.warns(LinesLeftOut, match=r"line 3 \('ann|line 3 \('a"):
            assert scores(path) == [3]
        with pytest.warns(LinesLeftOut, match="shown again"):
            again = RatingFile(path, pictures, "ann", 0)
        assert again.rated == pictures[:1] and path.read_bytes() == whole
        again.append(pictures[1], 4)
        assert [(r.image, r.score) for r in read(path)] == [(pictures[0].image, 3), (pictures[1].image, 4)]


def test_a_header_that_was_cut_short_is_written_again(folders, tmp_path):
    pictures, path = gather(folders), tmp_path / "ratings.csv"
    for cut in range(len(HEADER) + 1):
        path.write_text(HEADER[:cut])
        assert read(path) == []
        assert RatingFile(path, pictures, "ann", 0).rated == []
        assert path.read_text() == f"{HEADER}\n"


def test_a_cut_line_is_dropped_before_a_rating_is_appended_to_it(folders, tmp_path):
    pictures, path = gather(folders), tmp_path / "ratings.csv"
    file = RatingFile(path, pictures, "ann", 0)
    with open(path, "a") as other:
        other.write("bob,secr")  # another rater's computer has crashed
    file.append(pictures[0], 3)
    assert scores(path) == [3] and "bob" not in path.read_text()


DAMAGE = {
    "two lines in one": b"ann,secretive,tabann,secretive,tabby,4,2026-01-01T00:00:00+00:00,0,0123456789ab",
    "another score": b"ann,secretive,tabby,6,2026-01-01T00:00:00+00:00,0,0123456789ab",
    "no UTF-8": b"ann,secretive,t\xffbby,6,2026-01-01T00:00:00+00:00,0,0123456789ab",
    "an open quote": b'ann,"secretive,tabby,5,2026-01-01T00:00:00+00:00,0,0123456789ab',
    "zeros": b"\0" * 300_000,
    "nothing": b"",
}


@pytest.mark.filterwarnings("default::bayesr.errors.LinesLeftOut")  # the command prints it
@pytest.mark.parametrize("line", DAMAGE.values(), ids=DAMAGE)
def test_what_is_whole_is_read_around_a_damaged_line(folders, tmp_path, line):
    """So a file is still read where an older version appended to a line that was cut short."""
    pictures, path = gather(folders), tmp_path / "ratings.csv"
    file = RatingFile(path, pictures, "ann", 0)
    file.append(pictures[0], 3)
    with open(path, "ab") as other:
        other.write(line + b"\n")
    file.append(pictures[1], 5)
    before = path.read_bytes()
    with pytest.warns(LinesLeftOut, match="line 3 "):
        assert scores(path) == [3, 5]
    with pytest.warns(LinesLeftOut, match="line 3 "):
        assert RatingFile(path, pictures, "ann", 0).rated == pictures[:2]
    assert path.read_bytes() == before
    found = CliRunner().invoke(main, ["rate", "--summary", str(path)])
    assert found.exit_code == 0 and "Warning: " in found.output and "line 3 " in found.output


def test_a_file_saved_by_a_program_that_changes_line_ends_is_read(folders, tmp_path):
    pictures, path = gather(folders), tmp_path / "ratings.csv"
    RatingFile(path, pictures, "ann", 0).append(pictures[0], 3)
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    RatingFile(path, pictures, "bob", 0).append(pictures[0], 4)
    assert scores(path) == [3, 4]


@pytest.mark.parametrize("kind", ["device", "pipe", "folder"])
def test_what_is_no_file_is_refused_and_does_not_wait(folders, tmp_path, kind):
    path = Path("/dev/full") if kind == "device" else tmp_path / "here"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    with pytest.raises(InvalidArgument, match=r"not a regular file|cannot be written \(.*Is a directory"):
        RatingFile(path, gather(folders), "ann", 0)
    with pytest.raises(InvalidArgument, match="not a regular file"):
        read(path)


def sit(folder):
    """Rate all images that are left, one sitting."""
    pictures = gather({system: folder.parent / system for system in SYSTEMS})
    file = RatingFile(folder / "out" / "ratings.csv", pictures, "ann", 0)
    for picture in pictures:
        if picture not in file.rated:
            file.append(picture, 4)


def test_a_rating_that_is_killed_anywhere_is_given_in_the_next_sitting(folders, tmp_path):
    (tmp_path / "sitting").mkdir()
    given = []
    for folder in cuts(sit, tmp_path / "sitting"):
        path = folder / "out" / "ratings.csv"
        given.append(len(read(path)) if path.exists() else 0)
        sit(folder)
        assert [file.name for file in path.parent.iterdir()] == ["ratings.csv"]
        assert len(path.read_text().splitlines()) == 1 + 6 and scores(path) == [4] * 6
    assert sorted(set(given)) == [0, 1, 2, 3, 4, 5]
