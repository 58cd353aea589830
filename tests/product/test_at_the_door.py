"""Scenario: public functions refuse arguments of another kind by name, before they open or write anything."""

from __future__ import annotations

import math

import numpy as np
import pytest

import bayesr
from bayesr import report
from bayesr.errors import InvalidArgument

OF_EXTEND = {
    "store": [5, None, ""], "n": [4.0, True, "8", None, 0], "model": [3], "device": [0], "cluster": [object(), 0],
    "progress": ["yes"],
}  # fmt: skip
OF_CHECK = {
    "store": [5, None], "repair": ["yes", 1], "model": [3], "device": [0], "cluster": [0.5], "progress": [1],
}  # fmt: skip
OF_REPLAY = {"i": [1.5, True, "1", -1, 4, np.array(1), None], "model": [3]}
OF_SCORE = {
    "levels": [0.9, "0.9", (0.5, 1.5), (None,), None], "dims": [5], "model": [3.5], "seed": [1.5, None, True, -1],
    "progress": ["bar"],
}  # fmt: skip
OF_AGGREGATE = {
    "level": ["0.9", 90, None, math.nan], "threshold": ["1", math.nan, True], "exceed": ["1", math.inf, [1]],
    "quantisation_step": [-1, math.nan, "1", True], "all_bands": [1, "yes"], "calibrated": [0, None], "model": [3],
    "progress": ["bar"], "n": [4.0], "value_range": [255],
}  # fmt: skip
OF_COMPONENTS = {
    "k": [0, 4, 1.0, True, "2"], "window": [5, (1, 2), slice(3), (slice(0, 8, 2), slice(None))], "model": [3],
    "progress": [0],
}  # fmt: skip
OF_SEGMENT = {
    "level": [1, "0.9"], "threshold": [0, None], "overlap": [1.5, True], "smallest": [-1, 2.5, True, "3"],
    "logits": [1, "no"], "keep_members": [None, 0], "store": [5], "overwrite": ["yes"], "resume": [1], "model": [3],
    "progress": ["bar"], "tile": [2.5],
}  # fmt: skip
OF_REPORT = {"redraw": [1.5, True, -1, "2"], "window": [(3, 4), 5], "out": [5, None], "model": [3], "progress": ["bar"]}
OF_CALIBRATE = {
    "model": [3, None], "levels": [0.9, (1.5,)], "seed": [None, 1.5], "dims": [5], "value_range": [255, "auto"],
    "progress": [1],
}  # fmt: skip
OF_TRAIN = {
    "out": [5, None], "bands": [3.0, 0, True], "held_out": [-1, 1.5, None, b"4"], "time_limit": ["60", -1, math.nan],
    "patience": [0, 2.5], "every": [0, "200"], "resume": ["yes"], "seed": [1.5, None], "device": [None, 0],
    "progress": ["bar"],
}  # fmt: skip

CALLS = {
    "extend": (lambda given, **o: bayesr.extend(**{"store": "absent.zarr", "n": 8} | o), OF_EXTEND),
    "check": (lambda given, **o: bayesr.check(**{"store": "absent.zarr"} | o), OF_CHECK),
    "replay": (lambda given, **o: bayesr.replay(given, **{"i": 0, "img": "absent.png"} | o), OF_REPLAY),
    "score": (lambda given, **o: bayesr.score(given, "absent.png", **o), OF_SCORE),
    "aggregate": (lambda given, **o: bayesr.aggregate(given, "absent.tif", **{"level": 0.5} | o), OF_AGGREGATE),
    "components": (lambda given, **o: bayesr.components(given, **{"k": 2} | o), OF_COMPONENTS),
    "segment": (lambda given, **o: bayesr.segment(given, "otsu", **o), OF_SEGMENT),
    "report": (lambda given, **o: report.write(given, **{"out": "a.html"} | o), OF_REPORT),
    "calibrate": (lambda given, **o: bayesr.calibrate(**{"model": "natural-x4", "pairs": iter(())} | o), OF_CALIBRATE),
    "train": (lambda given, **o: bayesr.train("bayes-srgan", "absent", **{"out": "a.safetensors"} | o), OF_TRAIN),
}  # fmt: skip


@pytest.fixture(scope="module")
def ds(model, photo):
    return model.sample(photo[:6, :7], 4)


@pytest.mark.parametrize(
    ("function", "name", "value"),
    [(function, name, v) for function, (_, bad) in CALLS.items() for name, values in bad.items() for v in values],
)
def test_bad_arguments_are_refused_by_name(ds, function, name, value, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidArgument, match=rf"^{name} must be .*, not "):
        CALLS[function][0](ds, **{name: value})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("function", CALLS)
def test_images_are_not_opened_before(function, monkeypatch):
    """The products' own functions, given the path of an image."""
    call, bad = CALLS[function]
    if function in ("aggregate", "components", "segment"):
        monkeypatch.setattr("bayesr.images.source", lambda *a, **o: pytest.fail("the image was opened"))
        for name, values in bad.items():
            if (function, name) == ("components", "k"):  # 4 is too many for this product only
                continue
            with pytest.raises(InvalidArgument, match=f"^{name} must be"):
                call("absent.png", **{name: values[0]})


def test_scalars_of_numpy_are_taken(ds, photo, model):
    low = photo[:6, :7]
    again = bayesr.replay(ds, np.int64(2), low, model=model)
    np.testing.assert_array_equal(again, ds["samples"][2])
    found = bayesr.aggregate(
        ds, np.int64(8), level=np.float32(0.5), quantisation_step=np.uint8(1), calibrated=np.bool_(True)
    )
    assert found.attrs["level"] == 0.5 and type(found.attrs["level"]) is float
    assert bayesr.components(ds, np.int8(2)).sizes["component"] == 2
    truth = np.zeros(ds["mean"].shape, np.uint8)
    scores = bayesr.score(ds, truth, levels=np.array([0.5]), seed=np.int64(3), model=model, dims="byx")
    assert scores.attrs["seed"] == 3 and list(scores["level"].values) == [0.5]
    segmented = bayesr.segment(ds, "otsu", level=np.float64(0.5), smallest=np.int64(2))
    assert '"smallest": 2' in segmented.attrs["segmentation"]
