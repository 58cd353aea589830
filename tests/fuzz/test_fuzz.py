"""Scenario: inputs with random damage are refused with an error that says what to do, or give a result."""

from __future__ import annotations

import os
from collections import Counter
from random import Random

import pytest

from bayesr.errors import NotAnImage
from tests.fuzz import judging, kinds, mutations, runner
from tests.fuzz.place import Case, Place


def test_a_short_run_finds_nothing():
    found = runner.run(60, seed=0, most=40)
    assert found.kinds.total() == 40 and found.ends["refused"] > 10 and found.ends["ok"] > 5
    _check(found)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 9))
def test_a_long_run_finds_nothing(seed):
    """1,250 cases of each of eight seeds: ``pytest -n 2 -m slow tests/fuzz``, five minutes on two cores."""
    found = runner.run(1800, seed, most=1250)
    assert found.kinds.total() == 1250
    _check(found)


def _check(found):
    if lines := list(found.lines()):
        pytest.fail("\n".join(lines))  # an assertion would shorten them


CASES = {
    "ok": lambda place: None,
    "refused": lambda place: fail(NotAnImage("This is no image: give another.")),
    "short": lambda place: fail(NotAnImage("no")),
    "raised": lambda place: fail(ZeroDivisionError()),
    "printed": lambda place: os.write(2, b"from C"),
    "changed": lambda place: os.chdir("/"),
    "left": lambda place: fail(NotAnImage(f"This is no image: {(place.root / 'x').write_text('')}.")),
}


def fail(error):
    raise error


@pytest.mark.parametrize("end", CASES)
def test_a_case_is_judged_by_what_it_raises_prints_changes_and_leaves(tmp_path, monkeypatch, end):
    place = Place(tmp_path)
    for folder in (place.work, place.temporary):
        folder.mkdir()
    monkeypatch.chdir(tmp_path)
    made = {"image": (lambda r, place: Case("one", lambda: CASES[end](place)), 1)}
    verdict = judging.judged(made, 0, 0, place)
    assert (verdict.kind, verdict.what, verdict.end) == ("image", "one", end)
    assert verdict.passed == (end in ("ok", "refused"))
    assert {path.name for path in tmp_path.iterdir()} == {"work", "temporary"}


def test_failures_at_one_place_are_one():
    found = runner.Findings(3)
    for index in (5, 6):
        found.add(index, judging.Verdict("image", "a", "raised", f"KeyError at a.py:3: number {index}"))
    found.add(7, judging.Verdict("image", "b", "ok"))
    assert list(found.lines()) == ["[raised image, 2 times, --seed 3 --only 5] a -> KeyError at a.py:3: number 5"]
    assert found.ends == Counter(raised=2, ok=1)


def test_a_case_depends_on_its_seed_and_number_alone():
    data = bytes(range(256)) * 4
    damaged = {mutations.of_bytes(data, Random(f"{seed}:{i}")) for seed in (1, 2) for i in range(50)}
    assert len(damaged) > 90
    assert mutations.of_bytes(data, Random("1:7")) == mutations.of_bytes(data, Random("1:7"))
    assert mutations.of_json({"a": [1, {"b": 2}]}, Random(4)) == mutations.of_json({"a": [1, {"b": 2}]}, Random(4))
    assert mutations.of_text("a 1\nb 2\n", Random(3)) != "a 1\nb 2\n"
    assert list(kinds.chosen("image,store")) == ["image", "store"]
