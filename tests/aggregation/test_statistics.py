import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bayesr.aggregation.statistics import resolve_statistic
from bayesr.aggregation.workflow import aggregate
from bayesr.errors import InvalidArgument
from tests.aggregation.helpers import made, plain

NAMED = {"mean": np.mean, "sum": np.sum, "min": np.min, "max": np.max, "median": np.median}


@given(st.sampled_from(sorted(NAMED)), st.integers(0, 99))
def test_statistics_are_those_of_numpy(name, seed):
    ds = made(seed=seed)
    labels = np.random.default_rng(seed).integers(0, 4, (9, 12))
    found, own = plain(ds, labels, name), plain(ds, labels, NAMED[name])
    np.testing.assert_allclose(found["members"], own["members"], rtol=1e-6)
    for region in found["region"].values:
        part = ds["samples"].values[:, :, labels == region].astype(float)
        np.testing.assert_allclose(found["members"].sel(region=region), NAMED[name](part, axis=-1), rtol=1e-6)
    share = plain(ds, labels, "share", threshold=55.0)
    np.testing.assert_allclose(share["members"], plain(ds, labels, lambda v: (v > 55).mean())["members"])
    assert float(share["members"].min()) >= 0 and float(share["members"].max()) <= 1


def test_functions_of_all_bands(ds):
    def index(v):
        return ((v[0] - v[1]) / (v[0] + v[1])).mean()

    found = aggregate(ds, 24, index, all_bands=True, calibrated=False)
    assert found["value"].dims == ("region",) and found["members"].dims == ("realization", "region")
    assert found.attrs["statistic"] == "index" and "band" not in found.coords and "units" not in found["value"].attrs
    x = ds["samples"].values[:, :, :24, :24].astype(float)
    expected = ((x[:, 0] - x[:, 1]) / (x[:, 0] + x[:, 1])).mean((1, 2))
    np.testing.assert_allclose(found["members"][:, 0], expected, rtol=1e-6)
    stretched = aggregate(ds, 24, index, all_bands=True)
    assert float((stretched["std"] / found["std"]).min()) > 1 and stretched["factor"].dims == ("region",)
    with pytest.raises(InvalidArgument, match="goes with a function"):
        aggregate(ds, 24, "mean", all_bands=True)


@pytest.mark.parametrize("statistic", [np.ones(3), ["mean"], None, 5, {}, "nothing"])
@pytest.mark.parametrize("all_bands", [False, True])
def test_what_is_no_statistic_is_refused(statistic, all_bands):
    with pytest.raises(InvalidArgument, match="statistic must be one of"):
        resolve_statistic(statistic, None, all_bands)
