"""Cases of odd arguments: arrays of all types and shapes, and values that no argument expects."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
import xarray as xr

import bayesr
from bayesr import observe, report
from tests.fuzz import mutations, stores
from tests.fuzz.mutations import ODD
from tests.fuzz.place import MODEL, Case, Place
from tests.fuzz.seeds import GREY, SIDE, SMALL

_TYPES = (
    "u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8", "f16", "c8", "?", "O", "U3", "M8[s]", "m8[s]",
    ">f4", ">u2", "V4",
)  # fmt: skip
_NAMES = ("y", "x", "band", "lat", "lon", "time", "c", "row", "b", "dim_0")
_PATHS: tuple[Any, ...] = (
    None, 5, "nothing.png", b"x", [[1, 2], [3, 4]], object(), "http://127.0.0.1:9/x.zarr", "s3://", "zip://a::b",
    "foo://x", "memory://nothing", "", ".", "/", "\0", "a\0b.png", "x" * 5000, Path(), {"a": 1}, 1.5,
    "file:///etc/passwd", "zip:///etc/passwd", "reference://x", "~nouser/x", "://",
    "data:image/png;base64,xx", "local://etc", "dir://x::memory://a", "tar://x::/etc/passwd",
    "/dev/zero", "/dev/full",
)  # fmt: skip


def array(r: Random) -> Any:
    """Return an array of any type and shape, as NumPy, torch, xarray or dask has it, or something that is none."""
    numbers = np.random.default_rng(r.randrange(2**32))
    shape = tuple(r.choice([0, 1, 2, 3, 4, 5, 8, 13]) for _ in range(r.choice([0, 1, 2, 2, 2, 3, 3, 4])))
    kind = r.choice(_TYPES)
    with np.errstate(all="ignore"):
        try:
            found = np.asarray(numbers.random(shape) * r.choice([1, 200, 1e6, 1e-30, 1e300, 0])).astype(kind)
        except (TypeError, ValueError):
            found = np.zeros(shape, kind)
    if found.dtype.kind == "f" and found.size and r.random() < 0.3:
        found.flat[r.randrange(found.size)] = r.choice([np.nan, np.inf, -np.inf, float(np.finfo(found.dtype).max)])
    if r.random() < 0.1 and found.ndim > 1:
        found = found[::-1].T
    chance = r.random()
    if chance < 0.1:
        return np.ma.masked_array(found, numbers.random(found.shape) < 0.3)
    if chance < 0.5:
        return found
    if chance < 0.65:
        return _tensor(found, r)
    return _labelled(found, r) if chance < 0.9 else r.choice(_PATHS)


def _tensor(found: np.ndarray[Any, Any], r: Random) -> Any:
    if r.random() < 0.2:
        return torch.zeros(found.shape, dtype=r.choice([torch.bfloat16, torch.float16, torch.complex64, torch.bool]))
    try:
        return torch.from_numpy(np.ascontiguousarray(found))
    except (TypeError, ValueError):  # a type or a byte order that torch lacks
        return found


def _labelled(found: np.ndarray[Any, Any], r: Random) -> Any:
    """Return a DataArray or a Dataset with odd coordinates and attributes."""
    labelled = xr.DataArray(found, dims=r.sample(_NAMES, found.ndim))
    for dim, size in labelled.sizes.items():
        coordinates = (
            np.arange(size), np.zeros(size), np.linspace(1, 2, size) ** 2, np.full(size, np.nan),
            np.array(["a"] * size), np.arange(size).astype("M8[s]"), np.arange(size)[::-1] * 1e300,
        )  # fmt: skip
        if r.random() < 0.4:
            labelled = labelled.assign_coords({dim: r.choice(coordinates)})
    for name in ("_FillValue", "units", "scale_factor", "add_offset", "nodatavals", "grid_mapping", "missing_value"):
        if r.random() < 0.12:
            labelled.attrs[name] = r.choice(ODD)
    if r.random() < 0.2 and found.dtype.kind in "uif":
        labelled = labelled.chunk()
    return labelled if r.random() < 0.8 else labelled.to_dataset(name="a")


def _options(place: Place) -> dict[str, list[Any]]:
    """Return usual and unusual values of the arguments of `bayesr.sample`."""
    out = place.work / "out.zarr"
    return {
        "n": [1, 2, 3, 0, -1, 10**9, 10**18],
        "seed": [0, 2**64 - 1],
        "masks": [1, 2],
        "level": [0.5, 0.9],
        "keep_samples": [True, False],
        "dims": ["yx", "yxb", "byx", ("y", "x"), "xy", "yyx", "abc", ["y"], ("y", 1)],
        "nodata": [0, float("nan"), 255, -1, 1e40],
        "value_range": [(0, 1), (0, 255), (1, 0), (0, 0), (0, 1e308), (-1e308, 1e308), (0, 5e-324), (1, 2, 3), "ab"],
        "tile": [1, 2, 3, 1000, 10**12],
        "device": ["cpu", "cuda", "meta", "xpu", "cpu:5", "mps", "openvino:1", ""],
        "variables": [("mean",), "std", ["samples"], [], ["nothing"], ["mean", "mean"], [1]],
        "keepbits": [1, 23, 0, 24],
        "cluster": [0, -1, True, 1.5, []],
        "forward_operator": [
            bayesr.observe.bicubic(4), bayesr.observe.box(2), [], [1], "box", xr.Dataset(),
            xr.Dataset({"psf_width": ("draw", [2.0, float("nan")])}, attrs={"psf": "gaussian", "scale": 4}),
            xr.Dataset({"psf_width": ("draw", ["a"])}, attrs={"psf": "airy", "scale": "x"}),
        ],
        "model": [MODEL, "nix", "", "/", ".", "\0", 5, None, b"x", "../weights/natural-x4", Path("x"), "/dev/zero"],
        "store": [
            out, "", "memory://x", "http://127.0.0.1:9/x", "/proc/x.zarr", "/dev/null", "\0", 5, Path("/"), ".", b"x",
            "s3:/x", "zip://x.zip", "/dev/full", "x" * 300, "foo://y", "~", f"file://{out}",
        ],
        "resume": [True, False],
        "progress": [False, None],
    }  # fmt: skip


def sample(r: Random, place: Place) -> Case:
    """`bayesr.sample` with odd images and arguments; ``overwrite`` is never given, since ``store`` may be any place."""
    img = array(r) if r.random() < 0.5 else GREY[:4, :4]
    given: dict[str, Any] = {"model": MODEL, "n": 2, "progress": False}
    choices = _options(place)
    for name in r.sample(sorted(choices), r.choice([0, 1, 1, 2, 3])):
        odd = [value for value in ODD if name != "cluster" or not isinstance(value, str | int)]
        given[name] = r.choice(choices[name]) if r.random() < 0.75 else r.choice(odd)
    return Case(f"sample({described(img)}, {given})"[:500], lambda: bayesr.sample(img, **given))


def described(value: Any) -> str:
    """Return type and shape of an array, the start of the text of anything else."""
    if isinstance(value, np.ndarray):
        return f"ndarray{value.shape}{value.dtype}"
    if isinstance(value, torch.Tensor):
        return f"Tensor{tuple(value.shape)}{value.dtype}"
    if isinstance(value, xr.DataArray):
        return f"DataArray{dict(value.sizes)}{value.dtype} {list(value.coords)} {value.attrs}"
    return repr(value)[:80]


def functions(r: Random, place: Place) -> Case:
    """Any other function with odd arguments."""
    make = r.choice((_extend, _check, _segment, _aggregate, _components, _score, _replay, _report, _load, _observe))
    return make(r, place)


def _odd(r: Random) -> Any:
    return r.choice(ODD) if r.random() < 0.6 else array(r)


def _product(r: Random, place: Place) -> Any:
    if r.random() < 0.5:
        return place.product
    return stores._changed(place.product, r)[0] if r.random() < 0.6 else _odd(r)


def _place(r: Random, place: Place) -> Any:
    known = [place.seeds / name for name in ("three.zarr", "array.zarr", "segments.zarr")]
    return r.choice([*map(str, known), "nothing", _odd(r), "", "/", "memory://q", "/dev/zero"])


def _extend(r: Random, place: Place) -> Case:
    store, n = _place(r, place), r.choice([8, 4, 5, 0, _odd(r)])
    return Case(f"extend({described(store)}, {described(n)})", lambda: bayesr.extend(store, n, progress=False))


def _check(r: Random, place: Place) -> Case:
    store, repair = _place(r, place), r.choice([False, True])
    return Case(f"check({described(store)})", lambda: bayesr.check(store, progress=False, repair=repair))


def _segment(r: Random, place: Place) -> Case:
    functions = (
        lambda img: img[0] > 5, lambda img: img, lambda img: 1 / 0, lambda img: np.zeros((3, 3)), lambda img: "x",
        lambda img: None, lambda img: img[0] * np.nan, lambda img: np.full(img.shape[1:], 7.0),
        torch.nn.Conv2d(1, 1, 1),
    )  # fmt: skip
    product, segmenter = _product(r, place), r.choice(["otsu", "watershed", "nuclei", "nix", _odd(r), *functions])
    names = ["level", "threshold", "overlap", "smallest", "logits", "img"]
    options = {name: r.choice([0.5, _odd(r)]) for name in r.sample(names, r.choice([0, 1, 2]))}
    what = f"segment({described(product)}, {described(segmenter)}, {options})"
    return Case(what[:500], lambda: bayesr.segment(product, segmenter, progress=False, **options))


def _aggregate(r: Random, place: Place) -> Case:
    side = (SIDE, SIDE)
    regions = r.choice([
        4, (4, 5), 0, -1, (0, 4), np.ones(side, int), np.ones((8, 8), int), np.zeros(side, int), -np.ones(side, int),
        [[(0, 0), (5, 0), (5, 5)]], {"a": [(0, 0), (5, 0), (5, 5)]}, _odd(r), [], [[(0, 0)]], 10**9,
        [[(0, 0), (1e308, 1e308), (-1e308, 5)]], np.full(side, 2**63 - 1), np.full(side, 2**64 - 1, np.uint64),
        {"type": "FeatureCollection", "features": r.choice(ODD)}, {"type": "Feature", "properties": r.choice(ODD)},
        {"type": "GeometryCollection", "geometries": r.choice(ODD)}, "/dev/zero", "x.geojson",
    ])  # fmt: skip
    names = ["statistic", "level", "threshold", "exceed", "all_bands", "quantisation_step", "calibrated", "img"]
    values = [0.3, "share", "mean", "sum", np.mean, lambda values: "x", lambda values: 1 / 0, _odd(r)]
    options = {"level": 0.3} | {name: r.choice(values) for name in r.sample(names, r.choice([0, 1, 2]))}
    product = _product(r, place)
    what = f"aggregate({described(product)}, {described(regions)}, {options})"
    return Case(what[:500], lambda: bayesr.aggregate(product, regions, progress=False, **options))


def _components(r: Random, place: Place) -> Case:
    product, k = _product(r, place), r.choice([1, 2, 3, 4, 0, _odd(r)])
    window = r.choice([None, (slice(0, 4), slice(0, 4)), (slice(5, 2), slice(0, 4)), _odd(r), (1, 2)])
    what = f"components({described(product)}, {described(k)}, {described(window)})"
    return Case(what, lambda: bayesr.components(product, k, window=window, progress=False))


def _score(r: Random, place: Place) -> Case:
    product = _product(r, place)
    truth = r.choice([np.zeros((SIDE, SIDE)), np.full((SIDE, SIDE), np.nan), np.zeros((8, 8)), _odd(r)])
    return Case(
        f"score({described(product)}, {described(truth)})", lambda: bayesr.score(product, truth, progress=False)
    )


def _replay(r: Random, place: Place) -> Case:
    product, i, img = _product(r, place), r.choice([0, 3, 4, -1, _odd(r)]), r.choice([SMALL, GREY, _odd(r)])
    what = f"replay({described(product)}, {described(i)}, {described(img)})"
    return Case(what, lambda: bayesr.replay(product, i, img))


def _report(r: Random, place: Place) -> Case:
    out = r.choice([place.work / "o.html", place.work, "/nonexistent/x.html", "/proc/x", "\0", "/dev/full"])
    window = r.choice([None, (slice(0, 8), slice(0, 8)), _odd(r), (slice(None), slice(9, 3))])
    options = {
        "window": window,
        "redraw": r.choice([0, 1, -1, _odd(r)]),
        "img": r.choice([None, SMALL, _odd(r)]),
        "reference": r.choice([None, None, np.zeros((SIDE, SIDE), np.uint8), _odd(r)]),
    }
    product = _product(r, place)
    what = f"report({described(product)}, {described(out)}, {options})"
    return Case(what[:500], lambda: report.write(product, out, progress=False, **options))


def _load(r: Random, place: Place) -> Case:
    model = _odd(r)
    return Case(f"load({described(model)})", lambda: bayesr.load(model))


def _observe(r: Random, place: Place) -> Case:
    one, two, three = _odd(r), _odd(r), _odd(r)
    name, call = r.choice([
        ("bicubic", lambda: observe.bicubic(one)),
        ("gaussian", lambda: observe.gaussian(one, sigma=two)),
        ("box", lambda: observe.box(one)),
        ("airy", lambda: observe.airy(4, na=one, wavelength=two, pixel=three)),
        ("measured", lambda: observe.measured(one, 4)),
        ("from_description", lambda: observe.from_description(mutations.of_json(observe.bicubic(4).describe(), r))),
    ])  # fmt: skip
    return Case(f"{name}({described(one)}, {described(two)}, {described(three)})", call)
