import dataclasses

import pytest

import bayesr
from bayesr.errors import UnknownModel


def test_unknown_names_come_with_the_nearest():
    with pytest.raises(UnknownModel, match="natural-x4"):
        bayesr.load("natrual-x4")
    with pytest.raises(UnknownModel, match="neither"):
        bayesr.load("/nowhere/model.safetensors")


def test_bundled_models():
    found = {info.name: info for info in bayesr.models()}
    info = found["natural-x4"]
    assert info.scale == 4 and info.bands == 3 and info.parameters <= 1_000_000 and info.scores
    assert sum(i.bytes for i in found.values()) < 8 * 2**20
    model = bayesr.load("natural-x4")
    assert sum(p.numel() for p in model.generator.parameters()) == info.parameters
    assert model.calibration.images >= 50 and model.card["licence"]
    assert {f.name for f in dataclasses.fields(info)} >= {"domain", "bytes", "path"}
