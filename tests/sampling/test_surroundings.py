"""Scenario: products are the same for all kinds of arrays, sizes, paths, threads, processes and event loops."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import pickle
import warnings
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import dask.array
import numpy as np
import PIL.Image
import pytest
import torch
import xarray as xr
import zarr

import bayesr
from bayesr.errors import UnfamiliarInput

PIXELS = np.random.default_rng(0).integers(0, 256, (9, 12), dtype=np.uint8)
HOW = {"model": "fluorescence-x4", "keep_samples": False}


@pytest.fixture(autouse=True)
def _small_images_are_unfamiliar():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnfamiliarInput)
        yield


@pytest.fixture(scope="module")
def expected():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnfamiliarInput)
        return bayesr.sample(PIXELS, 2, **HOW)


def read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


def memory_map(folder):
    np.save(folder / "a.npy", PIXELS)
    return np.load(folder / "a.npy", mmap_mode="r")


class Subclass(np.ndarray):
    """What libraries of units and masks do."""


KINDS = {
    "ndarray": lambda folder: PIXELS,
    "Fortran order": lambda folder: np.asfortranarray(PIXELS),
    "strided": lambda folder: np.repeat(np.repeat(PIXELS, 2, 0), 3, 1)[::2, ::3],
    "reversed view": lambda folder: PIXELS[::-1, ::-1].copy()[::-1, ::-1],
    "read-only": lambda folder: read_only(PIXELS),
    "subclass": lambda folder: PIXELS.view(Subclass),
    "memory map": memory_map,
    "one band last": lambda folder: PIXELS[..., None],
    "one band first": lambda folder: PIXELS[None],
    "tensor": lambda folder: torch.from_numpy(PIXELS.copy()),
    "tensor, transposed view": lambda folder: torch.from_numpy(PIXELS.T.copy()).T,
    "tensor, one band": lambda folder: torch.from_numpy(PIXELS[None].copy()),
    "PIL": lambda folder: PIL.Image.fromarray(PIXELS),
    "DataArray": lambda folder: xr.DataArray(PIXELS, dims=("y", "x")),
    "DataArray, transposed": lambda folder: xr.DataArray(PIXELS.T, dims=("x", "y")),
    "DataArray, other names": lambda folder: xr.DataArray(PIXELS, dims=("row", "col")),
    "DataArray, dask": lambda folder: xr.DataArray(PIXELS, dims=("y", "x")).chunk(y=4, x=5),
    "DataArray, one time": lambda folder: xr.DataArray(PIXELS[None], dims=("time", "y", "x")),
    "Dataset": lambda folder: xr.Dataset({"a": (("y", "x"), PIXELS)}),
    "dask": lambda folder: dask.array.from_array(PIXELS, chunks=(4, 5)),
    "zarr": lambda folder: zarr.create_array({}, data=PIXELS, chunks=(4, 5)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_of_arrays(kind, expected, tmp_path):
    ds = bayesr.sample(KINDS[kind](tmp_path), 2, **HOW)
    np.testing.assert_array_equal(ds["mean"], expected["mean"])
    assert ds.attrs["input_sha256"] == expected.attrs["input_sha256"]


@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (2, 1), (1, 50), (50, 1), (3, 700), (700, 3), (5, 5), (33, 31)])
def test_sizes(shape):
    image = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    ds = bayesr.sample(image, 2, dims="yx", **HOW)
    assert ds["mean"].shape == (1, 4 * shape[0], 4 * shape[1]) and np.isfinite(ds["mean"]).all()


NAMES = [
    "a b.png",
    "ä€日.png",
    "100%.png",
    "a#b?c.png",
    "a[1]{2}.png",
    "-a.png",
    "A.PNG",
    ".a.png",
    "a.b.c.png",
    "a'\".png",
]


@pytest.mark.parametrize("name", NAMES)
def test_odd_paths(name, expected, tmp_path, monkeypatch):
    path = tmp_path / name
    PIL.Image.fromarray(PIXELS).save(path, "PNG")
    store = tmp_path / f"{name}.zarr"
    monkeypatch.chdir(tmp_path)
    for given in (path, str(path), name, Path(name)):
        assert bayesr.sample(given, 2, **HOW).attrs["input_sha256"] == expected.attrs["input_sha256"]
    ds = bayesr.sample(path, 2, store=store, **HOW)
    np.testing.assert_allclose(ds["mean"], expected["mean"], atol=3e-3)
    assert bayesr.check(store).sound


def mean_of(pixels):
    """Return the posterior mean of an image, in whatever process this is."""
    warnings.simplefilter("ignore", UnfamiliarInput)
    return bayesr.sample(pixels, 2, **HOW)["mean"].values


def test_threads(expected):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with ThreadPoolExecutor(8) as threads:
            found = list(threads.map(lambda _: bayesr.sample(PIXELS, 2, **HOW)["mean"].values, range(16)))
    for mean in found:
        np.testing.assert_array_equal(mean, expected["mean"])


@pytest.mark.parametrize("start", ["spawn", "forkserver"])
def test_new_processes(start, expected):
    with ProcessPoolExecutor(1, multiprocessing.get_context(start)) as pool:
        np.testing.assert_allclose(pool.submit(mean_of, PIXELS).result(120), expected["mean"], atol=3e-3)


def test_forked_processes(expected):
    """A child of a process that has sampled already; threads of torch's pool do not survive a fork."""
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a process with threads is forked
        child = os.fork()
    if child == 0:
        torch.set_num_threads(1)
        os.write(writing, mean_of(PIXELS).tobytes())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        found = np.frombuffer(file.read(), np.float32)
    assert os.waitpid(child, 0)[1] == 0
    np.testing.assert_allclose(found, expected["mean"].values.ravel(), atol=3e-3)


def test_running_event_loops(expected):
    async def sampled():
        here = bayesr.sample(PIXELS, 2, **HOW)
        there = await asyncio.to_thread(bayesr.sample, PIXELS, 2, **HOW)
        return here, there

    for ds in asyncio.run(sampled()):
        np.testing.assert_array_equal(ds["mean"], expected["mean"])


def test_products_and_models_are_pickled(expected):
    again = pickle.loads(pickle.dumps(expected))
    xr.testing.assert_identical(again, expected)
    model = pickle.loads(pickle.dumps(bayesr.load("fluorescence-x4")))
    np.testing.assert_array_equal(model.sample(PIXELS, 2, keep_samples=False)["mean"], expected["mean"])
