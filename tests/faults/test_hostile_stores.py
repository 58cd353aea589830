"""Scenario: stores whose files were changed, cut short, exchanged, removed or made up.

Every public function refuses such a store with an error of bayesr, or is right. `bayesr.check` reports what it meets,
and what was refused can be repaired or replaced.
"""

import json
import shutil
import warnings

import numpy as np
import pytest

import bayesr
from bayesr import report
from bayesr.errors import BayesrError, StoreFailed
from bayesr.store.access import opened
from tests.conftest import make_model

N = 4
IMAGE = np.random.default_rng(0).integers(0, 255, (6, 12), dtype=np.uint8)
TRUTH = np.zeros((24, 48), np.uint8)
HOW = dict(tile=8, seed=3, keep_samples=True)


@pytest.fixture(scope="module")
def grey():
    return make_model(bands=1)


@pytest.fixture(scope="module")
def valid(grey, tmp_path_factory):
    place = tmp_path_factory.mktemp("valid") / "a.zarr"
    grey.sample(IMAGE, N, store=place, **HOW)
    return place


@pytest.fixture
def store(valid, tmp_path):
    return shutil.copytree(valid, tmp_path / "a.zarr")


def metadata(inside, change):
    """Return a function that changes the metadata of a part of a store."""

    def apply(store):
        for path in (store / inside / "zarr.json",):
            found = json.loads(path.read_text())
            found.pop("consolidated_metadata", None)
            change(found)
            path.write_text(json.dumps(found))

    return apply


def attribute(name, value, inside=""):
    return metadata(inside, lambda found: found["attributes"].__setitem__(name, value))


def without(name, inside=""):
    return metadata(inside, lambda found: found["attributes"].pop(name))


def field(inside, name, value):
    return metadata(inside, lambda found: found.__setitem__(name, value))


def chunked(inside, shape):
    def change(found):
        found["chunk_grid"]["configuration"]["chunk_shape"] = shape

    return metadata(inside, change)


def written(inside, content):
    return lambda store: (store / inside).write_bytes(content)


def half(inside):
    return lambda store: (store / inside).write_bytes((store / inside).read_bytes()[:-7])


def flipped(inside):
    def apply(store):
        raw = bytearray((store / inside).read_bytes())
        raw[len(raw) // 3] ^= 64
        (store / inside).write_bytes(raw)

    return apply


def removed(inside):
    def apply(store):
        path = store / inside
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    return apply


def exchanged(one, other):
    return lambda store: shutil.copyfile(store / one, store / other)


def folder(inside):
    def apply(store):
        (store / inside).unlink()
        (store / inside).mkdir()

    return apply


_ENGINE = {"tile": 8, "device": "cpu"}
ATTRIBUTES = {
    "n": ["x", 0, -1, 3, 5, 8, 10**12, None, 4.5, True, [4], "4"],
    "masks": [0, -2, 3, "x", None, 4],
    "scale": [0, -4, 2, 10**9, "x", None],
    "seed": [-1, 2**70, "x"],
    "level": [0, 2, "x", None],
    "value_range": [None, 3, [1], [2, 1], ["a", "b"], [0, 0]],
    "engine": ["{", "[]", "null", "[" * 5000, json.dumps({"tile": 0, "device": "cpu"}), json.dumps({"tile": 8}), 7],
    "input": ["{", "[]", json.dumps({"dims": 1, "nodata": None}), json.dumps({"dims": None, "nodata": "x"}), None],
    "forward_operator": ["{", "3", None],
    "model": [None, 5, "../../etc/passwd", "no such model"],
    "model_sha256": ["1" * 64, None],
    "input_sha256": ["1" * 64, 0, None],
    "quantisation_step": ["x", -1, None],
    "history": [5, None],
}
PROGRESS = {
    "tile": [0, -8, 4, 16, "x", None, 10**12],
    "nodata": ["x", "{", None, 7, "[" * 5000],
    "keepbits": [0, 99, "x"],
    "next": [0, "x", 3, -1, None],
}
CHUNKS = [
    "mean/c/0/0/0", "samples/c/2/0/0/1", "std/c/0/0/1", "calibration/c/0/0/0", "progress/done/c/0/0",
    "progress/checksum/c/0/0/0", "progress/mask_means/c/0/0/0/0", "progress/input/c/0/0/0", "y/c/0", "realization/c/0",
]  # fmt: skip
METADATA = [
    "zarr.json", "progress/zarr.json", "mean/zarr.json", "samples/zarr.json", "y/zarr.json", "progress/done/zarr.json",
    "progress/checksum/zarr.json", "progress/input/zarr.json", "progress/mask_means/zarr.json", "realization/zarr.json",
]  # fmt: skip
HOSTILE = {
    **{f"{name}={value!r:.30}": attribute(name, value) for name, values in ATTRIBUTES.items() for value in values},
    **{f"progress {k}={v!r:.30}": attribute(k, v, "progress") for k, values in PROGRESS.items() for v in values},
    **{f"without {name}": without(name) for name in ("n", "masks", "scale", "engine", "input", "value_range")},
    **{f"without {name}": without(name, "progress") for name in ("tile", "nodata", "keepbits")},
    **{f"half {name}": half(name) for name in (*CHUNKS, *METADATA)},
    **{f"flipped {name}": flipped(name) for name in (*CHUNKS, *METADATA)},
    **{f"no {name}": removed(name) for name in (*CHUNKS, *METADATA)},
    **{f"no {name}": removed(name) for name in ("mean", "std", "samples", "progress", "progress/done", "y")},
    **{f"a byte in {name}": written(name, b"\0") for name in (*CHUNKS, *METADATA)},
    **{f"nothing in {name}": written(name, b"") for name in (*CHUNKS, *METADATA)},
    **{f"{text} in {name}": written(name, text.encode()) for name in METADATA for text in ("null", "[]", "{}")},
    **{f"deep {name}": written(name, b"[" * 5000) for name in METADATA},
    **{f"folder {name}": folder(name) for name in (*CHUNKS, "zarr.json", "progress/zarr.json")},
    **{f"done {k}": written("progress/done/c/0/0", int(k).to_bytes(4, "little")) for k in (1, 3, 5, 8, 2**32 - 1)},
    "exchanged": exchanged("mean/c/0/0/0", "std/c/0/0/0"),
    "another tile": exchanged("mean/c/0/0/1", "mean/c/0/0/0"),
    "an array for a group": exchanged("mean/zarr.json", "progress/zarr.json"),
    "a group for an array": exchanged("progress/zarr.json", "mean/zarr.json"),
    "an array for the store": exchanged("mean/zarr.json", "zarr.json"),
    **{f"{name} {shape}": field(name, "shape", shape) for name, shape in (
        ("mean", [1, 24, 40]), ("mean", [1, 0, 0]), ("mean", [24, 48]), ("mean", [10**6, 10**6, 10**6]),
        ("samples", [8, 1, 24, 48]), ("samples", [2, 1, 24, 48]), ("progress/done", [2, 2]),
        ("progress/done", [10**9, 10**9]),
        ("progress/checksum", [1, 2, 3]), ("progress/input", [1, 10**6, 10**6]), ("progress/input", [6, 12]),
        ("progress/mask_means", [3, 1, 24, 48]), ("y", [3]), ("realization", [1]),
    )},
    **{f"{name} {kind}": field(name, "data_type", kind)
       for name in ("mean", "progress/done", "progress/input", "samples")
       for kind in ("int8", "float64", "complex64", "nonsense", "bool", 7)},
    **{f"{name} chunks {shape}": chunked(name, shape) for name, shape in (
        ("mean", [1, 16, 16]), ("mean", [1, 0, 32]), ("progress/done", [1, 2]), ("samples", [4, 1, 32, 32]),
        ("progress/checksum", [1, 1, 1]), ("mean", [1, 10**9, 10**9]),
    )},
    **{f"{name} codecs {value}": field(name, "codecs", value) for name in ("mean", "progress/done")
       for value in ([], [{"name": "nonsense"}], None)},
    **{f"list of variables {text!r:.20}": attribute("variables", text, "progress/checksum")
       for text in ("[", "[]", '["mean"]', '["a", "b"]', json.dumps(["mask_means"]), None, 5, '["mean", "mean"]')},
    "coordinates": lambda store: (store / "y/c/0").write_bytes(np.full(24, np.nan).tobytes()),
}  # fmt: skip


def attempt(function, *args, **options):
    """Call a function, which may refuse with an error of bayesr and no other."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        try:
            return function(*args, **options)
        except BayesrError as error:
            assert str(error)
            return None


def files(store):
    return {path: path.read_bytes() for path in store.rglob("*") if path.is_file()}


READERS = [
    lambda store, model: bayesr.components(store, 2)["components"].to_numpy(),
    lambda store, model: bayesr.aggregate(store, 24, "mean", level=0.5),
    lambda store, model: bayesr.score(store, TRUTH, model=model),
    lambda store, model: bayesr.segment(store, "otsu"),
    lambda store, model: report.write(store, store.parent / "a.html", model=model),
    lambda store, model: bayesr.replay(opened(store), 1, IMAGE, model=model),
]


def extended(store, model):
    return bayesr.extend(store, 2 * N, model=model)


def resumed(store, model):
    return model.sample(IMAGE, N, store=store, resume=True, **HOW)


def refused_or_right(store, model, readers):
    before = files(store)
    found = attempt(bayesr.check, store)
    for read in readers:
        attempt(read, store, model)
    sound = found is not None and found.sound
    if not sound:
        assert attempt(extended, store, model) is None, "damage was extended"
        assert files(store) == before, "reading and refusing change nothing"
        attempt(resumed, store, model)
        later = attempt(bayesr.check, store)
        assert found is None or found.unfinished or not later.sound, "damage is not laundered"


def repaired_or_refused(store, model):
    """Repair a store; where that is refused, it can be replaced, unless nothing shows that bayesr wrote it."""
    if attempt(bayesr.check, store, repair=True, img=IMAGE, model=model) is None:
        if not (store / "progress").exists():
            with pytest.raises(StoreFailed, match="no store of bayesr, so bayesr does not touch it"):
                model.sample(IMAGE, N, store=store, overwrite=True, **HOW)
            return
        model.sample(IMAGE, N, store=store, overwrite=True, **HOW)
    assert bayesr.check(store).sound
    extended(store, model)


@pytest.mark.parametrize("name", [name for at, name in enumerate(HOSTILE) if at % 2 == 0])
def test_a_hostile_store_is_refused_or_right(store, grey, name):
    HOSTILE[name](store)
    calls = [*READERS, extended, resumed]
    at = [*HOSTILE].index(name) // 2 % len(calls)
    found = attempt(bayesr.check, store)
    if calls[at] is extended and not (found and found.sound):
        before = files(store)
        assert attempt(extended, store, grey) is None and files(store) == before
    else:
        attempt(calls[at], store, grey)


@pytest.mark.slow
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_store_is_refused_or_right_by_all_and_mended(store, grey, name):
    HOSTILE[name](store)
    refused_or_right(store, grey, READERS)
    repaired_or_refused(store, grey)


def test_there_are_many():
    assert len(HOSTILE) >= 300
