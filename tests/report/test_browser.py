"""Scenario: a reader uses the page of a product in a real browser, by mouse, finger and keyboard."""

from __future__ import annotations

import base64

import numpy as np
import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

import bayesr
from bayesr import report
from bayesr.report.panels import View, downsampled
from tests.browser import browser

READY = "return document.documentElement.dataset.ready === 'true'"

# A number for the pixels of a map as it is drawn.
PIXELS = """
const canvas = document.querySelector(`#map-${arguments[0]} canvas`);
const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
let sum = 0;
for (let i = 0; i < data.length; i++) sum = (31 * sum + data[i]) % 2147483647;
return sum;"""

# Colours that lie side by side in a row of a map, as runs of equal ones: their lengths.
RUNS = """
const canvas = document.querySelector(`#map-${arguments[0]} canvas`), y = Math.floor(canvas.height / 3);
const row = canvas.getContext("2d").getImageData(0, y, canvas.width, 1).data, runs = [];
for (let x = 0, n = 1; x < canvas.width; x++, n++) {
  const same = x + 1 < canvas.width && [0, 1, 2].every((c) => row[4 * x + c] === row[4 * (x + 1) + c]);
  if (!same) { runs.push(n); n = 0; }
}
return runs;"""


@pytest.fixture(scope="module")
def scene(model):
    y, x = np.mgrid[0:64, 0:96] / 64
    layers = np.stack([x / 1.5, 0.5 + 0.4 * np.sin(25 * x * y), (x > y) * 0.8 + 0.1], -1)
    truth = (layers * 255).round().astype(np.uint8)
    low = truth.reshape(16, 4, 24, 4, 3).mean((1, 3)).round().astype(np.uint8)
    return bayesr.sample(low, n=8, model=model), low, truth


@pytest.fixture(scope="module")
def web():
    with browser() as one:
        yield one


@pytest.fixture(scope="module")
def written(web, scene, tmp_path_factory):
    """The page, its requests while loading, and its errors."""
    ds, low, truth = scene
    path = report.write(ds, tmp_path_factory.mktemp("page") / "scene.html", truth, img=low)
    web.size(1280)
    web.requested(), web.errors()
    web.open(path, READY)
    return path, web.requested(), web.errors()


@pytest.fixture
def opened(web, written):
    web.size(1280)
    web.run("document.getElementById('fit').click(); bayesr.members.show(0)")
    web.wait("return document.getElementById('zoom').textContent === '1×'")
    return web


def stage(web, name):
    return web.driver.find_element(By.CSS_SELECTOR, f"#map-{name} .stage")


def press(web, name, *keys):
    web.run("arguments[0].focus({preventScroll: true})", stage(web, name))
    chain = ActionChains(web.driver)
    for key in keys:
        chain.send_keys(key)
    chain.perform()


def test_nothing_leaves_the_page_and_nothing_goes_wrong(written):
    path, requested, errors = written
    assert path.as_uri() in requested
    assert not [url for url in requested if not url.startswith(("file:", "data:", "blob:"))]
    assert errors == []


def test_every_map_is_drawn(opened):
    maps = opened.run("return [...document.querySelectorAll('.stage')].map((stage) => stage.dataset.map)")
    assert {"input", "mean", "member", "std", "width", "fade", "lower", "upper"} <= set(maps)
    assert {"aleatoric", "epistemic", "calibration", "reference", "error", "state", "region"} <= set(maps)
    for name in maps:
        opened.wait(f"{PIXELS.replace('arguments[0]', repr(name)).replace('return sum', 'return sum > 0')}")
        assert len(opened.run(RUNS, name)) > 1, name  # not one colour


def test_values_under_the_cursor_are_those_of_the_product(opened, scene):
    ds, low, _ = scene
    opened.run(
        "document.getElementById('band').value = 1; document.getElementById('band').dispatchEvent(new Event('change'))"
    )
    where = stage(opened, "mean")
    opened.run("arguments[0].scrollIntoView({block: 'center'})", where)
    box = opened.run("const b = arguments[0].getBoundingClientRect(); return [b.width, b.height]", where)
    y, x = 20, 50
    ActionChains(opened.driver).move_to_element_with_offset(
        where, round((x + 0.5) / 96 * box[0] - box[0] / 2), round((y + 0.5) / 64 * box[1] - box[1] / 2)
    ).perform()
    opened.wait("return document.querySelectorAll('#values b').length > 5")
    said = dict(
        opened.run("return [...document.querySelectorAll('#values span')].filter((s) => s.querySelector('b'))"
                   ".map((s) => [s.firstChild.textContent.trim(), s.querySelector('b').textContent])")
    )  # fmt: skip
    assert float(said["mean"]) == pytest.approx(float(ds["mean"][1, y, x]), abs=0.13)
    assert float(said["std"]) == pytest.approx(float(ds["std"][1, y, x]), abs=0.13)
    assert float(said["input"]) == pytest.approx(float(low[y // 4, x // 4, 1]), abs=0.2)
    lower, upper = map(float, said["interval"].split(" to "))
    assert lower == pytest.approx(float(ds["lower"][1, y, x]), abs=0.5)
    assert upper == pytest.approx(float(ds["upper"][1, y, x]), abs=0.5)
    assert f"y {float(ds['y'][y]):.2f}"[:5] in opened.run("return document.getElementById('values').textContent")


def test_members_are_flicked_through_and_played(opened):
    first = opened.run(PIXELS, "member")
    press(opened, "member", Keys.SPACE)
    opened.wait(f"{PIXELS.replace('return sum', 'return sum !== arguments[1]')}", "member", first)
    assert opened.run("return document.getElementById('number').textContent") == "1"
    slider = opened.driver.find_element(By.ID, "flick")
    slider.send_keys(Keys.ARROW_LEFT)
    opened.wait(f"{PIXELS.replace('return sum', 'return sum === arguments[1]')}", "member", first)
    assert opened.run("return document.getElementById('play').getAttribute('aria-pressed')") == "false"  # of itself
    opened.run("document.getElementById('rate').value = 8; document.getElementById('play').click()")
    opened.wait("return Number(document.getElementById('flick').value) >= 2")
    opened.run("document.getElementById('play').click()")
    assert opened.run("return document.getElementById('play').textContent") == "Play"


MEMBER = """
const all = await bayesr.members.codes(0), low = bayesr.data.members.low, high = bayesr.data.members.high;
const at = 20 * bayesr.data.shape[1] + 50;
return bayesr.data.bands.map((_, band) => [bayesr.layer("mean", band)[at], bayesr.members.values(all, band)[at]]);"""


def test_the_slider_goes_from_the_member_to_the_mean(opened):
    member = opened.run(PIXELS, "member")
    slider = opened.driver.find_element(By.ID, "realism")
    text = "return document.getElementById('map-member').textContent"
    assert "A member" in opened.run(text) and "no posterior sample" not in opened.run(text)
    slider.send_keys(Keys.HOME)
    opened.wait(f"{PIXELS.replace('return sum', 'return sum !== arguments[1]')}", "member", member)
    assert opened.run("return document.getElementById('share').textContent") == "mean"
    # The mean's map also has the line of the profile, so that its pixels are taken as they are painted.
    painted = """const canvas = arguments[0] === "mean" ? bayesr.painted("mean") : await bayesr.members.paint();
      return [...canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data]"""
    assert opened.run(painted, "mean") == opened.run(painted, "member")
    for _ in range(6):
        slider.send_keys(Keys.ARROW_RIGHT)
    assert opened.run("return document.getElementById('share').textContent") == "realism 0.30"
    assert "no posterior sample, and no interval" in opened.run(text) and "A member" not in opened.run(text)
    at = opened.run("return 20 * bayesr.data.shape[1] + 50")
    shown = opened.run("return await bayesr.members.valueAt(arguments[0])", at)
    assert shown == pytest.approx([m + 0.3 * (x - m) for m, x in opened.run(MEMBER)], abs=1e-3)
    slider.send_keys(Keys.END)
    opened.wait(f"{PIXELS.replace('return sum', 'return sum === arguments[1]')}", "member", member)
    assert "A member" in opened.run(text)


def test_without_scripts_the_mean_is_shown(web, written):
    web.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        web.driver.get(written[0].as_uri())
        picture = web.driver.find_element(By.CSS_SELECTOR, "noscript img, .still img")
        assert picture.is_displayed() and picture.size["width"] > 100
        assert not web.driver.find_element(By.CSS_SELECTOR, ".tools").is_displayed()
    finally:
        web.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
        web.open(written[0], READY)


def test_zoom_and_pan_are_one_for_all_maps(opened):
    names = ("mean", "std", "epistemic", "error")
    before = {name: opened.run(PIXELS, name) for name in names}
    press(opened, "std", "+", "+", "+", "+")
    opened.wait("return parseFloat(document.getElementById('zoom').textContent) > 4")
    for name in names:
        opened.wait(f"{PIXELS.replace('return sum', 'return sum !== arguments[1]')}", name, before[name])
    zoomed = {name: opened.run(PIXELS, name) for name in names}
    press(opened, "error", Keys.ARROW_LEFT)
    for name in names:
        opened.wait(f"{PIXELS.replace('return sum', 'return sum !== arguments[1]')}", name, zoomed[name])
    press(opened, "mean", "0")
    for name in names:
        opened.wait(f"{PIXELS.replace('return sum', 'return sum === arguments[1]')}", name, before[name])


def test_pixels_stay_squares_when_zoomed_in(opened):
    press(opened, "std", *"++++++")
    opened.wait("return parseFloat(document.getElementById('zoom').textContent) > 10")
    scale = opened.run("return bayesr.view.scale(document.querySelector('#map-std .stage'))")
    inner = opened.run(RUNS, "std")[1:-1]
    assert inner and min(inner) >= np.floor(scale) - 1  # smoothing would blend colours over single screen pixels


def test_a_wheel_zooms_only_where_it_was_asked_to(opened):
    wheel = """arguments[0].dispatchEvent(new WheelEvent("wheel", {deltaY: -240, ctrlKey: arguments[1], clientX: 300,
      clientY: 300, bubbles: true, cancelable: true}))"""
    opened.run("document.activeElement.blur()")
    opened.run(wheel, stage(opened, "width"), False)
    assert opened.run("return bayesr.view.zoom") == 1
    opened.run(wheel, stage(opened, "width"), True)
    opened.wait("return bayesr.view.zoom > 1.9")
    opened.wait("return !document.getElementById('fit').disabled")  # the page follows with its next frame


def test_dragging_moves_all_maps_and_pinching_zooms_them(opened):
    opened.run("document.getElementById('in').click(); document.getElementById('in').click()")
    opened.wait("return bayesr.view.zoom > 2")
    before = opened.run("return bayesr.view.x")
    where = stage(opened, "std")
    opened.run("arguments[0].scrollIntoView({block: 'center'})", where)
    ActionChains(opened.driver).drag_and_drop_by_offset(where, 60, 0).perform()
    opened.wait("return bayesr.view.x < arguments[0] - 3", before)
    zoom = opened.run("return bayesr.view.zoom")
    opened.run(
        """const stage = arguments[0], box = stage.getBoundingClientRect();
        stage.setPointerCapture = () => {};
        const touch = (kind, id, dx) => stage.dispatchEvent(new PointerEvent(kind, {pointerId: id, pointerType: "touch",
          clientX: box.left + box.width / 2 + dx, clientY: box.top + 60, bubbles: true}));
        touch("pointerdown", 11, -20); touch("pointerdown", 12, 20); touch("pointermove", 12, 60);
        touch("pointerup", 11, -20); touch("pointerup", 12, 60);""",
        where,
    )
    assert opened.run("return bayesr.view.zoom") == pytest.approx(2 * zoom, rel=0.01)


def test_the_line_is_dragged_on_the_mean_and_its_chart_follows(opened):
    opened.run("document.getElementById('across').click()")
    drawn = "return document.getElementById('profile').innerHTML"
    opened.run("const s = document.getElementById('position'); s.value = 10; s.dispatchEvent(new Event('input'))")
    opened.wait("return document.getElementById('place').textContent === '10'")
    before = opened.run(drawn)
    where = stage(opened, "mean")
    opened.run("arguments[0].scrollIntoView({block: 'center'})", where)
    height = opened.run("return arguments[0].clientHeight", where)
    chain = ActionChains(opened.driver).move_to_element_with_offset(where, 20, round(10.5 / 64 * height - height / 2))
    chain.click_and_hold().move_by_offset(0, round(height / 4)).release().perform()
    opened.wait("return document.getElementById('place').textContent === '26'")
    opened.wait(f"{drawn} !== arguments[0]", before)
    assert opened.run("return bayesr.view.zoom") == 1  # the image stayed where it was


def test_the_keyboard_reaches_everything(opened):
    opened.run("document.getElementById('in').focus()")
    reached = set()
    for _ in range(90):
        found, outline = opened.run(
            "const a = document.activeElement;"
            "return [a.id || a.dataset.map || a.tagName, getComputedStyle(a).outlineStyle]"
        )
        if found == "BODY":
            break
        reached.add(found)
        assert outline != "none" or found == "in", found  # that one was focused by a script, which need not show it
        ActionChains(opened.driver).send_keys(Keys.TAB).perform()
    expected = {
        "in",
        "band",
        "keys",
        "theme",
        "mean",
        "play",
        "flick",
        "rate",
        "realism",
        "across",
        "down",
        "position",
        "command",
    }
    assert expected <= reached, expected - reached
    opened.run("scrollTo(0, 0)")
    ActionChains(opened.driver).move_to_element(opened.driver.find_element(By.ID, "title")).perform()  # off the maps
    opened.run("arguments[0].focus()", stage(opened, "mean"))
    ActionChains(opened.driver).key_down(Keys.SHIFT).send_keys(Keys.ARROW_RIGHT).key_up(Keys.SHIFT).perform()
    opened.wait("return document.querySelector('#values b') !== null")
    before = opened.run("return bayesr.view.cross.x")
    ActionChains(opened.driver).key_down(Keys.SHIFT).send_keys(Keys.ARROW_RIGHT).key_up(Keys.SHIFT).perform()
    opened.wait("return bayesr.view.cross.x === arguments[0] + 1", before)


def test_images_and_charts_have_names(opened):
    unnamed = """return [...document.querySelectorAll("button, select, input, [role=img]")].filter((node) =>
      !(node.getAttribute("aria-label") || node.textContent.trim() || (node.labels && node.labels.length))).length"""
    assert opened.run(unnamed) == 0
    assert opened.run("return document.querySelectorAll('#charts svg[role=img], #charts [role=img]').length") >= 6


def test_dark_and_light_follow_the_system_until_one_is_chosen(opened):
    paper = "return getComputedStyle(document.body).backgroundColor"
    opened.media(prefers_color_scheme="light")
    light = opened.run(paper)
    opened.media(prefers_color_scheme="dark")
    opened.wait(f"{paper} !== arguments[0]", light)
    dark = opened.run(paper)
    opened.run("document.getElementById('theme').click()")
    assert opened.run(paper) == light
    opened.run("document.getElementById('theme').click()")
    assert opened.run(paper) == dark
    opened.run("delete document.documentElement.dataset.theme")
    opened.media(prefers_color_scheme="light")


@pytest.mark.parametrize("width", [390, 800, 1600])
def test_no_width_makes_the_page_scroll_sideways(opened, width):
    opened.size(width, 844, phone=width < 700)
    opened.wait("return innerWidth === arguments[0]", width)
    assert opened.run("return document.documentElement.scrollWidth") <= width
    columns = opened.run(
        "return getComputedStyle(document.querySelector('.maps')).gridTemplateColumns.split(' ').length"
    )
    assert columns == {390: 1, 800: 2, 1600: 3}[width]


def test_the_page_had_no_errors(opened):
    assert opened.errors() == []
    assert not [url for url in opened.requested() if not url.startswith(("file:", "data:", "blob:"))]


# The root mean square of the difference between what the page shows, band after band, and numbers; and their deviation.
DIFFERENCE = """
const [kind, number, packed] = arguments, bands = bayesr.data.bands.length, size = bayesr.size;
const expected = new Float32Array(Uint8Array.from(atob(packed), (c) => c.charCodeAt(0)).buffer);
const member = kind === "member" ? await bayesr.members.codes(number) : null;
const mean = expected.reduce((a, b) => a + b) / expected.length;
let error = 0, spread = 0;
for (let band = 0; band < bands; band++) {
  const shown = member ? bayesr.members.values(member, band) : bayesr.layer(kind, band);
  for (let i = 0; i < size; i++) {
    error += (shown[i] - expected[band * size + i]) ** 2;
    spread += (mean - expected[band * size + i]) ** 2;
  }
}
return [Math.sqrt(error / expected.length), Math.sqrt(spread / expected.length)];"""


@pytest.mark.parametrize(("height", "width", "bands"), [(256, 256, 3), (272, 248, 2)])
def test_a_large_page_shows_the_product(web, model, grey_model, tmp_path, height, width, bands):
    low = np.random.default_rng(0).integers(0, 256, (height, width, bands), dtype=np.uint8)
    ds = bayesr.sample(low, n=2, model=model if bands == 3 else grey_model, dims="yxb", progress=False)
    path = report.write(ds, tmp_path / "large.html", img=low, progress=False)
    web.open(path, READY)
    factor, shape = web.run("return [bayesr.data.factor, bayesr.data.shape]")
    assert factor == 2 and shape == [2 * height, 2 * width]  # maps of noise are too large for a page as they are
    view = View(slice(0, 4 * height), slice(0, 4 * width), factor)
    shown = [("mean", 0, ds["mean"]), ("std", 0, ds["std"]), ("lower", 0, ds["lower"])]
    shown += [("member", i, ds["samples"][i]) for i in (0, 1)]
    stated = web.run("return bayesr.data.members.error")  # members are lossy pictures
    for kind, number, array in shown:
        packed = base64.b64encode(downsampled(array, view).astype("<f4").tobytes()).decode()
        error, spread = web.run(DIFFERENCE, kind, number, packed)
        assert error < (1.1 * stated if kind == "member" else 0.1 * spread), kind
        assert error < 0.6 * spread, kind  # of unrelated images it is 1.4 times the deviation
    assert web.errors() == []
