import subprocess
import sys

import numpy as np
import pytest
import xarray as xr

from bayesr.errors import InvalidArgument, InvalidProduct
from bayesr.sampling.products import members_of, open_product, product_of


@pytest.fixture(scope="module")
def store(model, photo, tmp_path_factory):
    place = tmp_path_factory.mktemp("products") / "a.zarr"
    model.sample(photo[:8, :9], 4, store=place, keep_samples=True)
    return place


def test_products_are_opened_from_memory_and_from_stores(ds, store):
    assert open_product(ds) is ds
    for place in (store, str(store), store.as_uri()):
        assert open_product(place).attrs["n"] == 4


def test_other_objects_than_products_are_none(photo, tmp_path):
    xr.Dataset({"image": (("y", "x"), photo[..., 0])}).to_zarr(tmp_path / "image.zarr", consolidated=False)
    (tmp_path / "folder.zarr").mkdir()
    (tmp_path / "folder.zarr" / "zarr.json").write_text("{}")
    for other in (photo, None, tmp_path / "absent.zarr", tmp_path / "image.zarr", tmp_path / "folder.zarr", tmp_path):
        assert open_product(other) is None


def test_options_are_for_images_alone(model, photo, ds, tmp_path):
    assert product_of(ds, tmp_path, None, False, {}) is ds
    with pytest.raises(InvalidArgument, match="leave out n, seed, which are options of sample"):
        product_of(ds, tmp_path, None, False, {"n": 4, "seed": 1})
    drawn = product_of(photo[:8, :9], tmp_path, model, False, {"n": 3})
    assert drawn.sizes["realization"] == 3 and (tmp_path / "product.zarr").exists()


def test_members_are_held_or_drawn_again(model, photo, store, tmp_path):
    ds = xr.open_zarr(store)
    held = members_of(ds, None, None, tmp_path)
    assert held.dims == ("realization", "band", "y", "x")
    bare = ds.drop_vars("samples")
    again = members_of(bare, photo[:8, :9], model, tmp_path, False)
    np.testing.assert_array_equal(again, held)
    part = members_of(bare.isel(y=slice(4, 20)), photo[:8, :9], model, tmp_path / "part", False)
    np.testing.assert_array_equal(part, held[..., 4:20, :])
    own = members_of(bare, None, model, tmp_path / "own", False)
    np.testing.assert_array_equal(own, held)
    with pytest.raises(InvalidProduct, match="img="):
        members_of(bare.drop_encoding(), None, model, tmp_path)


def test_stored_products_are_described_without_torch(store):
    code = f"""
import sys
import bayesr, xarray as xr
place = {str(store)!r}
for product in (place, xr.open_zarr(place)):
    assert bayesr.aggregate(product, 8, level=0.5).sizes["region"] > 1
    assert bayesr.components(product, 2).sizes["component"] == 2
assert "torch" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
