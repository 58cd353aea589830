"""Tiles are drawn while the first pass goes on: products, warnings, errors and what is left are those without it."""

import threading
import time
import warnings

import numpy as np
import pytest
import xarray as xr

import bayesr
from bayesr import images
from bayesr.errors import InvalidPixels, StoreFailed, UnfamiliarInput
from bayesr.images import lazy
from bayesr.sampling import first_pass, job
from bayesr.store import replacing
from bayesr.store.layout import Store

HOW = {"n": 2, "tile": 32, "variables": ["mean"]}
PATIENCE = 60
"""Seconds after which a test that waits has failed."""


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch):
    monkeypatch.setattr(lazy, "BLOCK", 32)


@pytest.fixture(scope="module")
def pixels():
    """A smooth image, `band x y x x`, uint8, in three by three blocks."""
    y, x = np.mgrid[0:70, 0:66] / 70
    return (127 + 100 * np.sin([[9 * x + y], [7 * y], [5 * x * y]])).astype(np.uint8)[:, 0]


class Source:
    """Pixels that count how often each was read. Reading the last one waits for the event `gate`, if there is one."""

    def __init__(self, values, gate=None):
        self.values, self.shape, self.dtype, self.gate = values, values.shape, values.dtype, gate
        self.counts, self.lock = np.zeros(values.shape, int), threading.Lock()

    def __getitem__(self, key):
        with self.lock:
            self.counts[key] += 1
        last = tuple(part.stop == size for part, size in zip(key, self.shape, strict=True))
        if self.gate is not None and all(last):
            assert self.gate.wait(PATIENCE), "no tile was drawn before the last pixel was read"
        return self.values[key]

    def array(self):
        """Return them as an array that is read block by block."""
        return lazy.windowed(self, images.DIMS, (3, 32, 32))


@pytest.fixture
def written(monkeypatch):
    """An event that is set when a tile is written."""
    event, write = threading.Event(), Store.write

    def then_set(*args):
        write(*args)
        event.set()

    monkeypatch.setattr(Store, "write", then_set)
    return event


def plain(ds):
    """Return a product without the time at which it was drawn."""
    found = ds.compute()
    del found.attrs["history"]
    return found


def holes(pixels):
    found = pixels.astype(np.float32)
    found[:, 40:50, 20:45] = np.nan
    return found


@pytest.mark.parametrize(
    ("prepare", "options"),
    [
        (lambda pixels: pixels, {}),
        (lambda pixels: pixels.astype(np.float32) / 255, {"value_range": "unit"}),
        (holes, {"value_range": (0, 255), "nodata": np.nan}),
        (lambda pixels: pixels.astype(np.float64), {"value_range": (0, 255), "nodata": -1.0}),
        (lambda pixels: pixels.astype(np.uint16), {}),
    ],
    ids=["bytes", "unit", "missing", "nothing missing", "range by the pixels"],
)
def test_products_are_those_of_reading_first(model, client, tmp_path, pixels, prepare, options):
    source = xr.DataArray(prepare(pixels), dims=images.DIMS)
    for name, cluster in (("first", None), ("beside", client)):
        model.sample(source, store=tmp_path / name, cluster=cluster, **HOW, **options)
    first, beside = (xr.open_zarr(tmp_path / name) for name in ("first", "beside"))
    xr.testing.assert_identical(plain(first), plain(beside))
    files = [
        {p.relative_to(tmp_path / name): p.read_bytes() for p in (tmp_path / name).rglob("*") if p.is_file()}
        for name in ("first", "beside")
    ]
    assert files[0].keys() == files[1].keys()
    assert {str(path) for path in files[0] if files[0][path] != files[1][path]} <= {"zarr.json"}, "it holds the time"
    assert bayesr.check(tmp_path / "beside").sound
    inside = model.sample(source, **HOW, **options)
    xr.testing.assert_equal(inside, beside.compute())


@pytest.mark.parametrize("beside", [False, True])
def test_the_source_is_read_once(model, client, tmp_path, pixels, beside):
    source = Source(pixels)
    model.sample(source.array(), store=tmp_path / "a.zarr", cluster=client if beside else None, **HOW)
    assert (source.counts == 1).all()


def test_tiles_are_drawn_before_the_last_pixel_is_read(model, client, tmp_path, pixels, written):
    ds = model.sample(Source(pixels, written).array(), store=tmp_path / "a.zarr", cluster=client, **HOW)
    xr.testing.assert_equal(ds.compute(), model.sample(pixels, dims=images.DIMS, **HOW))


@pytest.mark.parametrize("older", [False, True])
def test_a_bad_last_pixel_is_refused_and_leaves_nothing(model, client, tmp_path, pixels, written, older):
    path, bad = tmp_path / "a.zarr", pixels.astype(np.float32)
    bad[-1, -1, -1] = np.inf
    if older:
        old = model.sample(pixels, dims=images.DIMS, store=path, **HOW).compute()
        written.clear()
    with pytest.raises(InvalidPixels) as first:
        model.sample(bad, dims=images.DIMS, value_range=(0, 255), store=tmp_path / "b.zarr", **HOW)
    with pytest.raises(InvalidPixels) as beside:
        source = Source(bad, written).array()
        model.sample(source, value_range=(0, 255), store=path, cluster=client, overwrite=older, **HOW)
    assert written.is_set() and str(beside.value) == str(first.value)
    if older:
        xr.testing.assert_identical(xr.open_zarr(path).compute(), old)
        assert bayesr.check(path).sound and not list(path.glob(".*"))
    assert [p.name for p in tmp_path.iterdir()] == (["a.zarr"] if older else [])


def test_pixels_far_outside_of_the_range_need_double_precision(model, client, tmp_path, pixels):
    values = pixels.astype(np.float32)
    values[-1, -1, -1] = 1e7
    how = HOW | {"value_range": (0, 255)}
    ds = model.sample(Source(values).array(), store=tmp_path / "a.zarr", cluster=client, **how)
    assert ds["mean"].dtype == np.float64 and bayesr.check(tmp_path / "a.zarr").sound
    xr.testing.assert_equal(ds.compute(), model.sample(values, dims=images.DIMS, **how))


def test_an_interrupt_in_the_first_pass_leaves_nothing(model, client, tmp_path, pixels, written):
    path, source = tmp_path / "a.zarr", Source(pixels, threading.Event())
    original = first_pass.FirstPass._ready

    def interrupt(self, tile):
        if written.is_set():
            source.gate.set()
            raise KeyboardInterrupt
        return original(self, tile)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(first_pass.FirstPass, "_ready", interrupt)
        model.sample(source.array(), store=path, cluster=client, **HOW)
    assert not path.exists()


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_process_killed_in_the_first_pass_begins_again(model, client, tmp_path, pixels, monkeypatch, overwrite):
    """A kill removes nothing: here, what an error would remove stays."""
    path, draw, drawn = tmp_path / "a.zarr", job.draw, []
    if overwrite:
        old = model.sample(pixels[:, ::-1], dims=images.DIMS, store=path, **HOW).compute()
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(replacing, "discard", lambda place: None)
        patch.setattr(first_pass.FirstPass, "complete", killed)
        model.sample(pixels, dims=images.DIMS, store=path, cluster=client, overwrite=overwrite, **HOW)
    place = replacing.write_place(str(path), overwrite=False)
    assert Store(place).finished().any() and not Store(place).declared
    if overwrite:
        xr.testing.assert_identical(xr.open_zarr(path).compute(), old)
    else:
        with pytest.raises(StoreFailed, match="not complete"):
            bayesr.check(path)
    monkeypatch.setattr(job, "draw", lambda *args, **given: drawn.append(args[3].core) or draw(*args, **given))
    other = np.ascontiguousarray(pixels[::-1])  # nothing was known to be valid, so that any image may follow
    ds = model.sample(other, dims=images.DIMS, store=path, cluster=client, resume=True, **HOW)
    assert len(drawn) == len(set(drawn)) == 9
    xr.testing.assert_equal(ds.compute(), model.sample(other, dims=images.DIMS, **HOW))
    assert bayesr.check(path).sound and not list(path.glob(".*"))


def killed(self):
    """Wait for a tile, and end as if the process were killed, without recording the pass."""
    for _ in range(10 * PATIENCE):
        if self._sink.target.finished().any():
            break
        time.sleep(0.1)
    self._completed = True
    raise KeyboardInterrupt


def test_after_an_error_of_drawing_in_the_first_pass_finished_tiles_are_kept(
    model, client, tmp_path, pixels, monkeypatch, written
):
    path, source, draw, drawn = tmp_path / "a.zarr", Source(pixels, threading.Event()), job.draw, []

    def broken(*args, **options):
        if written.is_set():
            source.gate.set()
            raise StoreFailed("broken")
        return draw(*args, **options)

    with monkeypatch.context() as patch, pytest.raises(StoreFailed, match=r"^broken$"):
        patch.setattr(job, "draw", broken)
        model.sample(source.array(), store=path, cluster=client, **HOW)
    assert (source.counts == 1).all(), "the pass has ended"
    done = int(Store(str(path)).finished().sum())
    monkeypatch.setattr(job, "draw", lambda *args, **given: drawn.append(args[3].core) or draw(*args, **given))
    ds = model.sample(pixels, dims=images.DIMS, store=path, resume=True, **HOW)
    assert done and len(drawn) == 9 - done
    xr.testing.assert_equal(ds.compute(), model.sample(pixels, dims=images.DIMS, **HOW))


def test_warnings_are_the_same_and_may_be_errors(client, tmp_path, pixels):
    strange = (pixels[0] // 16 + 100).astype(np.uint8)
    how = {"model": "fluorescence-x4", "n": 2, "tile": 32, "variables": ["mean"]}
    found = []
    for cluster in (None, client):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            ds = bayesr.sample(strange, store=tmp_path / f"{len(found)}.zarr", cluster=cluster, **how)
        found.append([(str(w.message), w.filename, w.category) for w in caught] + [ds.attrs["input_check"]])
    assert found[0] == found[1] and found[0][0][1:] == (__file__, UnfamiliarInput)
    with warnings.catch_warnings(), pytest.raises(UnfamiliarInput):
        warnings.simplefilter("error", UnfamiliarInput)
        bayesr.sample(strange, store=tmp_path / "a.zarr", cluster=client, **how)
    assert not (tmp_path / "a.zarr").exists()


def test_a_store_that_is_resumed_does_not_change_before_its_image_is_known(model, client, tmp_path, pixels):
    path = tmp_path / "a.zarr"
    model.sample(pixels, dims=images.DIMS, store=path, cluster=client, **HOW)
    before = {p: p.read_bytes() for p in path.rglob("*") if p.is_file()}
    with pytest.raises(StoreFailed, match="another input_sha256"):
        model.sample(pixels[::-1], dims=images.DIMS, store=path, cluster=client, resume=True, **HOW)
    assert {p: p.read_bytes() for p in path.rglob("*") if p.is_file()} == before
