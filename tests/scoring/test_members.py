import numpy as np
import xarray as xr

import bayesr
from bayesr.scoring import members
from tests.scoring.helpers import same


def test_order_of_members_does_not_matter(ds, truth, scores, model):
    shuffled = ds.isel(realization=np.random.default_rng(0).permutation(8))
    assert not np.array_equal(shuffled["samples"], ds["samples"])
    other = bayesr.score(shuffled, truth, dims="byx", model=model)
    same(scores, other)
    np.testing.assert_array_equal(scores["pit"], other["pit"])


def test_from_a_store_in_small_windows(model, low, ds, truth, scores, tmp_path, monkeypatch):
    model.sample(low, 8, store=tmp_path / "p.zarr", keep_samples=True, tile=12)
    stored = xr.open_zarr(tmp_path / "p.zarr")
    monkeypatch.setattr(members, "_WINDOW_BYTES", 4 * 8 * 3 * 16**2)
    places = members.windows(stored["samples"])
    assert len(places) == 12
    seen = np.zeros(ds["mean"].shape[1:], int)
    for rows, columns in places:
        assert rows.start % 16 == 0 and columns.start % 16 == 0
        seen[rows, columns] += 1
    assert (seen == 1).all()
    same(scores, bayesr.score(tmp_path / "p.zarr", truth, dims="byx", model=model), 1e-2)
    windowed = bayesr.score(ds.chunk(realization=1, y=20, x=20), truth, dims="byx", model=model)
    same(scores, windowed)
