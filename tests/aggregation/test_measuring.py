import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtri

from bayesr.errors import InvalidArgument
from tests.aggregation.helpers import made, of_members, plain

WIDTH = 2 * ndtri(0.95)


@given(st.integers(2, 60), st.floats(0.05, 0.95))
def test_interval_contains_a_new_draw_with_its_level(n, level):
    """The bounds are the order statistics that give the level, exactly where the ranks allow it."""
    least = (1 + level) / (1 - level)
    ds = made(n, (1, 2, 2))
    if n < least - 1e-6:
        with pytest.raises(InvalidArgument, match="members or more"):
            plain(ds, 2, level=level)
        return
    found = plain(ds, 2, level=level)
    values = np.sort(found["members"].values.ravel())
    rank = (1 - level) / 2 * (n + 1)
    below = values[max(int(rank + 1e-9), 1) - 1]
    above = values[min(int(np.ceil(rank - 1e-9)), n) - 1]
    assert below - 1e-9 <= float(found["lower"].item()) <= above + 1e-9
    assert float(found["upper"].item()) >= float(found["lower"].item())


def test_intervals_cover_new_draws():
    """Averaged over many products. With few members, the interval must be wider than the exact one."""
    rng = np.random.default_rng(0)
    inside, width = [], []
    for _ in range(40):
        x = rng.standard_normal((19, 1, 40, 40)).astype(np.float32)
        found = plain(of_members(x), 1, level=0.9)
        new = rng.standard_normal(1600)
        inside.append(np.mean((found["lower"].values[:, 0] < new) & (new < found["upper"].values[:, 0])))
        width.append(float((found["upper"] - found["lower"]).mean()))
    assert np.mean(inside) == pytest.approx(0.9, abs=0.005)
    assert np.mean(width) > 1.05 * WIDTH


def test_exceedance():
    ds = made(30, (1, 4, 4))
    found = plain(ds, 4, exceed=50.0)
    above = (found["members"] > 50).sum("realization")
    np.testing.assert_allclose(found["exceedance"], (above + 0.5) / 31)
    assert 0 < float(plain(ds, 4, exceed=1e9)["exceedance"].item()) < 0.02
    assert 0.98 < float(plain(ds, 4, exceed=-1e9)["exceedance"].item()) < 1
    assert "exceedance" not in plain(ds, 4)
