"""The list of segmenters, with those of a distribution on the search path."""

import subprocess
import sys

import numpy as np
import pytest

import bayesr
from bayesr import plugins
from bayesr.errors import InvalidModel, PluginNotUsed
from bayesr.segmentation.adapters import adapt
from bayesr.segmentation.catalogue import segmenters
from bayesr.segmentation.registry import CLASSICAL, build, bundled
from bayesr.segmentation.segmenter import Segmenter

CODE = """
from pathlib import Path
from bayesr.segmentation.segmenter import load

HERE = Path(__file__).parent
file = str(HERE / "pair.safetensors")
loaded = load(HERE / "pair.safetensors")
sampler = HERE / "model.safetensors"
nowhere = HERE / "nowhere.safetensors"
number = 3

def nothing(image):
    return image[0] > 1e9
"""
GOOD, BAD = ("file", "loaded", "nothing"), ("number", "sampler", "nowhere", "absent")


@pytest.fixture
def extension(tmp_path, monkeypatch, model):
    """Lay a distribution with good and bad segmenters on the search path."""
    place = tmp_path / "site"
    (place / "more_segmenters-1.dist-info").mkdir(parents=True)
    lines = "".join(f"{name} = more_segmenters:{name}\n" for name in (*GOOD, *BAD))
    text = f"[{plugins.SEGMENTERS}]\n{lines}nuclei = more_segmenters:nothing\n"
    (place / "more_segmenters-1.dist-info" / "entry_points.txt").write_text(text)
    network = build({"kind": "unet", "bands": 6, "outputs": 1, "width": 0.25, "depth": 1})
    Segmenter("pair", network, ("mean", "std"), card={"data": ["a", "b"]}).save(place / "pair.safetensors")
    model.save(place / "model.safetensors")
    (place / "more_segmenters.py").write_text(CODE)
    monkeypatch.syspath_prepend(place)
    yield place
    sys.modules.pop("more_segmenters", None)


def test_every_segmenter_with_a_name_is_listed_once_and_can_be_used(extension):
    with pytest.warns(PluginNotUsed) as said:
        listed = segmenters()
    assert [info.name for info in listed] == [*bundled(), *sorted(CLASSICAL), *GOOD]
    assert {str(one.message).split(" of more-segmenters")[0] for one in said} == set(BAD)
    assert [info.source for info in listed[-len(GOOD) - 1 :]] == ["bayesr", *["more-segmenters"] * len(GOOD)]
    for info in listed:
        adapted = adapt(info.name, threshold=0.5, smallest=0, logits=False)
        assert (adapted.inputs, adapted.bands) == (info.inputs, info.bands)


@pytest.mark.filterwarnings("ignore::bayesr.errors.PluginNotUsed")
def test_what_is_listed_is_what_files_and_functions_state(extension):
    listed = {info.name: info for info in segmenters()}
    for name in ("file", "loaded"):
        assert listed[name].kind == "network" and listed[name].description == "a, b"
        assert listed[name].inputs == ("mean", "std") and listed[name].bands == 3
    assert listed["nothing"].kind == "function" and listed["nothing"].description == ""
    assert listed["nuclei"].card["parameters"] > 0, "that of bayesr, which is never replaced"


def test_bad_entries_cannot_be_used_either(extension):
    for name in BAD:
        with pytest.raises(bayesr.BayesrError):
            adapt(name, threshold=0.5, smallest=0, logits=False)
    with pytest.raises(InvalidModel, match="model for sampling"):
        bayesr.segment(np.zeros((8, 8), np.uint8), "sampler", n=2)


def test_the_list_imports_no_torch():
    code = (
        "import sys; from bayesr.segmentation.catalogue import segmenters; segmenters(); print('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "False\n"
