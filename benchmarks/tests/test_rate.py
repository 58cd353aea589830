"""``bayesr rate``: the command, and its summary."""

import csv
import http.client
import json
import re
import signal
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner
from rating_helpers import ratings

from bayesr.cli import main
from bayesr_bench.rating.ratings import COLUMNS, read


def test_the_command_writes_what_ratings_say(tmp_path):
    path = tmp_path / "ratings.csv"
    scores = np.array([[[5, 4, 5, 4]] * 2, [[2, 1, 2, 3]] * 2])
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows((r.rater, r.system, r.image, r.score, "", 0, "") for r in ratings(scores))
    found = CliRunner().invoke(main, ["rate", "--summary", str(path)])
    assert found.exit_code == 0, found.output
    with open(tmp_path / "ratings-mos.csv") as file:
        rows = list(csv.DictReader(file))
    assert [(row["system"], float(row["MOS"]), row["ratings"], row["raters"]) for row in rows] == [
        ("a", 4.5, "8", "2"),
        ("b", 2, "8", "2"),
    ]
    with open(tmp_path / "ratings-differences.csv") as file:
        [row] = csv.DictReader(file)
    assert float(row["difference"]) == 2.5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a=b"], "--out"),
        (["--out", "r.csv"], "no system"),
        (["folder", "--out", "r.csv"], "NAME=FOLDER"),
        (["a=x", "a=y", "--out", "r.csv"], "twice"),
        (["a=nothing", "--out", "r.csv"], "no folder"),
        (["--summary", "nothing.csv"], "no file"),
        (["a=b", "--summary", "r.csv"], "leave the systems out"),
    ],
)
def test_the_command_says_what_is_wrong(tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    found = CliRunner().invoke(main, ["rate", *arguments])
    assert found.exit_code == 1 and message in found.output
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("told", [signal.SIGINT, signal.SIGTERM])
def test_the_command_serves_until_it_is_told_to_end(folders, tmp_path, told):
    given = [f"{system}={folder}" for system, folder in folders.items()]
    out = tmp_path / "new" / "ratings.csv"
    command = [sys.executable, "-m", "bayesr.cli", "rate", *given, "--out", str(out), "--rater", "ann", "--no-open"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert "6 images to rate, 0 of them rated by ann" in process.stdout.readline()
        address = re.search(r"http://(\S+?)/(\S+)/", process.stdout.readline())
        connection = http.client.HTTPConnection(address[1], timeout=20)
        connection.request("GET", f"/{address[2]}/study")
        assert json.loads(connection.getresponse().read())["total"] == 6
        connection.close()
        process.send_signal(told)
        try:
            said, _ = process.communicate(timeout=60)
        finally:
            process.kill()
        assert "0 of 6 are rated" in said
    assert process.returncode == 0 and read(out) == []
