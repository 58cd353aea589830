import tracemalloc

import dask.array
import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtri

import bayesr
from bayesr.aggregation.workflow import aggregate
from bayesr.errors import BayesrError, InvalidArgument, InvalidProduct, SegmenterFailed, TooLarge

WIDTH = 2 * ndtri(0.95)


def made(n=24, shape=(2, 9, 12), seed=0, **attrs):
    """A Dataset that holds only members."""
    x = np.random.default_rng(seed).normal(50, 10, (n, *shape)).astype(np.float32)
    return xr.Dataset({"samples": (("realization", "band", "y", "x"), x, attrs)})


def plain(ds, regions, statistic="mean", **options):
    return aggregate(ds, regions, statistic, calibrated=False, **options)


@pytest.fixture(scope="module")
def ds(model, photo):
    """Members of a float image, which are not clipped."""
    return model.sample(photo[:12, :15].astype(np.float32), 24, value_range=(0, 255))


def test_regions_of_one_pixel_are_pixels(ds):
    found = aggregate(ds, 1)

    def image(name):
        return found[name].to_numpy().reshape(48, 60, 3).transpose(2, 0, 1)

    np.testing.assert_allclose(image("std"), ds["std"], rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(image("naive_std"), ds["std"], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(image("value"), ds["mean"], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(image("factor"), ds["calibration"], rtol=1e-4)
    np.testing.assert_allclose(found["centroid_x"].values[:60], ds["x"])


NAMED = {"mean": np.mean, "sum": np.sum, "min": np.min, "max": np.max, "median": np.median}


@given(st.sampled_from(sorted(NAMED)), st.integers(0, 99))
def test_statistics_are_those_of_numpy(name, seed):
    ds = made(seed=seed)
    labels = np.random.default_rng(seed).integers(0, 4, (9, 12))
    found, own = plain(ds, labels, name), plain(ds, labels, NAMED[name])
    np.testing.assert_allclose(found["members"], own["members"], rtol=1e-6)
    for region in found["region"].values:
        part = ds["samples"].values[:, :, labels == region].astype(float)
        np.testing.assert_allclose(found["members"].sel(region=region), NAMED[name](part, axis=-1), rtol=1e-6)
    share = plain(ds, labels, "share", threshold=55.0)
    np.testing.assert_allclose(share["members"], plain(ds, labels, lambda v: (v > 55).mean())["members"])
    assert float(share["members"].min()) >= 0 and float(share["members"].max()) <= 1


@given(st.integers(2, 60), st.floats(0.05, 0.95))
def test_interval_contains_a_new_draw_with_its_level(n, level):
    """The bounds are the order statistics that give the level, exactly where the ranks allow it."""
    least = (1 + level) / (1 - level)
    ds = made(n, (1, 2, 2))
    if n < least - 1e-6:
        with pytest.raises(InvalidArgument, match="members or more"):
            plain(ds, 2, level=level)
        return
    found = plain(ds, 2, level=level)
    values = np.sort(found["members"].values.ravel())
    rank = (1 - level) / 2 * (n + 1)
    below = values[max(int(rank + 1e-9), 1) - 1]
    above = values[min(int(np.ceil(rank - 1e-9)), n) - 1]
    assert below - 1e-9 <= float(found["lower"].item()) <= above + 1e-9
    assert float(found["upper"].item()) >= float(found["lower"].item())


def test_intervals_cover_new_draws():
    """Averaged over many products. With few members, the interval must be wider than the exact one."""
    rng = np.random.default_rng(0)
    inside, width = [], []
    for _ in range(40):
        x = rng.standard_normal((19, 1, 40, 40)).astype(np.float32)
        found = plain(xr.Dataset({"samples": (("realization", "band", "y", "x"), x)}), 1, level=0.9)
        new = rng.standard_normal(1600)
        inside.append(np.mean((found["lower"].values[:, 0] < new) & (new < found["upper"].values[:, 0])))
        width.append(float((found["upper"] - found["lower"]).mean()))
    assert np.mean(inside) == pytest.approx(0.9, abs=0.005)
    assert np.mean(width) > 1.05 * WIDTH


def test_exceedance():
    ds = made(30, (1, 4, 4))
    found = plain(ds, 4, exceed=50.0)
    above = (found["members"] > 50).sum("realization")
    np.testing.assert_allclose(found["exceedance"], (above + 0.5) / 31)
    assert 0 < float(plain(ds, 4, exceed=1e9)["exceedance"].item()) < 0.02
    assert 0.98 < float(plain(ds, 4, exceed=-1e9)["exceedance"].item()) < 1
    assert "exceedance" not in plain(ds, 4)


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


def test_functions_of_all_bands(ds):
    def index(v):
        return ((v[0] - v[1]) / (v[0] + v[1])).mean()

    found = aggregate(ds, 24, index, all_bands=True, calibrated=False)
    assert found["value"].dims == ("region",) and found["members"].dims == ("realization", "region")
    assert found.attrs["statistic"] == "index" and "band" not in found.coords and "units" not in found["value"].attrs
    x = ds["samples"].values[:, :, :24, :24].astype(float)
    expected = ((x[:, 0] - x[:, 1]) / (x[:, 0] + x[:, 1])).mean((1, 2))
    np.testing.assert_allclose(found["members"][:, 0], expected, rtol=1e-6)
    stretched = aggregate(ds, 24, index, all_bands=True)
    assert float((stretched["std"] / found["std"]).min()) > 1 and stretched["factor"].dims == ("region",)
    with pytest.raises(InvalidArgument, match="goes with a function"):
        aggregate(ds, 24, "mean", all_bands=True)


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


def test_members_of_a_store_are_drawn_again(model, photo, tmp_path):
    y = photo[:10, :12].astype(np.float32)
    file = model.save(tmp_path / "tiny.safetensors")
    stored = bayesr.sample(y, 20, model=file, value_range=(0, 255), store=tmp_path / "a.zarr", tile=6)
    with pytest.raises(InvalidProduct, match="img="):
        aggregate(stored, 20)
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
    ds = xr.Dataset({"samples": (("realization", "band", "y", "x"), blocks)})
    square = np.array([(0, 0), (60, 0), (60, 60), (0, 60)])
    monkeypatch.setattr("bayesr.aggregation.measuring._BATCH", side**2)
    plain(made(), 4)  # lazy imports are not measured
    tracemalloc.start()
    plain(ds, {"a": square + 10, "b": square + 300})
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < ds["samples"].nbytes / 8


def test_polygons_on_a_map(model):
    array = xr.DataArray(
        np.random.default_rng(0).integers(0, 99, (3, 10, 12), dtype=np.uint16), dims=("band", "y", "x"),
        coords={"x": 5.0 + 10 * np.arange(12), "y": 95.0 - 10 * np.arange(10),
                "spatial_ref": ((), 0, {"crs_wkt": "W"})},
        attrs={"units": "counts"},
    )  # fmt: skip
    array["x"].attrs["units"] = "m"
    field = {"type": "Feature", "properties": {"name": "field"},
             "geometry": {"type": "Polygon", "coordinates": [[(20, 20), (60, 20), (60, 80), (20, 80)]]}}  # fmt: skip
    ds = model.sample(array, 20)
    found = aggregate(ds, field, exceed=50)
    one = found.sel(region="field")
    assert (float(one["centroid_x"]), float(one["centroid_y"])) == (40, 50) and int(one["pixels"]) == 16 * 24
    assert found["value"].attrs["units"] == found["std"].attrs["units"] == "counts"
    assert found["value"].attrs["cell_methods"] == "area: mean realization: mean"
    assert found["exceedance"].attrs["units"] == "1" and found["centroid_x"].attrs["units"] == "m"
    assert found["spatial_ref"].attrs["crs_wkt"] == "W" and found.attrs["Conventions"].startswith("CF")
    assert aggregate(ds, 20, "share", threshold=1)["value"].attrs["units"] == "1"


def test_results_are_stored(ds, tmp_path):
    found = aggregate(ds, {"left": [(0, 0), (5, 0), (5, 9)], "right": [(9, 9), (5, 5), (5, 9)]}, exceed=100)
    found.to_zarr(tmp_path / "a.zarr", consolidated=False)
    again = xr.open_zarr(tmp_path / "a.zarr", consolidated=False).load()
    again["region"] = again["region"].astype(object)
    xr.testing.assert_identical(found, again)
    found.to_netcdf(tmp_path / "a.nc")
    xr.testing.assert_allclose(found.drop_vars("region"), xr.load_dataset(tmp_path / "a.nc").drop_vars("region"))
    table = found.drop_vars(["members", "realization", "mask"]).to_dataframe()
    assert len(table) == 6 and {"value", "lower", "upper", "pixels", "centroid_x"} <= set(table.columns)


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
    ds.attrs.pop("quantum", None)
    for statistic, shift in (("mean", 1), ("sum", 64), ("median", 1), ("max", 1), (np.mean, 0)):
        found, exact = (aggregate(ds, 8, statistic, quantum=q, exceed=120) for q in (1, 0))
        np.testing.assert_allclose(exact["lower"] - found["lower"], shift / 2, atol=1e-9)
        np.testing.assert_allclose(found["upper"] - exact["upper"], shift / 2, atol=1e-9)
        xr.testing.assert_equal(found["members"], exact["members"])
        inside = np.clip((found["members"] - 120) / max(shift, 1e-12) + 0.5, 0, 1).sum("realization")
        np.testing.assert_allclose(found["exceedance"], (inside + 0.5) / 25)
    assert aggregate(ds, 8, img=y).attrs["quantum"] == 1
    assert aggregate(ds.assign_attrs(quantum=1.0), 8).attrs["quantum"] == 1
    assert aggregate(ds, 8).attrs["quantum"] == 0
    assert aggregate(y, 8, model=model, n=20).attrs["quantum"] == 1
    with pytest.raises(InvalidArgument, match="quantum"):
        aggregate(ds, 8, quantum=-1)
