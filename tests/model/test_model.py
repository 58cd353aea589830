import dataclasses
import json

import numpy as np
import pytest
import torch
import xarray as xr
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import bayesr
from bayesr import product
from bayesr.errors import InvalidModel, UnknownModel
from bayesr.model import header
from bayesr.model.model import Model
from bayesr.networks.registry import build
from bayesr.observe import bicubic


@pytest.fixture
def file(model, tmp_path):
    return model.save(tmp_path / "tiny.safetensors")


def rewritten(file, change):
    """The model file with other metadata."""
    with safe_open(file, framework="np") as opened:
        header = json.loads(opened.metadata()["bayesr"])
    change(header)
    save_file(load_file(file), file, metadata={"bayesr": json.dumps(header)})
    return file


def test_round_trip(model, file, photo):
    again = bayesr.load(file)
    assert again.observation == model.observation and again.scale == 4 and again.bands == 3
    assert dict(again.card) == dict(model.card) and again.halo == model.halo
    assert again.calibration.describe() == model.calibration.describe()
    rounded = {k: v.half().float() for k, v in model.generator.state_dict().items()}
    assert all(torch.equal(v, rounded[k]) for k, v in again.generator.state_dict().items())
    xr.testing.assert_equal(again.sample(photo, 2), bayesr.sample(photo, 2, model=str(file)))
    assert again.promises == {"consistency": True, "one_image": True}


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


def test_no_length_of_the_header_looks_like_a_pickle(file):
    """The first byte of a safetensors file is the low byte of a length: any value, 0x80 too."""
    for padding in range(0, 260, 4):
        header.read_header(rewritten(file, lambda h, p=padding: h["card"].update(note="x" * p)))
    starts = set()
    for padding in range(256):
        starts.add(rewritten(file, lambda h, p=padding: h["card"].update(note="x" * p)).read_bytes()[0])
    assert 0x80 in starts


def test_other_versions(file):
    with pytest.raises(InvalidModel, match="upgrade bayesr"):
        bayesr.load(rewritten(file, lambda h: h.update(format=header.FORMAT + 1)))
    with pytest.raises(InvalidModel, match="again"):
        bayesr.load(rewritten(file, lambda h: h.update(format=0)))


def test_another_architecture(file):
    with pytest.raises(InvalidModel, match="cannot be used"):
        bayesr.load(rewritten(file, lambda h: h["architecture"].update(width=16)))


def test_a_declared_halo_is_kept(file):
    """Products of a file that declares more than its network needs are replayed with the same tiles."""
    needed = bayesr.load(file).halo
    wider = bayesr.load(rewritten(file, lambda h: h.update(halo=needed + 8)))
    assert wider.halo == needed + 8 and bayesr.load(wider.save(file)).halo == needed + 8
    assert bayesr.load(rewritten(file, lambda h: h.update(halo=0))).halo == needed
    for halo in (-1, 10**9, "44", None):
        with pytest.raises(InvalidModel, match="halo"):
            bayesr.load(rewritten(file, lambda h, halo=halo: h.update(halo=halo)))


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


def test_bundled_model_keeps_its_promises(photo):
    """Consistency, bounds and spread, with the weights that users get."""
    model = bayesr.load("natural-x4")
    x = torch.from_numpy(model.sample(photo, 8)["samples"].values)
    error = model.observation.observe(x.round()) - torch.from_numpy(photo).permute(2, 0, 1)
    assert (10 * torch.log10(255**2 / error.pow(2).mean((1, 2, 3)))).min() >= 58
    assert x.std(0).mean() > 0.5
    whole, tiled = model.sample(photo, 4), model.sample(photo, 4, tile=9)
    for name in whole.data_vars:
        # The factor is a function of a spread that may be next to nothing: not of the image's range.
        tolerance = 1e-3 if name == "calibration" else 1e-5 * 255 ** product.VARIABLES.get(name, (1,))[0]
        assert np.abs(whole[name] - tiled[name]).max() < tolerance, name


@pytest.mark.parametrize(
    "options",
    [{}, {"direct": True}, {"gaussian_dropout": True}, {"gaussian_dropout": True, "direct": True}, {"latent": 0},
     {"head": "gaussian"}, {"head": "quantile"}],
)  # fmt: skip
def test_every_architecture_survives_its_file(options, photo, tmp_path):
    generator = build(**({"width": 8, "blocks": 1, "head_width": 8, "head_blocks": 2, "latent": 2} | options))
    with torch.no_grad():
        for parameter in generator.parameters():
            parameter.copy_(parameter.half().float())
    made = Model("made", generator.eval().requires_grad_(False), bicubic(4))
    again = bayesr.load(made.save(tmp_path / "made.safetensors"))
    assert again.generator.architecture == generator.architecture
    np.testing.assert_allclose(
        again.sample(photo[:9, :9], 4)["samples"].values, made.sample(photo[:9, :9], 4)["samples"].values, atol=1e-3
    )
