import pytest
import torch
from safetensors.torch import save_file

import bayesr
from bayesr.errors import InvalidModel


def test_a_file_is_replaced_whole_or_not_at_all(model, file, monkeypatch):
    before = file.read_bytes()
    monkeypatch.setattr("pathlib.Path.replace", lambda *a: (_ for _ in ()).throw(OSError("full")))
    with pytest.raises(OSError, match="full"):
        model.save(file)
    assert file.read_bytes() == before and [p.name for p in file.parent.iterdir()] == [file.name]


def test_damaged_files(file, tmp_path):
    whole = file.read_bytes()
    for content in (whole[:500], whole[:-7], b"", b"\0" * 64):
        file.write_bytes(content)
        with pytest.raises(InvalidModel, match="damaged"):
            bayesr.load(file)
    flipped = bytearray(whole)
    flipped[-5] ^= 0x41
    file.write_bytes(flipped)
    with pytest.raises(InvalidModel, match="checksum"):
        bayesr.load(file)
    torch.save({"a": torch.zeros(2)}, tmp_path / "a.pt")
    with pytest.raises(InvalidModel, match="pickle"):
        bayesr.load(tmp_path / "a.pt")
    save_file({"a": torch.zeros(2)}, tmp_path / "b.safetensors")
    with pytest.raises(InvalidModel, match="no bayesr model"):
        bayesr.load(tmp_path / "b.safetensors")
