import copy

import numpy as np
import pytest
import xarray as xr

import bayesr
from bayesr import examples
from bayesr.errors import InvalidArgument, InvalidProduct
from bayesr.sampling.products import members_of


@pytest.mark.parametrize("options", [{}, {"tile": 16}, {"masks": 4}])
def test_replay_is_bit_exact(model, photo, options):
    ds = model.sample(photo, 12, **options)
    for i in (0, 5, 11):
        again = bayesr.replay(ds, i, photo, model=model)
        np.testing.assert_array_equal(again, ds["samples"].sel(realization=i))
        xr.testing.assert_equal(again["x"].drop_vars("realization"), ds["x"])


def test_replay_refuses_other_images_and_models(model, photo, ds):
    with pytest.raises(InvalidProduct, match="checksum"):
        bayesr.replay(ds, 0, photo[:, ::-1], model=model)
    with pytest.raises(InvalidArgument, match="0 to 31"):
        bayesr.replay(ds, 32, photo, model=model)
    with pytest.raises(InvalidProduct, match="n"):
        bayesr.replay(xr.Dataset(), 0, photo, model=model)
    other = copy.copy(model)
    object.__setattr__(other, "sha256", "1" * 64)
    with pytest.raises(InvalidProduct, match="another version"):
        bayesr.replay(ds, 0, photo, model=other)


def test_a_store_is_replayed_from_its_own_image(model, photo, tmp_path):
    inside = model.sample(photo, 4, tile=16)
    model.sample(photo, 4, tile=16, store=tmp_path / "a.zarr")
    ds = xr.open_zarr(tmp_path / "a.zarr")
    np.testing.assert_array_equal(bayesr.replay(ds, 2, model=model), inside["samples"][2])
    part = ds.isel(y=slice(4, 40))
    for given in (part, str(tmp_path / "a.zarr")):
        found = bayesr.components(given, 2, model=model)
        assert found["component"].size == 2
    with pytest.raises(InvalidProduct, match="comes from no store"):
        bayesr.replay(inside, 2, model=model)


@pytest.mark.parametrize("kept", [False, True])
def test_members_of_an_image_with_missing_pixels_are_drawn_again_from_its_copy(model, photo, tmp_path, kept):
    """The copy has a wider type than the image, and a marker of missing pixels that was not given."""
    alpha = np.full((*photo.shape[:2], 1), 255, np.uint8)
    alpha[4:9, 7:12] = 0
    image = xr.DataArray(np.concatenate([photo, alpha], -1), dims=("y", "x", "band"))
    image.encoding["alpha_band"] = 3
    inside = model.sample(image, 4, tile=16)
    ds = model.sample(image, 4, tile=16, store=tmp_path / "a.zarr")
    (tmp_path / "again").mkdir()
    again = members_of(ds, image if kept else None, model, tmp_path / "again")
    assert inside["samples"].isnull().any() and float(inside["samples"].max()) == 255
    np.testing.assert_array_equal(again, inside["samples"])


@pytest.mark.parametrize("kept", [False, True])
def test_members_of_an_image_with_a_place_are_drawn_again_where_they_lie(model, tmp_path, kept):
    """The copy in the store has no coordinates, and the product has those of the GeoTIFF, whose bands count from 1."""
    inside = model.sample(examples.aerial(), 4, tile=48)
    ds = model.sample(examples.aerial(), 4, tile=48, store=tmp_path / "a.zarr")
    img = examples.aerial() if kept else None
    (tmp_path / "again").mkdir()
    part = {"y": slice(8, 100), "x": slice(20, 60), "band": slice(1, 3)}
    again = members_of(ds.isel(part), img, model, tmp_path / "again")
    np.testing.assert_array_equal(again, inside["samples"].isel(part))
    one = bayesr.replay(ds, 2, img, model=model)
    np.testing.assert_array_equal(one, inside["samples"][2])
    for name in ("band", "y", "x", "spatial_ref"):
        for found, expected in ((again, ds.isel(part)), (one, ds)):
            np.testing.assert_array_equal(found[name], expected[name])
            assert found[name].attrs == expected[name].attrs


def test_a_product_with_a_place_is_used_without_its_members(model, tmp_path):
    kept = model.sample(examples.aerial(), 4)
    ds = model.sample(examples.aerial(), 4, store=tmp_path / "a.zarr")
    reference = np.repeat(np.repeat(np.zeros((64, 64, 3), np.uint8), 4, 0), 4, 1)
    for use in (
        lambda given: bayesr.score(given, reference, model=model)["crps"],
        lambda given: bayesr.components(given, 1, model=model)["components"],
    ):
        found, expected = use(ds), use(kept)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-3)
        np.testing.assert_array_equal(found["y"], kept["y"])
