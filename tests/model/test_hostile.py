"""Scenario: hostile and damaged files of models and segmenters, each a change of a valid one.

Every file is refused as `InvalidModel`, in little time and memory, or loads and does what a model does.
"""

import copy
import json
import resource
import struct
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save

import bayesr
from bayesr.calibration.intervals import LAMBDAS
from bayesr.errors import InvalidModel
from bayesr.model.card import markdown
from bayesr.model.file import checksum
from bayesr.segmentation.segmenter import load as load_segmenter
from tests.conftest import make_model
from tests.segmentation.helpers import unet

NAN, INF = float("nan"), float("inf")
HUGE = 10**8
deep: list = []
for _ in range(200):
    deep = [deep]

ODD = (None, True, -1, 1.5, "a", "", [], ["a"], {}, {"a": 1}, NAN, 10**30)
"""Values that hardly any entry has."""

SECTIONS = ("format", "architecture", "observation", "halo", "calibration", "card", "sha256")

SIZES = {
    ("architecture",): {
        "blocks": (HUGE, 10**30, 4000, -1, 1.5, "2", None, []), "width": (20000, 4096, HUGE, 0, -8, "8", 8.5, [8]),
        "bands": (10**6, 0, -1, 2, "1", None, 1.0, True), "scale": (10**9, 1e9, 0, -4, 3, "4", None, 4.0),
        "tail_width": (20000, HUGE, 0, -1, "4"), "tail_blocks": (HUGE, 4000, 0, -1, 2),
        "latent": (HUGE, 4000, -1, 3, "2"), "networks": (10**9, 4000, 1, 0, -1, 2, "2"),
        "trunk": ("none", "swin", "unet", "rrdb", "attention", 5, ["swin"]),
        "tail": ("none", "gaussian", "quantile", 5),
        "trunk_options": ({"heads": 0}, {"window": 10**9}, {"depth": HUGE}, [1], 5, {"a": {"b": 1}}, {"a": deep}),
        "output": ("staged", "none", 1), "mix": (HUGE, 5, -1), "dropout": (2.0, -1, "a", NAN), "unknown": (1,),
        "interpolation": ("bicubic", "none", 5, None), "direct": (True,),
    },
    ("observation",): {
        "kernel": ("none", 5, None, ["bicubic"], "airy", "measured", "blind", "gaussian"),
        "scale": (10**9, 1e9, 0, -4, 3, "4", None, 4.0, True, HUGE), "noise": ("a", NAN, -1, INF, None),
        "unknown": (1,),
    },
    ("calibration",): {
        "spread": (["a"], [], [NAN, 1], [2, 1], [-1, 1], [0, 1], [1, 2, 3], 5, None, [INF, INF], [True, 2], "ab"),
        "factor": ([], ["a"], [NAN, 1], [1], [-1, 1], [0, 1], [1e300, 1], 5, None, {}),
        "missed": ([], [1], 5, None, {"a": [0]}, {"4": []}, {"4": [0.5]}, {"-1": [0] * 240}, {"0": [0] * 240}),
        "images": (-1, 0, 1.5, "5", None, True, 10**30), "source": (5, None, []),
        "provenance": (5, [], None, {"members": 5}), "coverage": (5, [], None, {"n": 4}, {"level": [0.5]}),
    },
    ("inputs",): {
        "version": ("1", None, 1.5), "bands": (0, -1, 3, "1", 10**30), "images": (-1, "a", None),
        "typical": ([], ["a"], [NAN] * 18, 5, [1e300] * 18), "rules": ([], {"none": [1]}, {"blurred": []}, 5),
        "whitening": ([], [1], [NAN] * 9, [1e300] * 9, 5), "scale": ([], [1, 2], [NAN, 0, 1], "abc"),
    },
    ("card",): {
        "parameters": ("a", -1, 1.5, [], {}), "images": ("a", -1), "seconds": ("a", -1, INF, []),
        "steps": ("a", {"a": "b"}, {"a": -1}, [1]), "scores": (5, [], {"a": 5}, {"a": {"PSNR": []}}),
        "processes": ("2",), "use": (5, {}), "note": (deep,),
        "start": ({"steps": "a"}, {"seconds": "a"}, {"sha256": 5}, {"start": {"steps": "a"}}),
    },
}  # fmt: skip
"""Values of the entries of each section. Some are valid, and then the model does what it should."""

OPERATORS = [
    {"kernel": "gaussian", "scale": 4, "sigma": sigma} for sigma in (3e5, 0, -1, NAN, INF, "a", None, 1e-300, 9.0)
] + [
    {"kernel": "airy", "scale": 4, "na": 0.5, "wavelength": 0.5, "pixel": 0.1} | change
    for change in (
        {"scale": 64}, {"scale": HUGE}, {"na": 0}, {"na": "a"}, {"na": 1e-320}, {"wavelength": 1e308},
        {"pixel": 1e-320},
        {"wavelength": 1e-320}, {"regularisation": NAN}, {"regularisation": 1e-300}, {"regularisation": "a"},
        {"sharp_na": 0.1}, {"sharp_na": "a"}, {"sharp_na": INF}, {"extra": 1},
    )
] + [
    {"kernel": "measured", "scale": 4, "regularisation": 0.01, "psf": psf}
    for psf in (
        5, [], [[]], [5], [["a"]], [[NAN]], [[0]], [[1, 1]], [[1] * 67] * 67, [[1e308] * 3] * 3, [[[1]]],
        [[None]], deep,
    )
] + [
    {"kernel": "blind"}, {"kernel": "blind", "of": 5}, {"kernel": "blind", "of": {"kernel": "bicubic", "scale": HUGE}},
]  # fmt: skip


def changed(path, change, weights=None):
    """Write a changed copy of a file, whose checksums are right or left out."""
    tensors = load_file(path) if weights is None else weights
    content = path.read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]["bayesr"]
    header = json.loads(header)
    del header["header_sha256"]
    header["sha256"] = checksum(tensors)
    header = change(header) or header
    out = path.with_name("changed.safetensors")
    out.write_bytes(save(tensors, {"bayesr": json.dumps(header)}))
    return out


def entry(section, name, value):
    def change(header):
        header[section][name] = copy.deepcopy(value)

    return change


def whole(name, value):
    def change(header):
        header[name] = copy.deepcopy(value)

    return change


def changes():
    """Return all changes of a model's metadata, with a name each."""
    found = {
        f"{section}.{name}={value!r:.30}": entry(section, name, value)
        for (section,), entries in SIZES.items()
        for name, values in entries.items()
        for value in values
    }
    found |= {f"{name}={value!r}": whole(name, value) for name in SECTIONS for value in ODD}
    found |= {f"inputs={value!r}": whole("inputs", value) for value in (5, [], "a", {}, {"version": 1})}
    found |= {f"without {name}": lambda header, name=name: header.pop(name) and None for name in SECTIONS}
    found |= {f"{operator!r:.200}": whole("observation", operator) for operator in OPERATORS}
    return found | {"a list": lambda header: [header], "a deep header": whole("value_scaling", deep)}


CHANGES = changes()


@pytest.fixture(scope="module")
def valid(tmp_path_factory):
    """A tiny model with a calibration, statistics of inputs and a card."""
    bundled = bayesr.load("fluorescence-x4")
    curve = np.linspace(1, 0, len(LAMBDAS))
    calibration = replace(
        bundled.calibration, spread=np.array([0.1, 0.2]), factor=np.array([1, 2.0]), missed={4: curve}
    )
    model = replace(make_model(bands=1), calibration=calibration, inputs=bundled.inputs, card=bundled.card)
    return model.save(tmp_path_factory.mktemp("hostile") / "valid.safetensors")


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory):
    from bayesr.segmentation.segmenter import Segmenter

    made = Segmenter("tiny", unet(width=0.1), card={"parameters": 5})
    return made.save(tmp_path_factory.mktemp("hostile") / "segmenter.safetensors")


def outcome(use, path):
    """Return the message of a refusal; empty where the file is usable."""
    begun = time.process_time()
    try:
        use(path)
    except InvalidModel as error:
        assert time.process_time() - begun < 2, "a refusal takes little time"
        return str(error)
    return ""


def test_the_valid_files_are_valid(valid, segmenter):
    model = bayesr.load(valid)
    assert bayesr.load(changed(valid, lambda header: None)).calibration.describe() == model.calibration.describe()
    assert "Empirical coverage" in markdown(valid)
    load_segmenter(changed(segmenter, lambda header: None))


def test_changed_metadata_are_refused_with_the_name_of_what_is_wrong(valid):
    """One test for all, so that the valid file is made once."""
    image = (np.arange(64).reshape(8, 8) * 3).astype(np.uint8)
    refused = {}
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for name, change in CHANGES.items():
        path = changed(valid, change)
        message = outcome(bayesr.load, path)
        if message:
            refused[name] = message
            assert str(path) in message and len(message) < 700, name
            outcome(markdown, path)
            continue
        assert markdown(path)
        ds = bayesr.load(path).sample(image, 2, level=0.5, progress=False)
        assert np.isfinite(ds["mean"]).all() and np.isfinite(ds["upper"]).all(), name
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory) < 400 * 1024, "KiB"
    assert len(refused) >= 190, len(refused)
    unnamed = [name for name, message in refused.items() if not any(part in message for part in words(name))]
    assert not unnamed, {name: refused[name] for name in unnamed}


def words(name):
    """Return words of which one must be in the message: the entry, or what it describes."""
    section, _, rest = name.partition(".")
    found = {section.split("=")[0].removeprefix("without "), rest.split("=")[0]}
    told = {
        "architecture": {"architecture", "weights", "scale", "Unknown", "multiple"},
        "observation": {"operator", "kernel", "scale"},
        "sha256": {"checksum"}, "format": {"version", "metadata"}, "a list": {"metadata"}, "a deep header": {"nested"},
    }  # fmt: skip
    operators = {"operator", "scale", "must", "pseudo-inverse", "point-spread", "regularisation"}
    deep_words = {"nested"}
    for part, more in told.items():
        if section.startswith(part):
            found |= more
    return {word for word in found | deep_words | (operators if name.startswith("{") else set()) if word}


def test_changed_segmenters_are_refused(segmenter):
    refused = 0
    for name, values in {
        "inputs": (5, None, [], [5], ["a", "b"]), "scaling": (5, "none", None), "threshold": (0, 2, NAN, "a", None),
        "smallest": (-1, "a", None, 1.5), "card": (5, None), "segmenter": (5, None, [], {}, {"kind": "none"}),
    }.items():  # fmt: skip
        for value in values:
            assert outcome(load_segmenter, changed(segmenter, whole(name, value))), (name, value)
            refused += 1
    for name, values in {
        "kind": ("none", "annotators", "probabilistic-unet", 5, []), "bands": (10**6, 0, "a", 3),
        "outputs": (10**6, 0, 2, None), "width": (1e4, 100.0, NAN, -1, 0, "a"), "depth": (0, 5, 1, HUGE, "a"),
        "decoder": ([10**9, 1], [1], [0, 1], 5, "ab", [[1], 2]), "annotators": (10**9,), "unknown": (1,),
    }.items():  # fmt: skip
        for value in values:
            assert outcome(load_segmenter, changed(segmenter, entry("segmenter", name, value))), (name, value)
            refused += 1
    assert refused >= 50


def test_weights_that_do_not_fit_are_refused(valid):
    weights = load_file(valid)
    first, *others = sorted(weights, key=lambda name: -weights[name].dim())
    damaged = {
        "nan": {first: torch.full_like(weights[first], NAN)},
        "infinite": {first: torch.full_like(weights[first], INF)},
        "another shape": {first: weights[first][..., :-1].contiguous()},
        "fewer dimensions": {first: weights[first].flatten()},
        "whole numbers": {first: weights[first].long()},
        "double precision": {first: weights[first].double()},
        "one more": {"more": torch.zeros(1)},
    }
    for name, change in damaged.items():
        message = outcome(bayesr.load, changed(valid, lambda header: None, weights | change))
        assert any(word in message for word in (first, first.replace("tail", "head"), "more")), (name, message)
    without = {name: weights[name] for name in others}
    assert "lacks" in outcome(bayesr.load, changed(valid, lambda header: None, without))
    assert outcome(bayesr.load, changed(valid, lambda header: None, {}))
    single = {name: value.float() if value.is_floating_point() else value for name, value in weights.items()}
    assert not outcome(bayesr.load, changed(valid, lambda header: None, single))


def test_damaged_bytes_are_refused(valid, tmp_path):
    content = bytearray(valid.read_bytes())
    path = tmp_path / "damaged.safetensors"
    for length in (0, 1, 7, 8, 9, 100, len(content) - 1):
        path.write_bytes(content[:length])
        assert outcome(bayesr.load, path), length
    for announced in (0, 1, 2**24 + 1, 2**40, 2**64 - 1):
        path.write_bytes(struct.pack("<Q", announced) + bytes(content[8:]))
        assert outcome(bayesr.load, path), announced
    path.write_bytes(content + b"more")
    assert "damaged" in outcome(bayesr.load, path)
    end = 8 + int.from_bytes(content[:8], "little")
    random = np.random.default_rng(0)
    for position in [*random.integers(8, end, 60), *random.integers(end, len(content), 20)]:
        flipped = content.copy()
        flipped[position] ^= 1 << int(random.integers(7))
        if json_equal(flipped[8:end], content[8:end]) and position < end:
            continue  # a space
        path.write_bytes(flipped)
        assert outcome(bayesr.load, path), position


def json_equal(one, other):
    try:
        return json.loads(one) == json.loads(other)
    except ValueError:
        return False


def test_a_changed_digit_of_the_calibration_is_seen(valid, tmp_path):
    """Files of before have no checksum of their metadata, and are read as before."""
    content = valid.read_bytes()
    assert content.count(b'\\"factor\\": [1.0, 2.0]') == 1
    path = tmp_path / "changed.safetensors"
    path.write_bytes(content.replace(b'\\"factor\\": [1.0, 2.0]', b'\\"factor\\": [1.0, 3.0]'))
    for use in (bayesr.load, markdown):
        assert "recorded checksum" in outcome(use, path)
    older = changed(valid, lambda header: header["calibration"].update(factor=[1.0, 3.0]))
    assert bayesr.load(older).calibration.factor[1] == 3


def test_no_file_takes_much_memory(tmp_path):
    """In a process whose address space is limited, where a network of the described size would not fit."""
    code = """
import resource, sys
from pathlib import Path
from tests.model.test_hostile import *
model = make_model(bands=1).save(Path(sys.argv[1]) / "m.safetensors")
used = int(Path("/proc/self/statm").read_text().split()[0]) * 4096
resource.setrlimit(resource.RLIMIT_AS, (used + 2**28, used + 2**28))
for name, value in {"blocks": 10**8, "width": 4096, "width ": 20000, "networks": 10**9, "bands": 4000, "scale": 64,
                    "tail_width": 4096, "latent": 4096, "tail_blocks": 4000, "mix": 4096}.items():
    assert outcome(bayesr.load, changed(model, entry("architecture", name.strip(), value))), name
for operator in ({"kernel": "bicubic", "scale": 10**9}, {"kernel": "gaussian", "scale": 4, "sigma": 3e5}):
    assert outcome(bayesr.load, changed(model, whole("observation", operator))), operator
print("done")
"""
    ran = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False)
    assert ran.stdout == "done\n", ran.stderr
