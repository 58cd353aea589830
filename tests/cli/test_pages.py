"""Which kind of page is written; the pages themselves are tested in ``tests/report``."""

import json

import pytest

from bayesr.cli import plugins
from tests.cli.helpers import run


@pytest.fixture
def tables(monkeypatch):
    """Record the pages of tables that are written, without the distribution that makes them."""
    calls = []

    def write(paths, out):
        calls.append((paths, out))
        out.write_text("<!doctype html>")
        return out

    monkeypatch.setattr(plugins, "page", lambda name: write if name == "tables" else None)
    return calls


def test_recorded_tables_and_histories_are_one_page(tables, tmp_path):
    (tmp_path / "a.json").write_text(json.dumps({"rows": []}))
    (tmp_path / "b.jsonl").touch()
    (tmp_path / "folder").mkdir()
    names = [tmp_path / name for name in ("a.json", "b.jsonl", "folder")]
    assert run("report", *names).exit_code == 0
    assert run("report", names[0], "--out", tmp_path / "c.html").exit_code == 0
    assert tables == [(names, tmp_path / "a.html"), (names[:1], tmp_path / "c.html")]


def test_options_of_products_are_refused_for_tables(tables, tmp_path):
    (tmp_path / "a.json").write_text("{}")
    found = run("report", tmp_path / "a.json", "--redraw", 2, "--reference", "b.png")
    assert found.exit_code == 1 and "--reference, --redraw: for products only" in found.output and not tables


def test_other_files_and_several_products_are_refused(tmp_path):
    (tmp_path / "a.png").touch()
    assert "no store of a product" in run("report", tmp_path / "a.png").output
    found = run("report", tmp_path / "a.zarr", tmp_path / "b.zarr")
    assert found.exit_code == 1 and "one product, not 2" in found.output
    assert run("report", tmp_path / "absent.zarr").output.startswith("Error: ")
