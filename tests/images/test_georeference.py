import numpy as np
import pytest
import xarray as xr

from bayesr import images
from bayesr.errors import NotUsed
from bayesr.images.georeference import with_reference_system

MAPPING = {"grid_mapping_name": "transverse_mercator", "crs_wkt": "PROJCS[...]"}


def image(name=None, **coords):
    array = xr.DataArray(np.zeros((4, 5)), dims=("y", "x"), coords=coords)
    return array.assign_attrs(grid_mapping=name) if name else array


@pytest.mark.parametrize("name", ["crs", "spatial_ref", "transverse_mercator", "crs:", "crs: x y other: lon lat"])
def test_the_named_grid_mapping_counts(name):
    variable = name.split()[0].rstrip(":")
    array = image(name, **{variable: xr.DataArray(3, attrs=MAPPING), "other": xr.DataArray(1, attrs={"crs_wkt": "no"})})
    found = with_reference_system(array)
    assert found["spatial_ref"].attrs == MAPPING and "grid_mapping" not in found.attrs
    in_encoding = array.drop_attrs(deep=False)
    in_encoding.encoding["grid_mapping"] = name
    assert with_reference_system(in_encoding)["spatial_ref"].attrs == MAPPING


def test_a_variable_of_the_dataset_may_be_the_grid_mapping():
    ds = xr.Dataset({"a": image("utm"), "utm": ((), 0, MAPPING)})
    assert images.source(ds)["spatial_ref"].attrs == MAPPING


def test_without_a_name_the_only_variable_with_a_system_counts():
    found = with_reference_system(image(projection=xr.DataArray(0, attrs=MAPPING), time=xr.DataArray(3)))
    assert found["spatial_ref"].attrs == MAPPING and "time" in found.coords
    assert "spatial_ref" not in with_reference_system(image(time=xr.DataArray(3))).coords


def test_a_grid_mapping_that_is_not_there_is_said():
    with pytest.warns(NotUsed, match=r"'crs'.*decode_coords"):
        images.source(image("crs"))


@pytest.mark.parametrize("name", ["lat", "y", "longitude"])
def test_coordinates_in_two_dimensions_are_said(name):
    curved = xr.DataArray(np.zeros((4, 5)), dims=("row", "col"), coords={name: (("row", "col"), np.ones((4, 5)))})
    with pytest.warns(NotUsed, match=f"{name} are two-dimensional"):
        assert images.source(curved).shape == (1, 4, 5)


def test_coordinates_in_two_dimensions_beside_others_are_no_news():
    images.source(image(y=np.arange(4.0), x=np.arange(5.0), lat=(("y", "x"), np.ones((4, 5)))))
