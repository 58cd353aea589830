import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bayesr.aggregation.labels import labels_of
from bayesr.errors import ImageNotFound, InvalidArgument

SHAPE = (6, 7)


@given(
    hnp.arrays(np.int16, SHAPE, elements=st.integers(0, 9)),
    st.sampled_from([np.uint8, np.int64, np.uint32, np.float16, np.float32, np.float64]),
    st.permutations(["band", "lat", "lon"]),
)
def test_labels_come_back_as_they_were(labels, dtype, order):
    array = xr.DataArray(labels.astype(dtype)[None], dims=("band", "lat", "lon")).transpose(*order)
    found = labels_of(array)
    assert found.dims == ("y", "x") and found.dtype.kind in "iu"
    np.testing.assert_array_equal(found, labels)


def test_missing_labels_are_outside():
    labels = xr.DataArray(np.full(SHAPE, 3, np.uint8), dims=("row", "col"), attrs={"_FillValue": 255})
    labels[0, 0] = 255
    found = labels_of(labels)
    assert int(found[0, 0]) == 0 and set(np.unique(found)) == {0, 3}
    assert int(labels[0, 0]) == 255, "what was given is not changed"


def test_coordinates_stay():
    labels = xr.DataArray(
        np.ones(SHAPE, bool), dims=("lat", "lon"), coords={"lat": np.arange(6.0), "lon": np.arange(7.0)}
    )
    found = labels_of(labels)
    np.testing.assert_array_equal(found["y"], labels["lat"])
    assert found.dtype == np.uint8


def test_labels_that_a_type_cannot_tell_apart_are_refused(tmp_path):
    for dtype, limit in ((np.float16, 2**11), (np.float32, 2**24), (np.float64, 2**53)):
        labels_of(np.full(SHAPE, limit - 1, dtype))
        with pytest.raises(InvalidArgument, match=f"must be less than {limit}, and the largest is {limit}"):
            labels_of(np.full(SHAPE, limit, dtype))
    with pytest.raises(ImageNotFound):
        labels_of(tmp_path / "absent.tif")
