"""The table of precisions."""

import shutil

import pytest

from bayesr.errors import InvalidArgument
from bayesr.sampling import device as devices
from bayesr_bench.tables import precision


def test_both_precisions_are_measured_on_the_same_images(data, model, tmp_path, monkeypatch):
    shutil.copytree(data / "naip" / "hr", tmp_path / "set5")
    monkeypatch.setattr(devices, "_multiplies_bfloat16", lambda device: True)
    file = model.save(tmp_path / "tiny.safetensors")
    (row,) = precision.command.function(data=tmp_path, model=str(file), sets=("set5",), n=4, limit=2).rows
    assert row["set"] == "set5 (2)"
    for name in ("members", "mean", "std"):
        assert 0 < row[f"{name}, root mean square difference"] < row[f"{name}, largest difference"] < 20
    assert abs(row["covered, float32"] - row["covered, bfloat16"]) < 0.02
    assert row["LR-PSNR, worst member, bfloat16"] >= 58
    assert row["time, bfloat16 / float32"] > 0


def test_hardware_where_it_does_not_pay_is_refused_before_any_work(data, monkeypatch):
    monkeypatch.setattr(devices, "_multiplies_bfloat16", lambda device: False)
    with pytest.raises(InvalidArgument, match="slower"):
        precision.command.function(data=data, device="cpu")
