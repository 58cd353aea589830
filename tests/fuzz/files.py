"""Cases of damaged files: images, models, segmenters, regions, archives, histories and tables."""

from __future__ import annotations

import json
import shutil
from importlib.util import find_spec
from random import Random
from typing import Any

import numpy as np

import bayesr
from bayesr.model import card, checkpoint
from bayesr.training import curves, history
from bayesr.training.data import load_images
from tests.fuzz import mutations, seeds
from tests.fuzz.place import MODEL, Case, Place

_PICTURES = (".png", ".jpg", ".webp", ".gif", ".bmp", ".ppm", ".tga", ".ico")
_FILES = (*_PICTURES, ".tif", ".nc", ".jp2")
_STORES = ("three.zarr", "two.zarr", "array.zarr", "shards.zarr", "ome.zarr")
_OTHER_SUFFIXES = (".png", ".tif", ".nc", ".jpg", ".jp2", ".xyz", "")


def image(r: Random, place: Place) -> Case:
    """A damaged picture, TIFF, raster or NetCDF file, and what stands beside it."""
    source = r.choice(sorted(path for path in place.seeds.iterdir() if path.suffix in _FILES))
    suffix = "".join(source.suffixes) if r.random() < 0.93 else r.choice(_OTHER_SUFFIXES)
    target = place.work / f"in{suffix}"
    beside = [path for path in place.seeds.glob(f"{source.stem}.*") if path.suffix in (".wld", ".xml")]
    if beside and r.random() < 0.7:  # the image is whole, and the file beside it is not
        shutil.copy(source, target)
        mutations.of_file(beside[0], place.work / beside[0].name.replace(source.stem, "in"), r)
    else:
        mutations.of_file(source, target, r)
    return Case(source.name, lambda: use_image(target, r, place))


def image_store(r: Random, place: Place) -> Case:
    """A damaged Zarr store that holds an image."""
    source, target = place.seeds / r.choice(_STORES), place.work / "in.zarr"
    mutations.of_store(source, target, r)
    return Case(source.name, lambda: use_image(target, r, place))


def use_image(img: Any, r: Random, place: Place) -> None:
    """Give an image to one of the functions that take one."""
    chance, options = r.random(), {"model": MODEL, "n": 2, "progress": False}
    if chance < 0.5:
        bayesr.sample(img, **options)
    elif chance < 0.7:
        bayesr.sample(img, store=place.work / "out.zarr", **options)
    elif chance < 0.75:
        bayesr.segment(img, "otsu", **options)
    elif chance < 0.8:
        bayesr.aggregate(img, 4, level=0.3, **options)
    elif chance < 0.85:
        bayesr.components(img, 1, **options)
    elif chance < 0.9:
        bayesr.score(place.product, img, progress=False)
    elif chance < 0.95:
        bayesr.aggregate(place.product, img, level=0.3, progress=False)
    else:
        bayesr.replay(place.product, 0, img)


def model(r: Random, place: Place) -> Case:
    """A damaged model file."""
    source, target = place.seeds / r.choice(["tiny.safetensors", "bare.safetensors"]), place.work / "m.safetensors"
    mutations.of_safetensors(source, target, r)

    def call() -> None:
        chance = r.random()
        if chance < 0.75:
            bayesr.sample(seeds.SMALL, n=2, model=target, level=0.5, progress=False)
        elif chance < 0.85:
            card.markdown(target)
        elif chance < 0.95:
            bayesr.load(target)
        else:
            card.store_text(target, "use", "x")

    return Case(source.name, call)


def segmenter(r: Random, place: Place) -> Case:
    """A damaged segmenter file."""
    target = place.work / "s.safetensors"
    mutations.of_safetensors(place.seeds / "segmenter.safetensors", target, r)
    return Case("segmenter", lambda: bayesr.segment(place.product, str(target), progress=False))


def archive(r: Random, place: Place) -> Case:
    """A damaged checkpoint, or a damaged pack of images."""
    target, name = place.work / "a.npz", r.choice(["checkpoint.npz", "pack.npz"])
    mutations.of_file(place.seeds / name, target, r)
    if name == "pack.npz":
        return Case(name, lambda: load_images([target], r.choice([1, 3])))
    return Case(name, lambda: checkpoint.network_of(target))


def regions(r: Random, place: Place) -> Case:
    """Damaged GeoJSON, as a file or as an object."""
    target, value = place.work / "r.geojson", json.loads((place.seeds / "regions.geojson").read_text())
    if r.random() < 0.3:
        mutations.of_file(place.seeds / "regions.geojson", target, r)
        return Case("file", lambda: bayesr.aggregate(place.product, target, level=0.3, progress=False))
    for _ in range(r.choice([1, 2, 3])):
        value = mutations.of_json(value, r)
    return Case("object", lambda: bayesr.aggregate(place.product, value, level=0.3, progress=False))


def training_history(r: Random, place: Place) -> Case:
    """A damaged history of a training."""
    target = place.work / "h.jsonl"
    lines = [json.loads(line) for line in (place.seeds / "history.jsonl").read_text().splitlines()]
    if r.random() < 0.3:
        mutations.of_file(place.seeds / "history.jsonl", target, r)
    else:
        at = r.randrange(len(lines))
        lines[at] = mutations.of_json(lines[at], r)
        target.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return Case("history", lambda: curves.draw({"a": history.read(target)}, place.work / "h.png"))


def pictures(r: Random, place: Place) -> Case:
    """A folder with one damaged picture, to train from."""
    folder = place.work / "pictures"
    folder.mkdir()
    source = r.choice(sorted(path for path in place.seeds.iterdir() if path.suffix in (*_PICTURES, ".tif")))
    mutations.of_file(source, folder / f"a{source.suffix}", r)
    return Case(source.name, lambda: load_images([folder], r.choice([1, 3])))


def table(r: Random, place: Place) -> Case:
    """A damaged table of a benchmark, or damaged ratings."""
    if find_spec("bayesr_bench") is None:  # a distribution of its own
        return Case("no benchmarks", lambda: None)
    from bayesr_bench.pages import tables
    from bayesr_bench.rating import opinion, ratings

    if r.random() < 0.6:
        target = place.work / "t.json"
        value = json.loads((place.seeds / "table.json").read_text())
        for _ in range(r.choice([1, 2, 3])):
            value = mutations.of_json(value, r)
        target.write_text(json.dumps(value))
        return Case("table", lambda: tables.write([target], place.work / "o.html"))
    target = place.work / "r.csv"
    mutations.of_file(place.seeds / "ratings.csv", target, r)

    def call() -> None:
        found = ratings.read(target)
        opinion.opinions(found)
        opinion.differences(found)

    return Case("ratings", call)


def labels(r: Random, place: Place) -> Case:
    """Labels of random types, values and shapes."""
    shape = r.choice([(seeds.SIDE, seeds.SIDE), (8, 8), (seeds.SIDE, seeds.SIDE, 1), (0, 0)])
    values = np.random.default_rng(r.randrange(2**32)).integers(-1, 4, shape)
    found = values.astype(r.choice(["i1", "u1", "i8", "u8", "f4", "?", "c8", "O", "U3", "M8[s]", ">i4"]))
    return Case(
        f"{found.dtype}{found.shape}", lambda: bayesr.aggregate(place.product, found, level=0.3, progress=False)
    )
