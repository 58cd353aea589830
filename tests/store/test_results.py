"""Results written at once, which replace others when they are whole."""

import numpy as np
import pytest
import xarray as xr

from bayesr.errors import StoreExists, StoreFailed
from bayesr.store.results import write

SCORES = xr.Dataset({"crps": (("y", "x"), np.ones((4, 5)))}, attrs={"bayesr_version": "1", "reference_sha256": "0"})


def test_a_result_is_written_whole_and_replaced_on_request(tmp_path):
    place = tmp_path / "new" / "a.zarr"
    write(SCORES, str(place))
    xr.testing.assert_identical(xr.open_zarr(place).compute(), SCORES)
    with pytest.raises(StoreExists):
        write(SCORES, str(place))
    write((2 * SCORES).assign_attrs(SCORES.attrs), str(place), overwrite=True)
    assert float(xr.open_zarr(place)["crps"].mean()) == 2
    assert {path.name for path in place.iterdir()} == {"crps", "zarr.json"}


def test_a_failure_leaves_the_older_result_and_nothing_else(tmp_path, monkeypatch):
    def full(*args, **options):
        raise OSError(28, "No space left on device")

    write(SCORES, str(tmp_path / "a.zarr"))
    monkeypatch.setattr(xr.Dataset, "to_zarr", full)
    with pytest.raises(StoreFailed, match="nothing of it"):
        write(SCORES, str(tmp_path / "a.zarr"), overwrite=True)
    with pytest.raises(StoreFailed, match="nothing of it"):
        write(SCORES, str(tmp_path / "b.zarr"))
    assert [path.name for path in tmp_path.iterdir()] == ["a.zarr"]
    xr.testing.assert_identical(xr.open_zarr(tmp_path / "a.zarr").compute(), SCORES)


def test_a_store_of_the_user_is_no_result_of_ours(tmp_path):
    mine = SCORES.assign_attrs(bayesr_version="1").drop_attrs()
    mine.to_zarr(tmp_path / "a.zarr", zarr_format=3, consolidated=False)
    with pytest.raises(StoreFailed, match="does not touch"):
        write(SCORES, str(tmp_path / "a.zarr"), overwrite=True)
    xr.testing.assert_identical(xr.open_zarr(tmp_path / "a.zarr", consolidated=False).compute(), mine)
