import pytest
import xarray as xr

from bayesr.observe import bicubic
from bayesr_bench.problems import GaussianField, Mixture, equal_observations


@pytest.mark.parametrize("make", [lambda t: GaussianField(size=4).dataset(3, 5), lambda t: Mixture().dataset(3),
                                  lambda t: equal_observations(t, bicubic(4), tolerance=3.0, scenes=3)])  # fmt: skip
def test_data_sets_survive_zarr_with_their_card(make, textures, tmp_path):
    ds = make(textures)
    ds.to_zarr(tmp_path / "known.zarr", consolidated=False)
    again = xr.open_zarr(tmp_path / "known.zarr", consolidated=False)
    xr.testing.assert_identical(again.load(), ds)
    assert {"title", "description", "licence", "seed"} <= set(again.attrs) and "bicubic" in again.attrs["observation"]
    assert ds["high"].dims == ("scene", "candidate", "band", "y", "x")
