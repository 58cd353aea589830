"""The check of README and docs (``docs/check_figures.py``): which numbers it takes for results, and which pass."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bayesr.model.catalogue import models
from bayesr.model.header import read_header

check_figures = pytest.importorskip("docs.check_figures", reason="the source distribution has no documentation")
Table, bundled, groups, numbers, problems, replaced = (
    getattr(check_figures, name) for name in ("Table", "bundled", "groups", "numbers", "problems", "replaced")
)

ROOT = Path(__file__).parents[2]
BENCHMARKS = ROOT / "benchmarks"
ROWS = [
    {"set": "near (14)", "model": "tall", "ratio": 0.945, "share": 0.2116, "size": 7, "PSNR": "31.49 ± 0.02"},
    {"set": "near (14)", "model": "flat", "ratio": 1.5, "share": 0.375, "size": 8, "PSNR": "28.1 ± 0.4"},
    {"set": "far (3)", "model": "tall", "ratio": -0.25, "share": None, "size": 9, "PSNR": "26.0"},
]
FACTS = {
    "command": "bayesr --seed 77.5",
    "memory": "301 MiB at the peak, 54.4% of it free",
    "steps": {"of": [400, 2e-3]},
}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "table.json").write_text(json.dumps({"rows": ROWS, "facts": FACTS}))
    (tmp_path / "run.jsonl").write_text('{"step": 200, "loss": 0.5}\n{"step": 23100, "seconds": 12007.1}\n')
    return tmp_path


def complaints(text: str, folder: Path, names: str = "table") -> list[str]:
    return [what for _, what in problems(f"<!-- figures: {names} -->\n{text}\n", folder)]


@pytest.mark.parametrize(
    "text",
    [
        "It is 0.945 of it.", "It is 0.94.", "It is 0.95.", "0.9450 of it", "21.2% of it", "21.16 per cent", "37.5 %",
        "31.49 ± 0.02 dB", "26 to 28.1 dB", "**1.50** times", "falls to -0.25, or −0.25", "301 MiB", "54.4% or 0.544",
        "0.002 a step", "2e-3", "(0.21–0.38)", "0.9 and 1.5", "7 seconds", "7 of 9",
    ],
)  # fmt: skip
def test_cells_rounded_to_the_digits_shown(folder, text):
    assert complaints(text, folder) == []


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("It is 0.946 of it.", "0.946"), ("It is 0.93.", "0.93"), ("21.3% of it", "21.3%"), ("0.3%", "0.3%"),
        ("31.49 ± 0.03 dB", "0.03 dB"), ("27 to 28.1 dB", "27"), ("0.25 less", "0.25"), ("302 MiB", "302 MiB"),
        ("a seed of 77.5", "77.5"), ("3e-3", "3e-3"), ("6 minutes", "6 minutes"), ("2.5x as fast", "2.5x"),
        ("0.945 ± 5", "5"), ("6 of 9", "6"), ("54.5", "54.5"), ("12,008 steps", "12,008"), ("a 94.4%-limit", "94.4%"),
    ],
)  # fmt: skip
def test_a_changed_digit_is_found(folder, text, wrong):
    found = complaints(f"{text} (0.945)", folder)
    assert len(found) == 1 and found[0].startswith(f"{wrong} is no cell of table; the nearest is")


def test_the_complaint_names_line_and_nearest_cell(folder):
    text = "# Page\n\nWords.\n\n<!-- figures: table -->\nSome 1.5,\nand 0.946.\n"
    assert list(problems(text, folder)) == [(7, "0.946 is no cell of table; the nearest is 0.945 (ratio)")]


@pytest.mark.parametrize(
    "text",
    [
        "`0.123` and ``1.5 ` 2%``", "[how](https://a.b/0.5)", "https://a.b/0.5", "n = 32, seed=0", "x4 of Set14, F1",
        "8x8 patches, 8 x 8 x 3, 1,000 x 1,000 pixels", "the 90% interval", "99.5% intervals", "from 2026-11-21",
        "Apache-2.0, CRC-32, natural-x4", "arXiv:1609.04802, doi:10.1198/016214506", "14 images of 2018, 32 members",
        "1. first\n2. second", "A number <!-- 0.5 --> in a comment", "Python 3.11 or 3.12.1", "twice, a tenth",
    ],
)  # fmt: skip
def test_settings_and_names_are_no_figures(folder, text):
    assert list(problems(text, folder)) == []


def test_code_blocks_are_no_figures(folder):
    assert list(problems("```python\nrate = 0.5\n\nprint(0.25)\n```\n\n  ```\n  7 dB\n  ```\n", folder)) == []


def test_figures_need_a_comment_directly_above(folder):
    for above in ("", "<!-- figures: table -->\n\n", "<!-- figures: table -->\nWords.\n\n", "<!-- figures: -->\n"):
        assert "0.945 is of no named table" in [what for _, what in problems(f"{above}0.945\n", folder)], above


def test_comments_that_are_wrong(folder):
    assert complaints("0.945", folder, "table, absent") == ["no table absent is recorded"]
    assert complaints("0.945", folder, "table, run") == ["no number of run is here"]
    assert complaints("Words.", folder) == ["no number of table is here"]
    assert complaints("23,100 steps in 12,007 seconds", folder, "run") == []


def test_settings_are_listed_with_a_reason(folder):
    def said(settings: str) -> list[str]:
        return complaints(f"<!-- settings: {settings} -->\n0.945 to 1e-4 at 85%", folder)

    assert said("1e-4, 85% - promised") == said("1e-4, 85% – promised") == []
    assert said("1e-4, 85%") == ["settings need a reason, after a dash"]
    assert said("1e-4, 85%, 3 - promised") == ["settings name 3, no measured number"]
    assert [what.split()[0] for what in said("1e-4 - promised")] == ["85%"]
    assert said("1e-4, 85 - promised")[-1] == "settings name 85, no measured number"


def table(*rows: str) -> str:
    return "\n".join(("| 0.945 | what | is shown |", "|---|---|:---:|", *rows))


def test_a_row_shows_one_recorded_row(folder):
    assert complaints(table("| large | 0.945 | 7 |", "| broad | 1.5 | 8 |"), folder) == []
    assert complaints(table("| large | 0.945 | 8 |"), folder) == ["0.945, 8 are not of one row of table"]
    assert complaints(table("| broad | 1.5 | 6 |"), folder)[0].startswith("6 is no cell of table")


def test_a_row_may_show_all_rows_of_its_name(folder):
    assert complaints(table("| near (all) | 0.945 | 1.5 |", "| tall | -0.25 | 0.945 |"), folder) == []
    assert complaints(table("| far | 0.945 | 1.5 |"), folder) == ["0.945, 1.5 are not of one row of table"]
    assert complaints(table("| far | -0.25 | 9 |", "| | tall, far | 9 |"), folder) == []
    assert complaints(table("| near | tall | 0.945 | 8 |"), folder) == ["0.945, 8 are not of one row of table"]


def test_a_row_of_a_recorded_name_is_that_row(folder):
    assert complaints(table("| `flat` | 1.5 | 8 |"), folder) == []
    assert complaints(table("| flat | 0.945 | 7 |"), folder) == ["0.945, 7 are not of one row of table"]
    assert complaints(table("| 7 | 0.945 | 21% |"), folder) == []
    assert complaints(table("| 7 | 1.5 | 37.5% |"), folder) == ["1.5, 37.5% are not of one row of table"]


def test_a_column_shows_one_recorded_column(folder):
    rows = ["| large | 0.945 (31.49 ± 0.02) | 7 |", "| broad | 1.5 (28.1 ± 0.4) | – |", "| far, tall | -0.25 | 9 |"]
    assert complaints(table(*rows), folder) == []
    swapped = [*rows, "| flat | 37.5% | 8 |"]
    assert complaints(table(*swapped), folder) == ["37.5% is not of the column of table that those above it are of"]
    assert len(complaints(table(*rows, "| flat | 8 | 1.5 |"), folder)) == 2
    assert len(complaints(table(*rows, "| flat | 1.5 (28.1 ± 28.1) | 8 |"), folder)) == 0  # of one text: not told apart


def test_every_number_in_the_body_is_measured():
    block = "| 2018 | of 3 |\n|---|---|\n| 14 images, 5 dB | 3 in n = 32 of 8x8 | – |\n"
    assert [[n.text for n in found] for found, _ in groups(block)] == [[], [], ["5 dB"], ["3"]]


values = st.floats(-1e6, 1e6).map(lambda value: Decimal(repr(value)))


@given(values, st.integers(0, 6), st.booleans())
def test_any_cell_may_be_rounded(value, digits, percent):
    (number,) = numbers(f"{value * 100 if percent else value:,.{digits}f}{'%' * percent}", body=True)
    assert number.percent == percent and number.among([(value, "")])


@given(values, st.integers(0, 6), st.integers(-20, 20), st.booleans())
def test_no_other_number_passes(value, digits, steps, percent):
    unit = Decimal(1).scaleb(-digits)
    shown = (value * 100 if percent else value).quantize(unit) + steps * unit
    (number,) = numbers(f"{shown:f}{'%' * percent}", body=True)
    off = abs(shown - (value * 100 if percent else value)) - unit / 2
    if off:
        assert number.among([(value, "")]) == (off < 0)


def older(folder: Path, text: str, mark: str = "", name: str = "old") -> list[str]:
    above = f"<!-- older: {mark} -->\n" if mark else ""
    return [
        what for _, what in problems(f"Before it.\n\n<!-- figures: {name} -->\n{above}{text}\n\nAfter it.\n", folder)
    ]


@pytest.fixture
def renamed(folder):
    """A table of a model whose weights have another name now, and that of the model that has its name."""
    model, other = sorted(bundled())[:2]
    rows = [{"model": model, "PSNR": 30.25}, {"model": "bicubic", "PSNR": 28.5}]
    facts = {"command": "bayesr bench old --fast", "models": f"{model}, {bundled()[other][:12]}"}
    (folder / "old.json").write_text(json.dumps({"rows": rows, "facts": facts}))
    return model, other


def test_figures_of_weights_that_have_another_name_are_refused(folder, renamed):
    model, other = renamed
    for text in (f"{model} has 30.25 dB", "The bundled model has 30.25 dB", f"{model} beats 28.5 dB"):
        (found,) = older(folder, text)
        for part in ("old measured", model, f"are now {other}", "`bayesr bench old --fast`", "<!-- older: old"):
            assert part in found
    assert older(folder, "bicubic has 28.5 dB") == [], "of another row"


def test_a_mark_needs_a_note_that_readers_see(folder, renamed):
    text = "It has 30.25 dB, as measured\nearlier."
    assert older(folder, text, "old - as measured earlier") == []
    assert older(folder, "It has 30.25 dB.", "old - Before it.") == older(folder, "30.25 dB", "old – After it.") == []
    assert older(folder, text, "old - with others") == [
        "no reader sees the note 'with others': write it in this block or one next to it"
    ]
    assert older(folder, text, "old") == ["a mark needs a note, after a dash"]
    assert older(folder, "bicubic: 28.5 dB", "old - Before it.") == [
        "old is not older than its models: remove the mark"
    ]
    assert "table has no figure here" in older(folder, text, "old, table - as measured earlier")
    assert "old has no figure here" in older(folder, "0.945 of it", "old - Before it.", "table")


@pytest.mark.parametrize("label", ["{}", "{},", "{} 012def,", "{} fe2d3e,"])
def test_weights_are_recorded_by_name_and_checksum(label):
    (name, checksum), known = next(iter(bundled().items())), label
    fact = known.format(name)
    assert (
        replaced({"models": f"{fact} {checksum[:12]}, mine.tuned, 0123456789ab", "data": "checksum 0123456789ab"}) == []
    )
    (found,) = replaced({"model": f"the best, {fact} 0123456789ab"})
    assert found == (name, "0123456789ab", None) and "not bundled any more" in str(found)
    assert replaced({"command": f"bench --model {name} 0123456789ab"}) == []


RECORDED = {path.stem: json.loads(path.read_text()) for path in sorted(BENCHMARKS.glob("*.json"))}


@pytest.mark.parametrize("table", RECORDED)
def test_tables_record_the_weights_of_every_model_that_they_name(table):
    text = json.dumps(RECORDED[table])
    for name in (info.name for info in models()):
        if re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text):
            assert re.search(rf"(?<![\w-]){re.escape(name)}(?: [0-9a-f]{{6}})?,? [0-9a-f]{{12}}", text), name


def test_the_docs_list_every_table_that_is_older_than_its_models():
    """A table that was recorded again leaves the list, and one whose model was replaced enters it."""
    page = (Path(check_figures.__file__).parent / "benchmarks.md").read_text()
    section = page.partition("\n### Tables that are older than their models\n")[2].partition("\n## ")[0]
    listed = [line for line in section.splitlines() if line.startswith("| `")]
    found = [
        f"| `{table}` | `{old.name}`, `{old.start}` | {f'`{old.now}`' if old.now else 'not bundled'} |"
        for table, content in RECORDED.items()
        for old in replaced(content["facts"])
    ]
    assert listed == found


def measured(table: str, sha256: str) -> set[str]:
    """Return the names that a table gives to a model, which it knows by the first digits of its checksum."""
    facts = json.loads((BENCHMARKS / f"{table}.json").read_text())["facts"]
    models = re.findall(r"([\w-]+),? ([0-9a-f]{12})", facts.get("models", facts.get("model")))
    return {name for name, checksum in models if sha256.startswith(checksum)}


def test_scores_in_model_cards_are_those_of_the_tables():
    """``docs/models.md``, which `bayesr card` writes, is not checked by itself."""
    tables = ("quality", "domains", "domains-x2")
    quality, *domains = (Table(BENCHMARKS / f"{name}.json").rows for name in tables)
    for info in models():
        header = read_header(info.path)
        names = {name: measured(name, header["sha256"]) for name in tables}
        for name, figures in header["card"]["scores"].items():
            label = f"{name} ({figures['images']}{'' if info.scale == 4 else f', x{info.scale}'})"
            own = [row for row in quality if row.get("model", info.name) in names["quality"]]
            recorded = {row["figure"]: row[label] for row in own if label in row}
            for name_of_table, rows in zip(tables[1:], domains, strict=True):
                for row in rows:
                    recorded |= row if row["set"] == label and row["model"] in names[name_of_table] else {}
            for figure in figures.keys() - {"images", "n", "seed", "estimators"}:
                assert float(recorded.get(figure, "nan")) == figures[figure], (info.name, name, figure)


PAGES = [ROOT / "README.md", *(page for page in sorted((ROOT / "docs").glob("*.md")) if page.name != "models.md")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_figures_stand_in_a_section_that_names_their_command(page):
    text, missing = page.read_text(), []
    for section in re.split(r"(?m)^(?=#+ )", text):
        shown = re.sub(r"(?s)<!--.*?-->", "", section)
        named = re.findall(r"bayesr bench ([\w-]+)", shown)
        for names in re.findall(r"(?s)<!-- figures:(.*?)-->", section):
            for name in (one.strip() for one in names.split(",")):
                # Tests of a table are recorded beside it; a training history is not made by a benchmark.
                table = BENCHMARKS / f"{name.removesuffix('-tests')}.json"
                if table.exists() and (command := Table(table).command.split()[2]) not in named:
                    missing.append(f"{section.splitlines()[0]}: {name}, made by `bayesr bench {command}`")
    assert not missing, "\n".join(missing)
