"""Scenario: a process is killed at any of its file operations, or its disk is full.

Afterwards the documented next command succeeds, the store is bit-identical to that of an undisturbed run, without a
stray file, and nothing that was finished is computed again. ``python -m pytest -m slow tests/faults`` cuts at every
operation; the default run takes some of them.
"""

import json
import shutil
import subprocess
import sys

import pytest

from tests.faults.operations import LOG, OPERATIONS, STORE, contents, copied, folders
from tests.faults.server import KILLED, REFUSED

PARTS = 16
"""Tests of an operation; each stays within the time after which a test is taken to hang."""
SAMPLED = 2
"""Cuts of every operation in the default run."""


class Server:
    """The process that forks, and the stores and counts of undisturbed runs."""

    def __init__(self, folder):
        self.folder, self.undisturbed = folder, {}
        command = [sys.executable, "-m", "tests.faults.server"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "ready\n"

    def ask(self, name, part, folder, kill=None, limit=None):
        given = {"operation": name, "part": part, "folder": str(folder), "kill": kill, "limit": limit}
        self.process.stdin.write(json.dumps(given) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def whole(self, name):
        """Return the folder before an operation, and the contents and the number of file operations of a whole run."""
        if name not in self.undisturbed:
            before, after = self.folder / f"{name}-before", self.folder / f"{name}-after"
            before.mkdir()
            assert self.ask(name, "prepare", before)["code"] == 0, told(before)
            (before / LOG).unlink(missing_ok=True)
            found = self.ask(name, "run", copied(before, after))
            assert found["code"] == 0, told(after)
            self.undisturbed[name] = before, contents(after), folders(after), found["count"]
        return self.undisturbed[name]


def told(folder):
    return "".join((folder / name).read_text() for name in ("refused", "crashed") if (folder / name).exists())


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("kills"))
    yield server
    server.process.communicate()


def log(folder):
    return set((folder / LOG).read_text().splitlines()) if (folder / LOG).exists() else set()


def goes_on(server, name, folder):
    """Call the documented command, and compare the store with that of an undisturbed run."""
    _, expected, directories, _ = server.whole(name)
    finished = OPERATIONS[name].finished(folder)
    (folder / LOG).unlink(missing_ok=True)
    answer = server.ask(name, "again", folder)
    assert answer["code"] == 0, told(folder)
    assert not finished & log(folder), "it was finished, and was computed again"
    found = contents(folder)
    assert found.keys() == expected.keys(), found.keys() ^ expected.keys()
    differing = [path for path in found if found[path] != expected[path]]
    assert not differing, differing
    assert folders(folder) == directories
    assert {path.name for path in folder.iterdir()} <= {STORE, LOG, "refused", "crashed"}


def cut(server, name, kill):
    before, *_ = server.whole(name)
    folder = copied(before, server.folder / f"{name}-{kill}")
    answer = server.ask(name, "run", folder, kill=kill)
    assert answer["code"] == KILLED, told(folder)
    goes_on(server, name, folder)
    shutil.rmtree(folder)


@pytest.mark.parametrize("name", OPERATIONS)
def test_killed_at_some_file_operations(server, name):
    count = server.whole(name)[-1]
    offset = 1 + sum(name.encode()) % 7
    for kill in range(offset, count + 1, count // SAMPLED):
        cut(server, name, kill)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("name", OPERATIONS)
def test_killed_at_every_file_operation(server, name, part):
    for kill in range(1 + part, server.whole(name)[-1] + 1, PARTS):
        cut(server, name, kill)


@pytest.mark.parametrize(("name", "limit"), [("sample", 100), ("extend", 700), ("segment", 100)])
def test_no_file_can_grow_beyond_a_limit(server, name, limit):
    """As on a full disk, small files can still be written."""
    before, *_ = server.whole(name)
    folder = copied(before, server.folder / f"{name}-limit-{limit}")
    assert server.ask(name, "run", folder, limit=limit)["code"] == REFUSED, told(folder)
    assert "StoreFailed" in told(folder)
    goes_on(server, name, folder)
