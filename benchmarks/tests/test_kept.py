"""Figures that are kept while a table runs."""

import math

import pytest

from bayesr_bench.kept import Kept


def test_figures_are_measured_once_and_found_by_the_next_run(tmp_path):
    file, calls = tmp_path / "new" / "kept.jsonl", []

    def measure():
        calls.append(1)
        return {"a": 1.5, "b": math.nan}

    for _ in range(2):
        kept = Kept(file)
        for key in ("one", "two", "one"):
            found = kept.figures(key, measure)
            assert found["a"] == 1.5 and math.isnan(found["b"])
    assert len(calls) == 2


def test_a_line_that_was_cut_short_is_measured_again(tmp_path):
    file = tmp_path / "kept.jsonl"
    Kept(file).figures("one", lambda: {"a": 1.0})
    whole = file.read_text()
    file.write_text(whole + whole.replace("one", "two")[:20])
    kept = Kept(file)
    assert kept.figures("one", lambda: pytest.fail("it is known")) == {"a": 1.0}
    assert kept.figures("two", lambda: {"a": 2.0}) == {"a": 2.0}
    assert Kept(file).figures("two", lambda: pytest.fail("it is known")) == {"a": 2.0}


def test_a_measurement_that_fails_is_not_kept(tmp_path):
    kept = Kept(tmp_path / "kept.jsonl")
    with pytest.raises(ZeroDivisionError):
        kept.figures("one", lambda: {"a": 1 / 0})
    assert kept.figures("one", lambda: {"a": 1.0}) == {"a": 1.0}


def test_without_a_file_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert Kept(None).figures("one", lambda: {"a": 1.0}) == {"a": 1.0}
    assert not list(tmp_path.iterdir())
