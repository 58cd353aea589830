import json
import re
from pathlib import Path

import pytest

from bayesr.errors import DataNotFound, InvalidArgument, TrainingFailed
from bayesr_bench import recorded
from bayesr_bench.pages import charts
from bayesr_bench.pages.tables import write
from tests.browser import browser

BENCHMARKS = Path(__file__).parent.parent

ROWS = [
    {"set": "birds (2)", "recipe": "ours", "outputs": "32", "CRPS": 5.0, "CRPS ±": 0.3, "energy score": 7.0,
     "covered": 0.93, "seconds": 0.2, "CRPS minus ours's": None, "CRPS minus ours's ±": None, "p, Holm": None},
    {"set": "birds (2)", "recipe": "theirs", "outputs": "32", "CRPS": 4.5, "CRPS ±": 0.3, "energy score": 8.0,
     "covered": 0.89, "seconds": 40.0, "CRPS minus ours's": -0.5, "CRPS minus ours's ±": 0.1, "p, Holm": 0.001},
    {"set": "birds (2)", "recipe": "</script><b>odd", "outputs": "1", "CRPS": 4.9, "CRPS ±": None, "energy score": 9.5,
     "covered": None, "seconds": 3.0, "CRPS minus ours's": -0.1, "CRPS minus ours's ±": 0.1, "p, Holm": 1e-9},
    {"set": "fish (3)", "recipe": "ours", "outputs": "32", "CRPS": 1.0, "CRPS ±": 0.1, "energy score": 2.0,
     "covered": 0.95, "seconds": 0.1, "CRPS minus ours's": None, "CRPS minus ours's ±": None, "p, Holm": None},
    {"set": "fish (3)", "recipe": "theirs", "outputs": "32", "CRPS": 12.0, "CRPS ±": 0.2, "energy score": 3.0,
     "covered": 0.5, "seconds": 30.0, "CRPS minus ours's": 11.0, "CRPS minus ours's ±": 0.2, "p, Holm": 0.02},
]  # fmt: skip
FACTS = {
    "command": "bayesr bench baselines",
    "date": "2026-01-01",
    "machine": "a machine",
    "covered": "of the 90% interval",
    "aim: speed": "holds",
}
RECORDS = [
    {"step": step, "stage": "fidelity" if step < 300 else "score", "seconds": step / 2, "psnr": 20 + step / 100}
    | ({"fidelity": 1 / step} if step < 300 else {"crps": 2 / step, "patch8": 3 / step})
    for step in range(100, 600, 100)
]


@pytest.fixture
def folder(tmp_path):
    """A table, a history, and what is neither."""
    made = tmp_path / "benchmarks"
    made.mkdir()
    (made / "baselines.json").write_text(json.dumps({"rows": ROWS, "facts": FACTS}))
    (made / "tiny-training.jsonl").write_text("".join(json.dumps(record) + "\n" for record in RECORDS))
    (made / "registry.json").write_text('{"set5": "somewhere"}')
    (made / "notes.md").write_text("nothing")
    return made


@pytest.fixture
def table(folder):
    return recorded.read(folder / "baselines.json")


def test_the_best_is_that_of_its_group_in_the_direction_of_its_column(table):
    assert table.columns == [column for column in ROWS[0] if not column.endswith("±")]
    assert (table.label, table.group, table.nominal) == ("recipe", "set", 0.9)
    assert table.best("CRPS") == {1, 3}
    assert table.best("energy score") == {0, 3}
    assert table.best("covered") == {1, 3}  # 0.89 and 0.95 are nearest to 0.9
    assert table.best("seconds") == {0, 3}
    assert all(table.best(column) == set() for column in ("recipe", "outputs", "CRPS minus ours's", "p, Holm"))


def test_what_others_are_measured_by_is_never_the_best():
    rows = [{"recipe": "exact posterior", "CRPS": 1.0}, {"recipe": "a", "CRPS": 1.2}, {"recipe": "b", "CRPS": 1.1}]
    assert recorded.Table("posterior", rows, {}).best("CRPS") == {2}
    assert recorded.Table("posterior", rows[:2], {}).best("CRPS") == set()  # nobody to compare with


@pytest.mark.parametrize(
    ("difference", "error", "column", "verdict"),
    [
        (-0.5, 0.1, "CRPS minus a's", "better"),
        (0.5, 0.1, "CRPS minus a's", "worse"),
        (0.5, 0.1, "PSNR minus a's", "better"),
        (-0.19, 0.1, "CRPS minus a's", "even"),
        (-0.5, None, "CRPS minus a's", None),
        (-0.5, 0.1, "steps minus a's", None),
        (-0.5, 0.1, "covered minus a's", None),
        (None, 0.1, "CRPS minus a's", None),
        (-0.5, 0.1, "CRPS", None),
    ],
)
def test_a_difference_is_a_verdict_beyond_noise_only(difference, error, column, verdict):
    row = {"recipe": "b", column: difference, f"{column} ±": error}
    assert recorded.Table("t", [row], {"covered": "of the 90% interval"}).verdict(column, row) == verdict


def test_where_the_reference_is_beaten_is_said(table):
    [beaten] = table.beaten()
    assert beaten == {
        "by": "theirs", "group": "birds (2)", "figure": "CRPS", "reference": "ours", "difference": -0.5, "error": 0.1,
    }  # fmt: skip


def test_values_with_their_error_in_one_cell_are_taken_apart(tmp_path):
    path = tmp_path / "losses.json"
    path.write_text(
        json.dumps({"rows": [{"loss": "bce", "dice": "0.91 ± 0.02", "note": "1.00 (blurred 5)"}], "facts": {}})
    )
    assert recorded.read(path).rows == [{"loss": "bce", "dice": 0.91, "dice ±": 0.02, "note": "1.00 (blurred 5)"}]


def test_charts_hold_the_values_of_the_table(table):
    drawn = {spec["title"]: spec for spec in charts.of_table(table)}
    assert set(drawn) >= {"CRPS against energy score, birds (2)", "CRPS against seconds, fish (3)", "Coverage"}
    many, one = drawn["CRPS against seconds, birds (2)"]["series"]
    assert (many["x"], many["y"], many["labels"]) == ([0.2, 40.0], [5.0, 4.5], ["ours", "theirs"])
    assert (many["low"], many["high"]) == ([4.7, 4.2], [5.3, 4.8])
    assert one["labels"] == ["</script><b>odd"] and one["name"] == "outputs: 1"
    assert drawn["CRPS against seconds, birds (2)"]["x"]["log"]
    assert drawn["Coverage"]["x"]["marks"] == [{"at": 0.9, "label": "nominal"}]


def test_charts_of_a_history_mark_its_stages():
    losses, psnr = charts.of_history(RECORDS)
    assert {series["name"] for series in losses["series"]} == {"fidelity", "crps", "patch8"}
    [fidelity] = [series for series in losses["series"] if series["name"] == "fidelity"]
    assert fidelity["y"] == [0.01, 0.005, None, None, None]
    assert losses["x"]["marks"] == [{"at": 100, "label": "fidelity"}, {"at": 300, "label": "score"}]
    assert psnr["series"][0]["y"] == [21, 22, 23, 24, 25]


@pytest.mark.parametrize("path", sorted(BENCHMARKS.glob("*.json")), ids=lambda path: path.stem)
def test_every_recorded_table_can_be_drawn(path):
    for spec in charts.of_table(recorded.read(path)):
        for series in spec["series"]:
            lengths = {len(series[key]) for key in ("x", "y", "low", "high", "labels") if key in series}
            assert len(lengths) == 1 and lengths != {0}
            assert any(value is not None for value in series["y"])


def test_what_is_no_table_is_said(folder, tmp_path):
    out = tmp_path / "page.html"
    with pytest.raises(InvalidArgument, match=r"registry\.json is not a recorded table"):
        write([folder / "registry.json"], out)
    with pytest.raises(InvalidArgument, match=r"neither a recorded table \(.json\) nor"):
        write([folder / "notes.md"], out)
    (folder / "broken.json").write_text('{"rows": [')
    with pytest.raises(InvalidArgument, match="not a recorded table"):
        write([folder / "broken.json"], out)
    (folder / "none.json").write_text('{"rows": [], "facts": {}}')
    with pytest.raises(InvalidArgument, match="not a recorded table"):
        write([folder / "none.json"], out)
    with pytest.raises(DataNotFound, match=r"no .*elsewhere"):
        write([tmp_path / "elsewhere"], out)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataNotFound, match="no recorded table"):
        write([tmp_path / "empty"], out)
    with pytest.raises(DataNotFound, match="nothing"):
        write([], out)
    (folder / "new.jsonl").write_text("")
    with pytest.raises(TrainingFailed, match="no record yet"):
        write([folder / "new.jsonl"], out)
    assert not out.exists()


@pytest.fixture(scope="module")
def chromium():
    with browser() as found:
        yield found


@pytest.fixture
def opened(chromium, folder, tmp_path):
    """The page of the folder, in a browser."""
    out = write([folder], tmp_path / "page.html")
    chromium.requested()
    chromium.open(out)
    return chromium


def column(page, name):
    """The cells of a column from top to bottom, as they are read."""
    return page.run(
        "const at = [...document.querySelectorAll('thead th')].findIndex(th => th.textContent === arguments[0]);"
        "return [...document.querySelectorAll('tbody tr')].map(row => row.children[at].textContent)",
        name,
    )


def click(page, name):
    page.run("[...document.querySelectorAll('thead button')].find(b => b.textContent === arguments[0]).click()", name)


def test_the_page_asks_for_nothing_and_says_what_it_left_out(opened, folder):
    assert opened.errors() == []
    asked = [address for address in opened.requested() if not address.startswith(("data:", "chrome"))]
    assert [address.rsplit("/", 1)[-1] for address in asked] == ["page.html"]
    assert "registry.json" in opened.run("return document.getElementById('about').textContent")
    assert opened.run("return document.querySelectorAll('b').length") == 0  # text of a table stays text
    said = opened.run("return document.querySelector('.beaten').textContent")
    assert "ours is beaten" in said and "birds (2): theirs, in CRPS by 0.500 ± 0.10" in said
    facts = opened.run("return document.querySelector('section').textContent")
    assert all(value in facts for value in FACTS.values())
    aims = opened.run("return [...document.querySelectorAll('.aims :is(dt, dd)')].map(e => e.textContent)")
    assert aims == ["speed", "holds"]


def test_columns_sort_by_number_both_ways_and_back(opened):
    assert column(opened, "set") == [row["set"] for row in ROWS]
    assert column(opened, "recipe")[2] == "</script><b>odd"
    click(opened, "CRPS")
    assert [re.match(r"[\d.]+", cell)[0] for cell in column(opened, "CRPS")] == ["1.0", "4.5", "4.9", "5.0", "12.0"]
    click(opened, "CRPS")
    assert column(opened, "CRPS")[0].startswith("12.0 ± 0.2")
    click(opened, "CRPS")
    assert column(opened, "set") == [row["set"] for row in ROWS]
    for _ in range(2):  # what is not known comes last, whichever way
        click(opened, "covered")
        assert column(opened, "covered")[-1] == "–"
    assert opened.run("return document.querySelectorAll('th[aria-sort=descending]').length") == 1


def test_rows_are_filtered_by_all_words(opened):
    opened.driver.find_element("css selector", "input[type=search]").send_keys("THEIRS fish")
    assert column(opened, "recipe") == ["theirs"]
    assert opened.run("return document.querySelector('[role=status]').textContent") == "1 of 5 rows"


def test_best_and_better_are_marked(opened):
    marked = opened.run(
        "return [...document.querySelectorAll('tbody .best')].map(e => [e.closest('tr').rowIndex - 1, e.textContent])"
    )
    assert [1, "4.5"] in marked and [3, "1.0"] in marked and [0, "5.0"] not in marked
    assert opened.run("return [...document.querySelectorAll('tbody .better')].map(e => e.textContent)") == ["−0.5"]


def test_charts_are_drawn_where_their_values_are(opened):
    titles = opened.run("return [...document.querySelectorAll('.chart-title')].map(e => e.textContent)")
    assert {"Losses", "Coverage", "CRPS against energy score, birds (2)"} <= set(titles)
    drawn = opened.run(
        "const chart = [...document.querySelectorAll('figure')].find(f => f.textContent.startsWith(arguments[0]));"
        "return [...chart.querySelectorAll('circle')].map(c => [+c.getAttribute('cx'), +c.getAttribute('cy')])",
        "CRPS against energy score, birds (2)",
    )
    points = [point for point in drawn if point[0] > 20][:3]  # the legend has small ones; the last is the ring
    (ours, theirs, odd) = points
    assert ours[0] < theirs[0] < odd[0]  # 7, 8, 9.5
    assert theirs[1] > odd[1] > ours[1]  # 4.5, 4.9, 5.0: upwards is less on a screen
    assert (theirs[0] - ours[0]) / (odd[0] - ours[0]) == pytest.approx(1 / 2.5, abs=1e-6)
    names = opened.run("return [...document.querySelectorAll('figure text.name')].map(e => e.textContent)")
    assert "theirs" in names


def test_a_chart_is_read_by_keyboard_and_as_a_table(opened):
    opened.run("document.querySelector('figure svg[role=img]').focus()")
    opened.driver.switch_to.active_element.send_keys("\ue014")  # the right arrow
    assert opened.run("return document.querySelector('.chart-readout:not([hidden])').textContent").startswith("ours")
    opened.run("document.querySelector('figure details').open = true")
    opened.wait("return document.querySelectorAll('figure details tr').length > 1")
    rows = opened.run(
        "return [...document.querySelectorAll('figure details')[0].querySelectorAll('tr')].map(r => r.innerText)"
    )
    assert len(rows) == 4


@pytest.mark.parametrize("width", [320, 1400])
def test_the_page_never_scrolls_sideways(opened, width):
    opened.size(width, phone=width < 500)
    opened.wait("return innerWidth === arguments[0]", width)
    assert opened.run("return document.documentElement.scrollWidth <= innerWidth")
    charts = "[...document.querySelectorAll('figure svg[role=img]')]"
    opened.wait(f"return {charts}.every(chart => chart.getBoundingClientRect().right <= innerWidth)")


def test_dark_and_light_are_two_pages(opened):
    paper = "return getComputedStyle(document.body).backgroundColor"
    opened.media(prefers_color_scheme="dark")
    dark = opened.run(paper)
    opened.media(prefers_color_scheme="light")
    light = opened.run(paper)
    assert dark != light
    opened.run("document.getElementById('theme').click()")
    assert opened.run(paper) == dark
