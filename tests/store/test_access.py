"""What zarr raises becomes an error of bayesr; that all functions use it is tested in ``tests/faults``."""

import numpy as np
import pytest
import xarray as xr
import zarr

from bayesr.errors import InvalidProduct, StoreFailed
from bayesr.store.access import StoredArray, opened, reading

DS = xr.Dataset({"mean": (("y", "x"), np.arange(64.0).reshape(8, 8)), "count": ((), 3.0)})


@pytest.fixture
def place(tmp_path):
    DS.to_zarr(tmp_path / "a.zarr", zarr_format=3, consolidated=False, encoding={"mean": {"chunks": (4, 8)}})
    return tmp_path / "a.zarr"


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (OSError(5, "gone"), StoreFailed),
        (ValueError("bad"), InvalidProduct),
        (InvalidProduct("as it is"), InvalidProduct),
    ],
)
def test_errors_of_reading_are_ours(raised, expected):
    with pytest.raises(expected, match=r"gone|bad|as it is") as found, reading("a.zarr", "mean"):
        raise raised
    assert found.value is raised or found.value.__cause__ is raised


def test_a_group_opens_lazily_and_damage_is_found_where_it_is_read(place):
    ds = opened(str(place), consolidated=False)
    assert ds["mean"].chunks == ((4, 4), (8,)) and ds["count"].item() == 3
    xr.testing.assert_identical(ds.compute(), DS)
    assert set(opened(str(place), consolidated=False, leave_out=["count"])) == {"mean"}
    (place / "mean" / "c" / "1" / "0").write_bytes(b"nothing")
    np.testing.assert_array_equal(ds["mean"][:4], DS["mean"][:4])
    with pytest.raises(InvalidProduct, match=r"mean of .*a.zarr is damaged.*repair=True"):
        ds["mean"].to_numpy()
    (place / "mean" / "zarr.json").write_text("{")
    with pytest.raises(InvalidProduct, match="The metadata of"):
        opened(str(place), consolidated=False)


def test_an_array_is_read_written_and_resized(place):
    array = StoredArray("a.zarr", zarr.open_group(place, mode="r+")["mean"])
    assert (array.path, array.shape, array.chunks, array.files) == ("mean", (8, 8), (4, 8), (4, 8))
    assert not array.sharded
    assert array.file(1, 0) == "mean/c/1/0" and (place / array.file(1, 0)).exists()
    array[0] = 5
    assert (array[0] == 5).all() and array[1, 1] == 9
    (place / array.file(1, 0)).write_bytes(b"nothing")
    with pytest.raises(InvalidProduct, match=r"mean of a\.zarr is damaged"):
        array[7, 0] = 1  # the rest of the chunk would have to be read
    array.resize((12, 8))
    assert array.shape == (12, 8) == zarr.open_group(place)["mean"].shape
