import json

import numpy as np
import xarray as xr

import bayesr
from bayesr import product
from tests.segmentation.helpers import bright


def test_the_result_describes_itself(ds, found):
    assert found["probability"].dims == found["labels"].dims == ("y", "x")
    assert found["intensity"].dims == ("object", "band") and found["member_area"].dims == ("realization", "object")
    for name, variable in found.data_vars.items():
        assert variable.attrs["long_name"], name
        assert "units" in variable.attrs or name.startswith(("intensity", "member_intensity")), name
    xr.testing.assert_equal(found["y"], ds["y"])
    assert found.attrs["segmenter"] == "bright" and found.attrs["model_sha256"] == ds.attrs["model_sha256"]
    assert json.loads(found.attrs["segmentation"])["threshold"] == 0.5


def test_classes_have_maps_and_no_objects(ds):
    def three(image):
        bands = np.stack([image[0] < 1000, (image[0] >= 1000) & (image[0] < 2000), image[0] >= 2000])
        return bands.astype(np.float32)

    found = bayesr.segment(ds, three)
    assert found["probability"].dims == ("class", "y", "x") and "labels" not in found and "object" not in found.dims
    np.testing.assert_allclose(found["probability"].sum("class"), 1, rtol=1e-6)
    np.testing.assert_array_equal(found["mask"], found["probability"].argmax("class"))


def test_a_georeferenced_product_keeps_its_coordinates(grey_model, low):
    image = xr.DataArray(low, dims=("y", "x"), coords={"y": 100.0 - 2 * np.arange(18), "x": 7.0 + 2 * np.arange(22)})
    found = bayesr.segment(image, bright, model=grey_model, n=2)
    assert found["y"][0] > found["y"][-1]
    for dim in ("y", "x"):
        inside = found[f"centre_{dim}"].to_numpy()
        assert (inside > found[dim].min().item()).all() and (inside < found[dim].max().item()).all()
    rows = np.abs(found["centre_y"].to_numpy()[:, None] - found["y"].to_numpy()).argmin(1)
    columns = np.abs(found["centre_x"].to_numpy()[:, None] - found["x"].to_numpy()).argmin(1)
    seen = found["existence"].to_numpy() == 1
    assert (found["labels"].to_numpy()[rows, columns][seen] == found["object"].to_numpy()[seen]).all()


def test_the_coordinate_of_members_is_kept(ds, found):
    np.testing.assert_array_equal(found["realization"], ds["realization"])
    assert found["realization"].attrs["standard_name"] == "realization" and set(product.DIMS) <= set(found.dims)
