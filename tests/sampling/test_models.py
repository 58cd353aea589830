"""Products of a bundled model whose name has other weights in a later version."""

import dataclasses

import numpy as np
import pytest
import xarray as xr

import bayesr
from bayesr.errors import InvalidProduct, StoreFailed, UnknownModel
from bayesr.model import catalogue
from bayesr.store.layout import Store
from tests.conftest import make_model
from tests.sampling.helpers import disagreement

NAME, KEPT = "wide-x4", "wide-x4-fast"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The folder of bundled models, which holds the first version of one."""
    folder = tmp_path / "bundled"
    folder.mkdir()
    monkeypatch.setattr(catalogue, "_BUNDLED", folder)
    make_model(seed=1).save(folder / f"{NAME}.safetensors")
    return folder


@pytest.fixture
def upgrade(folder):
    """A function that bundles other weights under the name, and those of before under another name, or not at all."""

    def later(keep=True):
        first = folder / f"{NAME}.safetensors"
        if keep:
            first.rename(folder / f"{KEPT}.safetensors")
        make_model(seed=2, head_blocks=1).save(first)

    return later


def sampled(photo, place, model=NAME, **options):
    return bayesr.sample(photo, 4, model=model, tile=16, store=place, level=0.8, **options)


def test_members_are_replayed_and_scored(upgrade, photo):
    ds = bayesr.sample(photo, 4, model=NAME, level=0.8)
    truth = ds["mean"].round().clip(0, 255).astype(np.uint8)
    before = bayesr.score(ds, truth, levels=(0.5, 0.8))
    upgrade()
    np.testing.assert_array_equal(bayesr.replay(ds, 3, photo), ds["samples"].sel(realization=3))
    with pytest.raises(InvalidProduct, match="another version"):
        bayesr.replay(ds, 3, photo, model=NAME)
    scored = bayesr.score(ds.drop_vars("samples"), truth, img=photo, levels=(0.5, 0.8))
    np.testing.assert_allclose(scored["crps_mean"], before["crps_mean"], rtol=1e-4)
    np.testing.assert_array_equal(scored["width"], before["width"])
    assert scored.attrs["interval_source"].endswith(f"the calibration of {KEPT}")
    found = bayesr.aggregate(ds.drop_vars("samples"), 16, "mean", level=0.5, img=photo)
    np.testing.assert_allclose(found["value"], bayesr.aggregate(ds, 16, "mean", level=0.5)["value"], rtol=1e-5)


def test_stores_are_extended_and_repaired(upgrade, photo, tmp_path):
    ds = sampled(photo, tmp_path / "a.zarr").load()
    whole = bayesr.sample(photo, 8, model=NAME, masks=2, level=0.8, keep_samples=False)
    upgrade()
    (tmp_path / "a.zarr" / "mean" / "c" / "0" / "1" / "1").unlink()
    assert bayesr.check(tmp_path / "a.zarr", repair=True).damaged and bayesr.check(tmp_path / "a.zarr").sound
    np.testing.assert_array_equal(xr.open_zarr(tmp_path / "a.zarr")["mean"], ds["mean"])
    longer = bayesr.extend(tmp_path / "a.zarr", 8).compute()
    for name in longer.data_vars:
        assert disagreement(longer, whole, name) < 1e-5, name
    assert longer.attrs["model"] == NAME and longer.attrs["model_sha256"] == bayesr.load(KEPT).sha256


def unfinished(photo, place):
    """Return a product, and let its store lack two tiles."""
    ds = sampled(photo, place).load()
    for at in ((0, 0), (1, 1)):
        Store(str(place)).array("done")[at] = 0
    return ds


def test_an_unfinished_store_goes_on_with_its_own_weights(upgrade, photo, tmp_path):
    ds = unfinished(photo, tmp_path / "a.zarr")
    upgrade()
    with pytest.raises(StoreFailed, match="another model_sha256"):
        sampled(photo, tmp_path / "a.zarr", resume=True, model=bayesr.load(NAME))
    np.testing.assert_array_equal(sampled(photo, tmp_path / "a.zarr", resume=True)["mean"], ds["mean"])
    with pytest.raises(StoreFailed, match="leave resume out"):
        sampled(photo, tmp_path / "none.zarr", resume=True)
    fresh = sampled(photo, tmp_path / "a.zarr", overwrite=True)
    assert fresh.attrs["model_sha256"] == bayesr.load(NAME).sha256


def test_weights_that_no_bundled_model_has_are_named_with_what_to_do(upgrade, photo, tmp_path):
    ds, first = unfinished(photo, tmp_path / "a.zarr"), bayesr.load(NAME)
    first.save(tmp_path / "first.safetensors")
    upgrade(keep=False)
    says = rf"(?s)another version of {NAME}.*{first.sha256[:12]}.*{bayesr.load(NAME).sha256[:12]}.*no bundled.*model="
    for call in (
        lambda: bayesr.replay(ds, 0, photo),
        lambda: bayesr.check(tmp_path / "a.zarr", repair=True),
        lambda: sampled(photo, tmp_path / "a.zarr", resume=True),
    ):
        with pytest.raises(InvalidProduct, match=says):
            call()
    bayesr.check(tmp_path / "a.zarr", repair=True, model=tmp_path / "first.safetensors")
    np.testing.assert_array_equal(xr.open_zarr(tmp_path / "a.zarr")["mean"], ds["mean"])


def test_a_calibration_of_the_user_is_not_that_of_a_bundled_model(folder, photo):
    bundled = bayesr.load(NAME)
    mine = dataclasses.replace(
        bundled, name="mine", calibration=dataclasses.replace(bundled.calibration, source="other images")
    )
    ds = mine.sample(photo, 4)
    assert ds.attrs["model_sha256"] == bundled.sha256
    with pytest.raises(UnknownModel, match="mine"):
        bayesr.replay(ds, 0, photo)
    np.testing.assert_array_equal(bayesr.replay(ds, 0, photo, model=mine), ds["samples"][0])
