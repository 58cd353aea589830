"""Scenario: the charts of all pages (``assets/charts.js``), drawn in a real browser."""

import json
from importlib.resources import files
from itertools import pairwise

import pytest

from tests.browser import browser

SCRIPTS = [(files("bayesr.report") / "assets" / name).read_text("utf-8") for name in ("scales.js", "charts.js")]


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    page = tmp_path_factory.mktemp("charts") / "page.html"
    scripts = "".join(f"<script>{script}</script>" for script in SCRIPTS)
    page.write_text(f"<!doctype html><meta charset=utf-8><title>charts</title><div id=place></div>{scripts}")
    with browser() as found:
        found.open(page)
        found.size(600)
        yield found


@pytest.fixture
def draw(chromium):
    """A function that draws a chart and reads it: the texts, and the shapes of a kind by their attributes."""

    def drawn(spec, *shapes):
        chromium.run("bayesrChart(document.getElementById('place'), JSON.parse(arguments[0]))", json.dumps(spec))
        assert chromium.errors() == []
        texts = chromium.run("return [...document.querySelectorAll('svg[role=img] text')].map(e => e.textContent)")
        found = [
            chromium.run(
                "return [...document.querySelectorAll('svg[role=img] g ' + arguments[0])].map(e => "
                "Object.fromEntries([...e.attributes].map(a => [a.name, isNaN(a.value) ? a.value : +a.value])))",
                shape,
            )
            for shape in shapes
        ]
        return [texts, *found]

    return drawn


def points(x, y, **more):
    return {"name": "", "kind": "points", "x": x, "y": y} | more


def test_places_are_proportional_to_values(draw):
    _, circles = draw({"series": [points([0, 1, 4], [10, 20, 15])]}, "circle")
    (ax, ay), (bx, by), (cx, cy) = [(c["cx"], c["cy"]) for c in circles]
    assert (bx - ax) * 4 == pytest.approx(cx - ax) and (ay - by) == pytest.approx(2 * (ay - cy))
    assert by < cy < ay  # upwards is more


def test_a_logarithmic_axis_keeps_ratios_and_leaves_out_what_it_cannot_hold(draw):
    spec = {"x": {"log": True}, "series": [points([1, 10, 1000, 0, -3], [1, 2, 3, 4, 5])]}
    texts, circles = draw(spec, "circle")
    a, b, c = [circle["cx"] for circle in circles]
    assert (b - a) * 2 == pytest.approx(c - b)
    assert {"1", "10", "100", "1000"} <= set(texts)


def test_gaps_stay_gaps(draw):
    spec = {"series": [{"name": "", "kind": "line", "x": [0, 1, 2, 3, 4], "y": [1, 2, None, 3, 4]}]}
    _, paths = draw(spec, "path")
    assert [path["d"].count("L") + 1 for path in paths] == [2, 2]


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0, 1, ["0", "0.2", "0.4", "0.6", "0.8", "1"]),
        (-3, 2, ["−3", "−2", "−1", "0", "1", "2"]),
        (1e-7, 5e-7, ["10⁻⁷", "2×10⁻⁷", "3×10⁻⁷", "4×10⁻⁷", "5×10⁻⁷"]),
        (1_000_000, 3_000_000, ["10⁶", "1.5×10⁶", "2×10⁶", "2.5×10⁶", "3×10⁶"]),
    ],
)
def test_ticks_are_round_numbers(draw, low, high, ticks):
    spec = {"x": {"min": low, "max": high}, "series": [points([low, high], ["a", "b"])]}
    assert [text for text in draw(spec)[0] if text not in "ab"] == ticks


def test_bars_begin_at_zero_and_stand_side_by_side(draw):
    series = [
        {"name": name, "kind": "bars", "x": ["p", "q"], "y": values} for name, values in (("a", [2, 4]), ("b", [3, 1]))
    ]
    _, bars = draw({"series": series}, "rect")
    assert [bar["height"] / bars[0]["height"] for bar in bars] == pytest.approx([1, 2, 1.5, 0.5])
    assert len({round(bar["y"] + bar["height"], 6) for bar in bars}) == 1
    left = sorted((bar["x"], bar["x"] + bar["width"]) for bar in bars)
    assert all(a[1] <= b[0] for a, b in pairwise(left))


def test_required_points_are_inside_the_frame(draw):
    spec = {
        "x": {"label": "x", "marks": [{"at": 9, "label": "far"}]},
        "series": [points([1, 2], [5, 6], low=[1, 2], high=[7, 30], labels=["one", "two"])],
    }
    texts, circles, errors = draw(spec, "circle", "path")
    assert {"far", "one", "two", "30"} <= set(texts) and len(circles) == len(errors) == 2


def test_names_stay_text_and_colours_are_variables(draw, chromium):
    draw(
        {
            "title": "<b>t</b>",
            "series": [points([1], [1], name="<b>a</b>"), points([2], [2], name="b", colour="--mine")],
        }
    )
    assert chromium.run("return document.querySelectorAll('#place b').length") == 0
    styles = chromium.run("return [...document.querySelectorAll('svg[role=img] g circle')].map(e => e.style.fill)")
    assert styles == ["var(--series-1)", "var(--mine)"]


def test_it_is_laid_out_again_for_the_width_there_is(draw, chromium):
    spec = {"series": [points([1, 2], [1, 2])]}
    view = "return +document.querySelector('svg[role=img]').getAttribute('viewBox').split(' ')[2]"
    draw(spec)
    wide = chromium.run(view)
    chromium.size(320)
    chromium.wait(view + " < arguments[0]", wide)
    assert chromium.run("return document.querySelector('svg[role=img]').clientWidth") == chromium.run(view)
    chromium.size(600)


def test_no_points_draw_an_empty_chart(draw):
    for series in ([], [points([], [])], [points([None], [None])], [points([1], [1])]):
        draw({"title": "nothing", "series": series})
