"""What other raters, other images and a browser do to a study."""

import json
import multiprocessing
import os
import stat
import subprocess
import sys
import threading
import time

from PIL import Image
from rating_helpers import ask, rate, state

from bayesr_bench.rating.lines import opened
from bayesr_bench.rating.ratings import HEADER, RatingFile, read
from bayesr_bench.rating.study import gather

PROCESSES = multiprocessing.get_context("spawn")


def scores(path):
    return [rating.score for rating in read(path)]


# -- several raters --


def give(path, folders, rater, begin):
    """Rate all images five times over, each time as a new sitting."""
    pictures = gather(folders)
    begin.wait()
    for score in range(1, 6):
        for picture in pictures:
            RatingFile(path, pictures, rater, 0).append(picture, score)


def test_raters_at_the_same_time_lose_no_line(folders, tmp_path):
    path, begin, raters = tmp_path / "ratings.csv", PROCESSES.Barrier(2), ("ann", "bob")
    processes = [PROCESSES.Process(target=give, args=(path, folders, rater, begin)) for rater in raters]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    lines = path.read_text().splitlines()
    assert lines[0] == HEADER and len(lines) == 1 + 2 * 5 * 6
    assert len(read(path)) == 12 and scores(path) == [5] * 12


def test_a_sitting_begins_only_when_another_rater_has_written_the_line(folders, tmp_path):
    """Else it would take the first half of that line for one that was cut short, and remove it."""
    pictures, path = gather(folders), tmp_path / "ratings.csv"
    RatingFile(path, pictures, "ann", 0)
    line = f"ann,{pictures[0].system},{pictures[0].image},3,,0,{pictures[0].pixels}\n"
    with opened(path, append=True), open(path, "a") as file:
        file.write(line[:20])
        file.flush()
        other = threading.Thread(target=RatingFile, args=(path, pictures, "bob", 0))
        other.start()
        time.sleep(0.1)
        file.write(line[20:])
        file.flush()
    other.join()
    assert scores(path) == [3]


# -- images and names --


def test_an_image_that_changes_or_vanishes_during_a_sitting_is_neither_shown_nor_rated(study, folders, tmp_path):
    server = study(reference=folders["secretive"])
    for path in folders["boastful"].iterdir():
        Image.new("RGB", (16, 12), "red").save(path, lossless=True)
    for path in folders["secretive"].iterdir():
        path.unlink()
    shown = [entry["id"] for entry in state(server)["calibration"]] + state(server)["next"]
    for name in shown:
        status, headers, body = ask(server, path=f"images/{name}")
        assert status == 409 and headers["Content-Type"] == "application/json"
        assert "changed or disappeared" in json.loads(body)["error"]
        assert str(tmp_path).encode() not in body and b"boastful" not in body
    assert rate(server, 3)[0] == 409 and read(tmp_path / "ratings.csv") == []


def test_an_image_that_is_back_is_shown(study, folders):
    server = study()
    kept = {path: path.read_bytes() for folder in folders.values() for path in folder.iterdir()}
    for path in kept:
        path.write_bytes(b"")
    assert rate(server, 3)[0] == 409
    for path, content in kept.items():
        path.write_bytes(content)
    assert rate(server, 3)[0] == 200


def test_names_that_are_not_utf_8_are_shown_rated_and_continued(folders, tmp_path):
    odd = [b"caf\xe9", b"a,b\n'\"\\n", b"=HYPERLINK(0)"]
    for folder in folders.values():
        for path, name in zip(sorted(folder.iterdir()), odd, strict=True):
            path.rename(folder / (os.fsdecode(name) + path.suffix))
    pictures, path = gather(folders), tmp_path / "ratings.csv"
    file = RatingFile(path, pictures, "ann", 0)
    for picture in pictures:
        file.append(picture, 4)
    assert RatingFile(path, pictures, "ann", 0).rated == pictures
    assert {os.fsencode(rating.image) for rating in read(path)} == set(odd)
    lines = path.read_bytes().decode().splitlines()
    assert len(lines) == 7 and any(",caf\\udce9," in line for line in lines)
    assert any(",'=HYPERLINK(0)," in line for line in lines)


def test_the_command_names_folders_that_are_not_utf_8(folders, tmp_path):
    place = tmp_path / os.fsdecode(b"caf\xe9")
    place.mkdir()
    command = [sys.executable, "-m", "bayesr.cli", "rate", f"a={folders['secretive']}", "--no-open"]
    with subprocess.Popen([*command, "--out", place / "r.csv"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert b"caf\\udce9/r.csv" in process.stdout.readline()
        process.terminate()
    assert [path.name for path in place.iterdir()] == ["r.csv"]


# -- requests --


def test_bodies_that_are_large_deep_or_lie_about_their_size_are_refused_in_few_words(study, capfd):
    server = study()
    for body in ("[" * 1000, '{"a":' * 199, "[]", "{", '"x"', "1e999", "\xff"):
        status, _, answer = ask(server, "POST", "rate", body)
        assert status == 400 and "1000 bytes" in json.loads(answer)["error"]
    for length in ("1001", "-1", "+3", "1_0", "٣", "9" * 5000, "", "x"):
        status, _, answer = ask(server, "POST", "rate", "{}", Content_Length=length.encode())
        assert status == 400 and len(answer) < 100
    for value in ([], {}, None, 1e999, "x" * 900):
        assert ask(server, "POST", "rate", {"id": value})[0] == 409
    assert ask(server, "DELETE")[0] == 501
    assert capfd.readouterr().err == ""


def test_an_error_that_nobody_thought_of_is_answered(study, capfd):
    server = study()
    server.session.ratings = None
    status, _, body = ask(server, path="study")
    assert status == 500 and "AttributeError" in json.loads(body)["error"]
    assert capfd.readouterr().err == ""


# -- the browser --

BROWSER = """#!/bin/sh
echo "$@" > {seen}.part
ls -ln "${{1#file://}}" >> {seen}.part
cat "${{1#file://}}" >> {seen}.part
mv {seen}.part {seen}
"""


def test_the_browsers_arguments_do_not_hold_the_key(folders, tmp_path):
    program, seen, scratch = tmp_path / "browser", tmp_path / "seen", tmp_path / "scratch"
    program.write_text(BROWSER.format(seen=seen))
    program.chmod(0o755)
    scratch.mkdir()
    environment = os.environ | {"BROWSER": f"{program} %s", "TMPDIR": str(scratch)}
    command = [sys.executable, "-m", "bayesr.cli", "rate", f"a={folders['secretive']}", "--out", tmp_path / "r.csv"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        url = process.stdout.readline().split()[2]
        while not seen.exists():
            assert process.poll() is None
            time.sleep(0.01)
        [folder] = scratch.iterdir()
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        process.terminate()
    arguments, listed, content = seen.read_text().splitlines()
    key = url.rstrip("/").rpartition("/")[2]
    assert len(key) == 12 and key not in arguments and arguments.startswith("file:///")
    assert listed.startswith("-rw------- 1 ") and f"url={url}" in content
    assert list(scratch.iterdir()) == []


def test_a_browser_that_cannot_be_opened_does_not_end_the_sitting(folders, tmp_path):
    code = "import sys, tempfile; tempfile.tempdir = sys.argv.pop(1); from bayesr.cli import main; main()"
    command = [sys.executable, "-c", code, tmp_path / "no folder", "rate"]
    command += [f"a={folders['secretive']}", "--out", tmp_path / "r.csv"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = [process.stdout.readline() for _ in range(3)]
        assert "open the address yourself" in said[2]
        process.terminate()
        assert "are rated" in process.communicate(timeout=60)[0]
    assert process.returncode == 0
