"""Scenario: a rater uses the page in a browser."""

import shutil
from itertools import product

import pytest
from rating_helpers import NAMES, SYSTEMS

from bayesr_bench.rating.ratings import read
from tests.browser import browser


@pytest.fixture(scope="module")
def chromium():
    with browser() as found:
        yield found


def press(chromium, key, then):
    """Press a key once the image is shown, and wait for what is said then."""
    chromium.wait("return document.querySelector('#stage img') !== null")
    chromium.driver.find_element("tag name", "body").send_keys(key)
    chromium.wait("return document.getElementById('count').textContent === arguments[0]", then)


def test_a_rater_rates_all_by_keyboard(chromium, study, folders, tmp_path):
    originals = tmp_path / "originals"
    originals.mkdir()
    shutil.copy(folders["secretive"] / f"{NAMES[0]}.png", originals)
    server = study(reference=originals, zoom=2)
    chromium.size(700, 900)
    chromium.open(server.url)
    text = "return document.getElementById(arguments[0]).textContent"
    chromium.wait("return document.querySelector('#stage img') !== null")
    for step in (1, 2):  # the calibration says which key to press, and takes no other
        score = "1" if "this is a 1" in chromium.run(text, "question") else "5"
        chromium.driver.find_element("tag name", "body").send_keys("3")
        assert chromium.run(text, "count") == f"calibration, {step} of 2"
        press(chromium, score, "calibration, 2 of 2" if step == 1 else "0 of 6")
    assert read(tmp_path / "ratings.csv") == []
    for done, key in enumerate("5142", 1):
        press(chromium, key, f"{done} of 6")
    size = "const i = document.querySelector('#stage img'); return [i.width, i.naturalWidth, i.height, i.naturalHeight]"
    chromium.wait("return document.querySelector('#stage img') !== null")
    assert chromium.run(size) == [32, 16, 24, 12]
    press(chromium, "\ue003", "3 of 6")  # Backspace
    for done, key in enumerate("333", 4):
        press(chromium, key, f"{done} of 6")
    chromium.wait("return !document.getElementById('end').hidden")
    found = read(tmp_path / "ratings.csv")
    assert [rating.score for rating in found] == [5, 1, 4, 3, 3, 3]
    assert {(rating.system, rating.image) for rating in found} == set(product(SYSTEMS, NAMES))
    assert chromium.errors() == []
    asked = [address for address in chromium.requested() if not address.startswith(("data:", "chrome"))]
    assert asked and all(address.startswith(server.url) for address in asked)


def test_the_page_says_when_the_command_has_ended(chromium, study):
    server = study()
    chromium.open(server.url)
    chromium.wait("return document.querySelector('#stage img') !== null")
    server.shutdown()
    server.server_close()
    chromium.driver.find_element("tag name", "body").send_keys("3")
    chromium.wait("return document.getElementById('question').textContent.includes('Nothing is lost')")
    chromium.errors()  # that the address does not answer is one


def test_the_page_says_why_an_image_is_not_shown(chromium, study, folders):
    server = study()
    kept = {path: path.read_bytes() for folder in folders.values() for path in folder.iterdir()}
    for path in kept:
        path.unlink()
    chromium.open(server.url)
    chromium.wait("return document.getElementById('question').textContent.includes('changed or disappeared')")
    for path, content in kept.items():
        path.write_bytes(content)
    chromium.open(server.url)
    press(chromium, "4", "1 of 6")
    chromium.errors()  # the images that were not there
