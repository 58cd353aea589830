import numpy as np
import pytest
import xarray as xr

import bayesr
from bayesr.errors import BandMismatch, BayesrError, InvalidArgument, InvalidPixels, InvalidProduct, StoreFailed
from tests.scoring.helpers import same


def test_missing_pixels_are_left_out(ds, truth, model):
    partial = truth.astype(float)
    partial[1, :10, :20] = np.nan  # missing in one band only
    scores = bayesr.score(ds, partial, dims="byx", model=model)
    hole = np.zeros(truth.shape[1:], bool)
    hole[:10, :20] = True
    for name in ("crps", "pit", "covered", "zscore"):
        assert np.isnan(scores[name].values[:, hole]).all()
        defined = np.broadcast_to(~hole, truth.shape)
        if name == "zscore":  # where all members lie at a bound, std is 0
            defined = defined & (ds["std"].values > 0)
        assert np.isfinite(scores[name].values[defined]).all()
    assert scores.attrs["missing_pixels"] == 200
    # Other pixels have the same scores as without missing pixels.
    whole = bayesr.score(ds, truth.astype(float), dims="byx", model=model)
    np.testing.assert_array_equal(scores["crps"].values[:, ~hole], whole["crps"].values[:, ~hole])
    assert float(scores["mae"]) == pytest.approx(np.nanmean(np.abs(partial - ds["mean"].values)[:, ~hole]))
    assert all(np.isfinite(scores[n]).all() for n in ("ssim", "energy_score", "spectrum_distance", "lr_psnr", "ence"))
    assert scores["rank_histogram"].sum() == 3 * (~hole).sum()
    with pytest.raises(InvalidPixels):
        bayesr.score(ds, np.full(truth.shape, np.nan), dims="byx", model=model)


def test_mismatched_sizes_and_parts_of_products(ds, truth, low, model, tmp_path):
    with pytest.raises(InvalidArgument, match=r"47 x 60 .* 48 x 60"):
        bayesr.score(ds, truth[:, 1:], dims="byx")
    with pytest.raises(BandMismatch):
        bayesr.score(ds, truth[:1], dims="byx")
    with pytest.raises(InvalidArgument, match="levels"):
        bayesr.score(ds, truth, dims="byx", levels=(1.0,))
    with pytest.raises(InvalidProduct, match="5 of its 8"):
        bayesr.score(ds.isel(realization=slice(5)), truth, dims="byx")
    with pytest.raises(InvalidProduct, match="lower"):
        bayesr.score(ds.drop_vars("lower"), truth, dims="byx")
    with pytest.raises(StoreFailed):
        bayesr.score(tmp_path / "absent.zarr", truth)
    with pytest.raises(StoreFailed):
        bayesr.score(tmp_path, truth)
    part = ds.isel(y=slice(4, 40))
    of_part = bayesr.score(part, truth[:, 4:40], dims="byx", model=model)
    assert np.isfinite(of_part["lr_psnr"])
    bare = part.drop_vars(["samples", "realization", "mask"])
    same(of_part, bayesr.score(bare, truth[:, 4:40], dims="byx", img=low, model=model))
    odd = ds.isel(y=slice(4, 39))
    assert np.isnan(bayesr.score(odd, truth[:, 4:39], dims="byx", model=model)["lr_psnr"]), "no whole number of pixels"
    with pytest.raises(BayesrError, match="another version"):
        bayesr.score(ds, truth, dims="byx", model="natural-x4")


@pytest.fixture(scope="module")
def placed(model, low):
    """A product in a reference system, whose first row is in the north."""
    coords = {
        "y": 100.0 - np.arange(12), "x": 7.0 + np.arange(15), "band": ["red", "green", "blue"],
        "spatial_ref": ((), 0, {"crs_wkt": 'LOCAL_CS["here"]'}),
    }  # fmt: skip
    return model.sample(xr.DataArray(low, dims=("y", "x", "band"), coords=coords), 4)


@pytest.fixture(scope="module")
def high(placed, truth):
    """The reference of this product."""
    return placed["mean"].copy(data=truth).drop_attrs()


def test_a_reference_on_the_grid_of_the_product_is_scored_in_any_form(placed, high, model):
    expected = bayesr.score(placed, high, model=model)
    assert expected["x"].equals(placed["x"]) and float(expected["psnr"]) > 20
    for form in (
        high.transpose("x", "band", "y"),
        high.rename(y="lat", x="lon"),
        high.rename(y="northing", x="easting").transpose(..., "northing"),
        high.rename(y="row", x="col", band="channel").drop_vars(["row", "col", "channel"]),
        high.drop_vars(["y", "x", "band", "spatial_ref"]),
        high.drop_vars("spatial_ref").chunk({"y": 20}),
        high.assign_coords(y=high["y"].astype(np.float32), band=[1, 2, 3]),
    ):
        same(bayesr.score(placed, form, model=model).drop_vars("band"), expected.drop_vars("band"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda high: high.assign_coords(x=high["x"] + 0.25), "its x runs from 6.875"),
        (lambda high: high.sortby("y"), "its y runs from 88.625 to 100.375, the product's from 100.375 to 88.625"),
        (lambda high: high.isel(x=slice(None, None, -1)), "its x runs"),
        (lambda high: high.assign_coords(y=high["y"] * np.nan), "its y runs from nan"),
        (lambda high: high.assign_coords(x=high["x"].where(high["x"] > 8)), "its x runs from nan"),
        (lambda high: high.drop_vars("x"), "it has coordinates, but none along x"),
        (lambda high: high.drop_vars("y").rename(x="lon", y="lat"), "it has coordinates, but none along y"),
        (lambda high: high.rename(x="lon").assign_coords(lon=high["x"].values - 1), "its x runs"),
        (lambda high: high.isel(band=[2, 1, 0]), r"reference\.sel\(band=ds\.band\)"),
        (lambda high: high.assign_coords(spatial_ref=((), 0, {"crs_wkt": 'LOCAL_CS["there"]'})), "system is there"),
    ],
)
def test_a_reference_on_another_grid_is_refused(placed, high, model, change, message):
    with pytest.raises(InvalidProduct, match=message):
        bayesr.score(placed, change(high), model=model)


def test_a_part_of_another_product_is_no_reference(ds, model):
    """Coordinates in input pixels are those of one image."""
    with pytest.raises(InvalidProduct, match="its y runs"):
        bayesr.score(ds.isel(y=slice(8, 24)), ds["mean"].isel(y=slice(4, 20)), model=model)


def test_lr_psnr_compares_with_the_image_only_where_the_product_covers_it(placed, high, low, model):
    coords = {"y": 100.0 - np.arange(12), "x": 7.0 + np.arange(15)}
    given = xr.DataArray(low, dims=("y", "x", "band"), coords=coords)
    whole = bayesr.score(placed, high, img=given, model=model)
    flipped = bayesr.score(placed.sortby("y"), high.sortby("y"), img=given, model=model)
    assert "the image that was sampled" in whole["lr_psnr"].attrs["estimator"]
    assert "the reference's" in flipped["lr_psnr"].attrs["estimator"]
