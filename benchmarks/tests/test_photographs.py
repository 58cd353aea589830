import numpy as np
import pytest

from bayesr.errors import InvalidArgument
from bayesr.observe import bicubic
from bayesr_bench.problems import equal_observations


def test_equal_observations_are_equal_within_the_tolerance(textures):
    ds = equal_observations(textures, bicubic(4), tolerance=3.0, scenes=20, candidates=4)
    assert dict(ds.sizes) | {"scene": 20, "band": 3, "y": 12, "x": 12} == dict(ds.sizes)
    assert 2 <= ds.sizes["candidate"] <= 4
    gap = np.sqrt(((ds["observed"] - ds["low"]) ** 2).mean(["band", "y_low", "x_low"]))
    assert float(gap.max()) <= 3.0
    np.testing.assert_allclose(ds["probability"].sum("candidate"), 1)
    missing = ds["high"].isnull().all(["band", "y", "x"])
    assert ((ds["probability"] == 0) == missing).all()
    # Block means of a candidate and its observation are both local averages of the same pixels.
    blocks = ds["high"].coarsen(y=4, x=4).mean().rename(y="y_low", x="x_low")
    assert float(abs(blocks - ds["observed"]).max()) < 2.0
    with pytest.raises(InvalidArgument, match="tolerance"):
        equal_observations(textures, bicubic(4), tolerance=1e-6)
