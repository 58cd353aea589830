import dataclasses
import shutil
from xml.etree import ElementTree

import pytest

import bayesr
from bayesr.calibration.calibration import Calibration
from bayesr.errors import UnknownModel
from bayesr.model import catalogue
from bayesr.model.catalogue import recorded
from bayesr.model.header import read_header, read_tensors
from tests.model.helpers import rewritten


def test_unknown_names_come_with_the_nearest():
    with pytest.raises(UnknownModel, match="natural-x4"):
        bayesr.load("natrual-x4")
    with pytest.raises(UnknownModel, match="neither"):
        bayesr.load("/nowhere/model.safetensors")


def test_bundled_models():
    found = {info.name: info for info in bayesr.models()}
    for name, info in found.items():
        model = bayesr.load(name)
        assert info.scale == (2 if name.endswith("x2") else 4) and info.bands == model.bands, name
        # Sets of clean images say little of a model for noisy ones: the table `degraded` does.
        assert info.scores or not model.promises["consistency"], name
        assert sum(p.numel() for p in model.generator.parameters()) == info.parameters, name
        assert model.calibration.images >= 20 and model.card["licence"] and model.card["domain"], name
        assert model.calibration.provenance["model_sha256"] == model.sha256, "its own calibration"
    assert {
        "natural-x4",
        "natural-x4-fast",
        "fluorescence-x4",
        "microscopy-x4",
        "aerial-x4",
        "camera-x4",
        "natural-x2",
    } <= found.keys()
    assert {f.name for f in dataclasses.fields(info)} >= {"domain", "bytes", "path"}


def test_bundled_models_are_small():
    """The wheel stays small: half precision, and 24 MB in all."""
    infos = bayesr.models()
    assert sum(info.bytes for info in infos) <= 24e6
    for info in infos:
        assert {tensor.dtype for tensor in read_tensors(info.path).values()} <= {"F16", "I64", "I32"}, info.name
        assert info.bytes <= 2 * info.parameters + 200_000, info.name


def test_weights_that_products_of_before_record_are_bundled():
    """The first `natural-x4`; later ones have other weights."""
    checksum = "fe2d3ee7ce755b3431a026f73e368b3cd63b0b9a63a595ce8605b4f8fb6b0837"
    path = recorded("natural-x4", checksum, bayesr.load("natural-x4-fast").calibration.source)
    assert path is not None and read_header(path)["sha256"] == checksum == bayesr.load("natural-x4-fast").sha256
    assert bayesr.load("natural-x4-fast").halo == 44, "tiles of products are drawn again bit for bit"


def test_a_recorded_model_is_found_by_its_checksum(file, tmp_path, monkeypatch):
    folder = tmp_path / "bundled"
    folder.mkdir()
    monkeypatch.setattr(catalogue, "_BUNDLED", folder)
    header = read_header(file)
    how = header["sha256"], header["calibration"]["source"]
    assert recorded("a", *how) is None
    for name in ("a", "b"):
        shutil.copy(file, folder / f"{name}.safetensors")
    assert recorded("b", *how) == folder / "b.safetensors", "the name decides among equal weights"
    assert recorded("c", *how) == folder / "a.safetensors"
    assert recorded("a", "0" * 64, how[1]) is None, "the name alone is not enough"
    assert recorded("c", how[0], "other images") is None, "weights that a user calibrated anew"
    assert recorded("b", how[0], "other images") == folder / "b.safetensors"
    rewritten(folder / "a.safetensors", lambda header: header["calibration"].update(source="other images"))
    assert recorded("c", *how) == folder / "b.safetensors"


def test_models_print_as_a_table(model):
    infos = bayesr.models()
    titles, *rows = repr(infos).splitlines()
    assert titles.split() == ["name", "domain", "scale", "bands", "parameters", "calibrated"]
    assert [row.split()[0] for row in rows] == [info.name for info in infos]
    assert {row[titles.index("scale") :].split()[0] for row in rows} == {f"x{info.scale}" for info in infos}
    assert len(repr(model).splitlines()) == 2 and model.name in repr(model) and "Conv2d" not in repr(model)
    assert "array" not in repr(bayesr.load("natural-x4").calibration)


def test_notebooks_show_models_as_a_table(model):
    page = bayesr.models()._repr_html_()
    table = ElementTree.fromstring(page)
    rows = [[cell.text for cell in row] for row in table]
    assert rows[0] == ["name", "domain", "scale", "bands", "parameters", "calibrated"]
    infos = bayesr.models()
    assert [(row[0], row[1], row[4]) for row in rows[1:]] == [(i.name, i.domain, f"{i.parameters:,}") for i in infos]
    assert {row[5] for row in rows[1:]} == {"yes"} and "color" not in page

    strange = dataclasses.replace(model, name="<b>&", card={"domain": "<script>"}, calibration=Calibration())
    (shown,) = [[cell.text for cell in row] for row in ElementTree.fromstring(strange._repr_html_())][1:]
    parameters = sum(weight.numel() for weight in model.generator.parameters())
    assert shown == ["<b>&", "<script>", "x4", "3", f"{parameters:,}", "no"]
