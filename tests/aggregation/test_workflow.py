import tracemalloc

import dask.array
import numpy as np
import pytest
import xarray as xr

import bayesr
from bayesr.aggregation.workflow import aggregate
from bayesr.errors import BayesrError, InvalidArgument, InvalidProduct, SegmenterFailed, TooLarge
from tests.aggregation.helpers import made, of_members, plain


def test_regions_of_one_pixel_are_pixels(ds):
    found = aggregate(ds, 1)

    def image(name):
        return found[name].to_numpy().reshape(48, 60, 3).transpose(2, 0, 1)

    np.testing.assert_allclose(image("std"), ds["std"], rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(image("naive_std"), ds["std"], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(image("value"), ds["mean"], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(image("factor"), ds["calibration"], rtol=1e-4)
    np.testing.assert_allclose(found["centroid_x"].values[:60], ds["x"])


def test_variance_accounts_for_shared_masks(ds):
    """The variance is split as in the product: between masks and within masks."""
    found = plain(ds, 6)
    t, mask = found["members"].values, ds["mask"].values
    groups = np.stack([t[mask == k] for k in np.unique(mask)])
    latents = groups.shape[1]
    assert len(groups) > 1 and latents > 1
    raw = (1 - 1 / latents) * groups.var(1, ddof=1).mean(0) + groups.mean(1).var(0, ddof=1)
    np.testing.assert_allclose(found["std"], np.sqrt(raw), rtol=1e-9)
    part = plain(ds.isel(realization=slice(0, 23)), 6)  # masks no longer have equal numbers of members
    np.testing.assert_allclose(part["std"], part["members"].std("realization", ddof=1), rtol=1e-9)


def test_missing_pixels_are_left_out(model):
    y = np.random.default_rng(3).random((3, 12, 14)).astype(np.float32)
    y[:, :4, :4] = np.nan
    ds = model.sample(y, 20, nodata=np.nan)
    ds["mean"].load()
    labels = np.full((48, 56), 2)
    labels[:8, :8] = 1  # all missing
    labels[8:, 8:] = 3
    found = aggregate(ds, labels, "sum", exceed=0.0)
    assert int(found["pixels"][0]) == 0 and int(found["pixels"][1]) == int(
        np.isfinite(ds["mean"].values[0][labels == 2]).sum()
    )
    for name in ("value", "std", "lower", "upper", "exceedance", "naive_std", "factor"):
        assert np.isnan(found[name][0]).all() and np.isfinite(found[name][1:]).all(), name
    sums = ds["samples"].values[:, :, labels == 2]
    np.testing.assert_allclose(
        plain(ds, labels, "sum")["members"].sel(region=2), np.nansum(sums.astype(float), -1), rtol=1e-6
    )
    with pytest.raises(InvalidArgument, match="pixel with data"):
        aggregate(ds, (labels == 1).astype(int))


def test_an_image_is_sampled_first(model, photo, ds, monkeypatch):
    y = photo[:12, :15].astype(np.float32)
    found = aggregate(y, 16, model=model, n=24, value_range=(0, 255))
    xr.testing.assert_allclose(found.drop_attrs(), aggregate(ds, 16).drop_attrs())
    assert found.attrs["model"] == "tiny" and "aggregate(mean)" in found.attrs["history"]
    monkeypatch.setattr(
        "bayesr.sampling.workflow.sample",
        lambda *args, **options: pytest.fail("sampled before the arguments are checked"),
    )
    with pytest.raises(InvalidArgument, match="repeat each label"):
        aggregate(y, np.ones((12, 15), int), model=model, n=24)
    with pytest.raises(InvalidArgument, match="19 members"):
        aggregate(y, 16, model=model, n=8)


def test_labels_in_another_reference_system_are_refused_before_sampling(grey_model, photo, monkeypatch):
    here, there = (xr.DataArray(0, attrs={"crs_wkt": f'LOCAL_CS["{name}"]'}) for name in ("here", "there"))
    coords = {"y": 60.0 - np.arange(6), "x": np.arange(7.0)}
    low = xr.DataArray(photo[:6, :7, 0], dims=("y", "x"), coords=coords | {"spatial_ref": here})
    high = {"lat": 60.375 - np.arange(24) / 4, "lon": np.arange(28) / 4 - 0.375}
    labels = xr.DataArray(np.ones((24, 28), int), dims=("lat", "lon"), coords=high | {"spatial_ref": here})
    found = aggregate(low, labels, model=grey_model, n=4, level=0.5)
    assert found["pixels"] == 24 * 28
    monkeypatch.setattr("bayesr.sampling.workflow.sample", lambda *a, **o: pytest.fail("sampled before the check"))
    with pytest.raises(InvalidArgument, match="its reference system is there, the product's here"):
        aggregate(low, labels.assign_coords(spatial_ref=there), model=grey_model, n=4, level=0.5)


def test_members_of_a_store_are_drawn_again(model, photo, tmp_path):
    y = photo[:10, :12].astype(np.float32)
    file = model.save(tmp_path / "tiny.safetensors")
    stored = bayesr.sample(y, 20, model=file, value_range=(0, 255), store=tmp_path / "a.zarr", tile=6)
    with pytest.raises(InvalidProduct, match="img="):
        aggregate(stored.drop_encoding(), 20, model=file)
    kept = aggregate(bayesr.sample(y, 20, model=file, value_range=(0, 255)), 20, "max")
    again = aggregate(str(tmp_path / "a.zarr"), 20, "max", img=y, model=file)
    for name in kept.data_vars:
        np.testing.assert_allclose(again[name], kept[name], rtol=1e-3, atol=0.02)


@pytest.mark.parametrize("chunks", [(1, 1, 4, 5), (24, 2, 9, 7), (1, 2, 9, 12)])
@pytest.mark.parametrize("statistic", ["mean", "median"])
def test_streamed_as_in_memory(chunks, statistic, monkeypatch):
    monkeypatch.setattr("bayesr.aggregation.measuring._BATCH", 1000)
    ds = made()
    lazy = ds.assign(samples=ds["samples"].copy(data=dask.array.from_array(ds["samples"].values, chunks)))
    ring = [[(0.2, 0.3), (9, 1), (7, 8)], [(2, 2), (4, 2), (3, 3)]]
    for regions in (4, [ring]):
        xr.testing.assert_equal(plain(lazy, regions, statistic), plain(ds, regions, statistic))


def test_memory_does_not_grow_with_the_members(monkeypatch):
    """Read a few regions from 20 MB of members."""
    n, side = 20, 512
    blocks = dask.array.random.default_rng(0).random((n, 1, side, side), chunks=(1, 1, 256, 256), dtype=np.float32)
    ds = of_members(blocks)
    square = np.array([(0, 0), (60, 0), (60, 60), (0, 60)])
    monkeypatch.setattr("bayesr.aggregation.measuring._BATCH", side**2)
    plain(made(), 4)  # lazy imports are not measured
    tracemalloc.start()
    plain(ds, {"a": square + 10, "b": square + 300})
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < ds["samples"].nbytes / 8


def test_refusals(ds, monkeypatch):
    for options, message in (
        ({"statistic": "average"}, "'mean', 'sum'"),
        ({"statistic": "share"}, "give threshold="),
        ({"statistic": "mean", "threshold": 3}, "goes with statistic='share'"),
        ({"statistic": np.mean, "threshold": 3}, "its own threshold"),
        ({"level": 1.5}, "between 0 and 1"),
        ({"level": 0.99}, "199 members or more"),
        ({"n": 24}, "drawn already"),
        ({"regions": np.ones((3, 3), int)}, "48 x 60"),
        ({"regions": [[(90, 90), (91, 90), (91, 91)]]}, "reference system"),
        ({"statistic": np.sort}, r"sort must turn an array of shape \(576,\) into one number"),
        ({"statistic": lambda v: "much"}, "into one number"),
    ):
        with pytest.raises(InvalidArgument, match=message):
            aggregate(ds, **({"regions": 24} | options))

    def fails(values):
        raise SegmenterFailed("out of ideas")

    with pytest.raises(SegmenterFailed, match="out of ideas") as caught:
        aggregate(ds, 24, fails)
    assert caught.value.__notes__ == ["It was raised at member 0."]
    with pytest.raises(InvalidProduct, match="calibrated=False"):
        aggregate(made(), 4)
    with pytest.raises(BayesrError):
        aggregate("absent.zarr", 4)
    monkeypatch.setattr("psutil.virtual_memory", lambda: type("Memory", (), {"available": 1000}))
    with pytest.raises(TooLarge, match="larger regions"):
        aggregate(ds, 1)


def test_rounding_widens_intervals(model):
    """The members do not vary with the rounding of the image."""
    y = np.random.default_rng(0).integers(60, 190, (6, 8, 3), dtype=np.uint8)
    ds = model.sample(y, 24)
    ds.attrs.pop("quantisation_step", None)
    for statistic, shift in (("mean", 1), ("sum", 64), ("median", 1), ("max", 1), (np.mean, 0)):
        found, exact = (aggregate(ds, 8, statistic, quantisation_step=q, exceed=120) for q in (1, 0))
        np.testing.assert_allclose(exact["lower"] - found["lower"], shift / 2, atol=1e-9)
        np.testing.assert_allclose(found["upper"] - exact["upper"], shift / 2, atol=1e-9)
        xr.testing.assert_equal(found["members"], exact["members"])
        inside = np.clip((found["members"] - 120) / max(shift, 1e-12) + 0.5, 0, 1).sum("realization")
        np.testing.assert_allclose(found["exceedance"], (inside + 0.5) / 25)
    assert aggregate(ds, 8, img=y).attrs["quantisation_step"] == 1
    assert aggregate(ds.assign_attrs(quantisation_step=1.0), 8).attrs["quantisation_step"] == 1
    assert aggregate(ds, 8).attrs["quantisation_step"] == 0
    assert aggregate(y, 8, model=model, n=20).attrs["quantisation_step"] == 1
    with pytest.raises(InvalidArgument, match="quantisation_step"):
        aggregate(ds, 8, quantisation_step=-1)
