"""All tables from one call: the arguments of each, and the failure of one."""

import json

import pytest
from click.testing import CliRunner

from bayesr.cli import main
from bayesr.errors import InvalidArgument
from bayesr_bench import everything
from bayesr_bench.commands.bench import command_of, tables
from bayesr_bench.everything import TABLES, arguments, divided


def test_models_are_divided_by_bands_and_folders_are_separate(tmp_path, grey_model):
    grey_model.save(tmp_path / "grey.safetensors")
    grey = str(tmp_path / "grey.safetensors")
    models, folder = divided([grey, "natural-x4", str(tmp_path / "kept")])
    assert models == {1: [grey], 3: ["natural-x4"]} and folder == tmp_path / "kept"
    assert divided([]) == ({}, None)
    with pytest.raises(InvalidArgument, match="2 folders"):
        divided(["one", "two"])


@pytest.mark.parametrize("name", TABLES)
def test_every_table_accepts_its_arguments(name, tmp_path):
    """The table's own command parses them, with a folder and models of both kinds."""
    assert name in tables()
    call = arguments(
        name, tmp_path, {1: ["fluorescence-x4"], 3: ["natural-x4"]}, tmp_path / "kept", "small", 7, tmp_path
    )
    assert call[:2] == ["bench", name]
    found = command_of(name).make_context(name, call[2:]).params
    assert found["budget"] == "small" or found["budget"].name == "small"
    assert found["out"] == tmp_path and found.get("seed", 7) == 7 and found.get("data", tmp_path) == tmp_path
    grey, colour = ("fluorescence-x4",), ("natural-x4",)
    measured = {"quality": colour, "segmentation": grey, "scale": grey, "speed": colour}
    assert measured.get(name, tmp_path / "kept") in (found.get("models"), found.get("keep"))


def test_a_table_that_fails_does_not_stop_others_and_is_named(tmp_path, monkeypatch):
    """Each runs in its own process: one ends with an error, the other is a tiny table."""
    tiny = ["bench", "posterior", "--problem", "gaussian", "--rows", "6", "--steps", "1", "--scenes", "2", "-n", "2"]
    calls = {"quality": ["data", "verify", "none"], "posterior": [*tiny, "--out", str(tmp_path / "out")]}
    monkeypatch.setattr(everything, "arguments", lambda name, *rest: calls[name])
    (tmp_path / "data").mkdir()
    call = ["bench", "all", "--data", tmp_path / "data", "--budget", "small", "--out", tmp_path / "out"]
    done = CliRunner().invoke(main, list(map(str, [*call, "--only", "posterior", "--only", "quality"])))
    assert done.exit_code == 1 and "No complete table of quality" in done.output
    assert "quality: 1 of 2 begins" in done.output and "posterior: done after" in done.output
    failed, fine, total = json.loads((tmp_path / "out" / "all.json").read_text())["rows"]
    assert failed["table"] == "quality" and failed["ended"] == "failed, exit status 1" and failed["rows"] == 0
    assert fine["ended"] == "done" and fine["rows"] == 2 and fine["files"] == "posterior-gaussian"
    assert total["table"] == "all" and total["ended"] == "failed: quality" and total["rows"] == 2
    assert total["seconds"] == pytest.approx(failed["seconds"] + fine["seconds"])
    assert {p.suffix for p in (tmp_path / "out").iterdir()} == {".json", ".csv", ".md"}
