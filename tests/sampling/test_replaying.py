import copy

import numpy as np
import pytest
import xarray as xr

import bayesr
from bayesr.errors import InvalidArgument, InvalidProduct


@pytest.mark.parametrize("options", [{}, {"tile": 16}, {"masks": 4}])
def test_replay_is_bit_exact(model, photo, options):
    ds = model.sample(photo, 12, **options)
    for i in (0, 5, 11):
        again = bayesr.replay(ds, i, photo, model=model)
        np.testing.assert_array_equal(again, ds["samples"].sel(realization=i))
        xr.testing.assert_equal(again["x"].drop_vars("realization"), ds["x"])


def test_replay_refuses_other_images_and_models(model, photo, ds):
    with pytest.raises(InvalidProduct, match="checksum"):
        bayesr.replay(ds, 0, photo[:, ::-1], model=model)
    with pytest.raises(InvalidArgument, match="0 to 31"):
        bayesr.replay(ds, 32, photo, model=model)
    with pytest.raises(InvalidProduct, match="n"):
        bayesr.replay(xr.Dataset(), 0, photo, model=model)
    other = copy.copy(model)
    object.__setattr__(other, "sha256", "1" * 64)
    with pytest.raises(InvalidProduct, match="another version"):
        bayesr.replay(ds, 0, photo, model=other)
