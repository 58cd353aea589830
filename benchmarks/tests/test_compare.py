"""Two recordings of a table: what changed beyond noise, and what cannot be compared."""

import copy
import json
import math

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from bayesr.cli import main
from bayesr.errors import BayesrError, DataNotFound, InvalidArgument
from bayesr_bench.compare import BEYOND, alike, changes, naming
from bayesr_bench.recorded import Table, read

ROWS = [
    {"set": "a", "recipe": "x", "CRPS": 4.0, "CRPS ±": 0.3, "covered": 0.9, "seconds": 2.0, "width": 30.25},
    {"set": "a", "recipe": "y", "CRPS": 5.0, "CRPS ±": 0.4, "covered": 0.8, "seconds": 3.0, "width": 20.25},
    {"set": "b", "recipe": "x", "CRPS": 6.0, "CRPS ±": 0.0, "covered": None, "seconds": 2.0, "width": 10.0},
]


def table(rows=ROWS, name="some", **facts):
    return Table(name, copy.deepcopy(list(rows)), facts)


def one(before, after, row, figure):
    (found,) = [c for c in changes(before, after) if c.row == row and c.figure == figure]
    return found


def test_a_table_and_itself_are_the_same():
    found = changes(table(), table())
    assert {change.verdict for change in found} == {"same"}
    assert len(found) == len(ROWS) * 4, "figures are what neither names a row nor is an error"


@given(st.floats(-9, 9).filter(lambda units: abs(abs(units) - BEYOND) > 0.01 and abs(units) > 1e-3))
def test_a_difference_counts_from_twice_its_error_on(units):
    """Of equal errors the difference has an error of sqrt(2) times theirs."""
    new = table()
    new.rows[0]["CRPS"] += units * 0.3 * math.sqrt(2)
    found = one(table(), new, ("a", "x"), "CRPS")
    assert found.units == pytest.approx(units)
    assert found.verdict == ("within noise" if abs(units) < BEYOND else "worse" if units > 0 else "better")


def test_changes_are_sorted_by_units_of_noise_and_unknown_noise_comes_last():
    new = table()
    new.rows[0]["CRPS"], new.rows[1]["CRPS"], new.rows[2]["CRPS"] = 5.0, 9.0, 6.1
    new.rows[0]["width"] = 60.0
    found = changes(table(), new)
    assert [(c.row[1], c.figure) for c in found[:3]] == [("x", "CRPS"), ("y", "CRPS"), ("x", "CRPS")]
    assert math.isinf(found[0].units), "no error is known to be none"
    width = one(table(), new, ("a", "x"), "width")
    assert width.verdict == "changed, noise unknown" and found.index(width) > 2


@pytest.mark.parametrize(
    ("figure", "before", "after", "verdict"),
    [
        ("seconds", 2.0, 2.4, "within noise"),
        ("seconds", 2.0, 2.8, "worse"),
        ("Mpixel/s", 2.0, 2.8, "better"),
        ("/ in memory", 1.0, 1.05, "within noise"),
        ("/ in memory", 1.0, 1.15, "better"),
        ("32 members / one SRResNet pass", 1.0, 0.85, "better"),
        ("covered", 0.9, 0.9001, "same"),
        ("covered", 0.9, 0.9012, "changed, noise unknown"),
        ("parameters", 10, 11, "changed, noise unknown"),
        ("p, Dice", "better", "worse", "changed, noise unknown"),
        ("covered", None, 0.9, "changed, noise unknown"),
    ],
)
def test_verdicts(figure, before, after, verdict):
    before, after = (table([{"recipe": "x", figure: value}]) for value in (before, after))
    assert changes(before, after)[0].verdict == verdict


@pytest.mark.parametrize(
    ("figure", "before", "after", "verdict"),
    [
        ("dice", 0.90, 0.92, "within noise"),
        ("dice", 0.90, 0.95, "better"),
        ("covered", 0.80, 0.88, "better"),
        ("covered", 0.90, 0.98, "worse"),
        ("AUC", 0.75, 0.65, "better"),
        ("spread/skill", 1.12, 1.21, "worse"),
    ],
)
def test_verdicts_of_figures_with_an_error(figure, before, after, verdict):
    tables = [
        table([{"recipe": "x", figure: value, f"{figure} ±": 0.01}], interval="the 90% interval")
        for value in (before, after)
    ]
    assert changes(*tables)[0].verdict == verdict


def test_rows_are_named_by_the_fewest_columns_that_tell_them_apart():
    assert naming(table(), table()) == ("set", "recipe")
    assert naming(table(ROWS[:2])) == ("set", "recipe")
    assert naming(table(ROWS[1:]), table()) == ("set", "recipe"), "of both tables the longer"
    figures = table([{"figure": "PSNR", "set5": 30.0}, {"figure": "fair CRPS", "set5": 4.0}])
    assert naming(figures) == ("figure",)
    better = table([{"figure": "PSNR", "set5": 31.0}, {"figure": "fair CRPS", "set5": 5.0}])
    assert [c.merit(2) > c.merit(1) for c in changes(figures, better)] == [False, True]


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (table(name="another"), "different tables"),
        (table(protocol="bilinear"), "protocols"),
        (table([{"recipe": "x", "CRPS": 1.0}]), "different columns"),
        (table([{"a": 1}, {"a": 1}]), "equal rows"),
    ],
)
def test_what_cannot_be_compared_is_refused(other, said):
    with pytest.raises(InvalidArgument, match=said):
        alike(table(), other)
        changes(table(), other)


@pytest.fixture
def files(tmp_path):
    def write(folder, rows=ROWS, **facts):
        path = tmp_path / folder / "some.json"
        path.parent.mkdir()
        path.write_text(json.dumps({"rows": rows, "facts": {"command": "bayesr bench some"} | facts}))
        return path

    return write


def compare(*args):
    return CliRunner().invoke(main, ["bench", "compare", *map(str, args)])


def test_the_command_lists_facts_first_and_fails_only_when_asked(files):
    worse = copy.deepcopy(ROWS)
    worse[0]["CRPS"] = 9.0
    worse[1] = worse[1] | {"recipe": "z", "set14 (5)": 1.0}
    one, two = files("old", seed="0", figures="long"), files("new", worse, seed="1", budget="small")
    same = compare(one, one, "--fail")
    assert same.exit_code == 0 and "| row |" not in same.output and "12 same" in same.output
    assert compare(one, one, "--all").output.count("| same |") == 12
    found = compare(one, two)
    assert found.exit_code == 0
    lines = found.output.splitlines()
    assert lines[0] == "seed differs: 0 | 1" and lines[1] == "budget differs: not recorded | small"
    for place, only in ((one, "a, y"), (two, "a, z")):
        assert f"row only in {place}: {only}" in lines
    assert f"figure only in {two}: set14 (5)" in lines
    (changed,) = [line for line in lines if line.endswith("| worse |")]
    assert "a, x | CRPS | 4 | 9 | 5 | 0.84853" in changed
    assert compare(one, two, "--fail").exit_code == 1
    assert compare(two, one, "--fail").exit_code == 0


@pytest.mark.parametrize(
    "text", ["", "[]", '{"rows": [], "facts": {}}', '{"rows": [{"a": 1}]}', '{"rows": 3, "facts": {}}']
)
def test_what_is_no_table_is_said(text, tmp_path):
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(BayesrError, match="not a recorded table"):
        read(path)
    with pytest.raises(DataNotFound, match="There is no file"):
        read(tmp_path / "none.json")
