"""Lists of training images with source and licence."""

import csv
import io

import pytest

import bayesr
from bayesr.errors import InvalidModel
from bayesr.model import attributions
from bayesr.model.attributions import lists, names, read, table
from bayesr.model.header import read_header


def test_lists_that_bundled_cards_name_are_bundled():
    for info in bayesr.models():
        card = read_header(info.path)["card"]
        for name in lists(card):
            assert name in names(), (info.name, name)
        if card.get("attributions"):
            assert len(read(card["attributions"])) >= card["images"], f"{info.name}: a row for each training image"


@pytest.mark.parametrize("name", names())
def test_bundled_lists_are_whole_and_small(name):
    rows = read(name)
    assert rows and len({row.file for row in rows}) == len(rows)
    for row in rows:
        top, left, height, width = row.crop
        assert min(top, left) >= 0 and min(height, width) > 0 and row.reduced_by >= 1, row
        assert row.source and row.path and row.licence, row
    files = [path for path in attributions.FOLDER.iterdir() if path.name.startswith(name.removesuffix(".csv"))]
    assert len(files) == 2 and sum(path.stat().st_size for path in files) < 200_000
    with open(attributions.FOLDER / name.replace(".csv", "-licences.csv"), encoding="utf-8", newline="") as file:
        assert {row.licence for row in rows} == {row["note"] for row in csv.DictReader(file)}, "each note has images"


def test_the_table_of_a_card_has_the_licences_of_all_that_it_started_from(tmp_path, monkeypatch):
    monkeypatch.setattr(attributions, "FOLDER", tmp_path)
    for name, note in (("a", "CC0, by its README"), ("b", "CC BY 4.0")):
        (tmp_path / f"{name}-licences.csv").write_text(f'licence,note\n7,"{note}"\n')
        (tmp_path / f"{name}.csv").write_text(
            f"file,source,path,reduced_by,crop,licence\n{name}.jpg,who/what,x/{name}.png,2.5,0 3 48 64,7\n"
        )
    card = {"start": {"attributions": "a.csv", "start": {"attributions": "b.csv", "start": {"attributions": "a.csv"}}}}
    assert names() == ("a.csv", "b.csv") and lists(card) == ["a.csv", "b.csv"]
    rows = list(csv.DictReader(io.StringIO(table(card))))
    assert [row["file"] for row in rows] == ["a.jpg", "b.jpg"]
    assert rows[0] == {
        "file": "a.jpg", "source": "who/what", "path": "x/a.png", "reduced_by": "2.5", "crop": "0 3 48 64",
        "licence": "CC0, by its README",
    }  # fmt: skip
    assert lists({"start": "random weights"}) == lists({}) == [] and table({}) == ""


@pytest.mark.parametrize(
    "row", ["a.jpg,s,p,2,0 3 48,7", "a.jpg,s,p,two,0 3 48 64,7", "a.jpg,s,p,2,0 3 48 64,8", "a.jpg,s"]
)
def test_damaged_and_unknown_lists(row, tmp_path, monkeypatch):
    monkeypatch.setattr(attributions, "FOLDER", tmp_path)
    (tmp_path / "a-licences.csv").write_text("licence,note\n7,CC0\n")
    (tmp_path / "a.csv").write_text(f"file,source,path,reduced_by,crop,licence\n{row}\n")
    with pytest.raises(InvalidModel, match=r"a\.csv is damaged"):
        read("a.csv")
    for name in ("b.csv", "a-licences.csv", "../attributions/a.csv", str(tmp_path / "a.csv")):
        with pytest.raises(InvalidModel, match="No list of attributions"):
            read(name)
