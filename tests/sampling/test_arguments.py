import numpy as np
import pytest

from bayesr.errors import BandMismatch, InvalidArgument, NotStochastic
from tests.conftest import make_model


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"n": 0}, "at least 1"),
        ({"n": 2.5}, "whole"),
        ({"masks": 5}, "divide"),
        ({"masks": 0}, "divide"),
        ({"level": 1.0}, "between 0 and 1"),
        ({"level": 0.999}, "999 calibration images"),
        ({"seed": -1}, "seed"),
        ({"tile": 0}, "tile"),
        ({"device": "abacus"}, "device"),
        ({"value_range": (3, 1)}, "value_range"),
        ({"overwrite": True, "resume": True, "store": "x.zarr"}, "contradict"),
    ],
)
def test_bad_arguments(model, photo, options, match, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidArgument, match=match):
        model.sample(photo, **({"n": 4} | options))
    assert list(tmp_path.iterdir()) == []


def test_bad_bands_and_models(model, photo):
    with pytest.raises(BandMismatch, match=r"np\.repeat"):
        model.sample(photo[..., 0], 2)
    point = make_model(head_blocks=0)
    with pytest.raises(NotStochastic, match="n=1"):
        point.sample(photo, 2)
    assert np.isfinite(point.sample(photo, 1)["mean"]).all()
