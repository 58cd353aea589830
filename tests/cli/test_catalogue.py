import json

import bayesr
from bayesr.model.attributions import read
from tests.cli.helpers import run


def test_models():
    result = run("models")
    assert result.exit_code == 0 and "natural-x4" in result.output


def test_models_as_json():
    result = run("models", "--json")
    found = json.loads(result.stdout)
    infos = {info.name: info for info in bayesr.models()}
    assert result.stderr == "" and [one["name"] for one in found["models"]] == list(infos)
    for one in found["models"]:
        assert one["parameters"] == infos[one["name"]].parameters and one["calibrated"] is True
    assert found["segmenters"]["nuclei"]["inputs"] == ["member"]


def test_a_card_as_json(model, tmp_path):
    file = model.save(tmp_path / "tiny.safetensors")
    found = json.loads(run("card", file, "--json").stdout)
    saved = bayesr.load(file)
    assert found["name"] == "tiny" and found["sha256"] == saved.sha256 and found["card"] == saved.card
    assert found["architecture"]["scale"] == 4 and found["calibration"]["images"] == 60
    assert [one["name"] for one in json.loads(run("card", "--json").stdout)] == [one.name for one in bayesr.models()]
    for more in (["--attributions"], ["--out", tmp_path / "a.json"]):
        assert run("card", file, "--json", *more).exit_code == 2


def test_attributions_of_a_card(model, tmp_path):
    file = str(model.save(tmp_path / "tiny.safetensors"))
    none = run("card", file, "--attributions")
    assert none.exit_code == 1 and "names no list" in none.output
    result = run("card", file, "--set", "attributions", "photos_free.csv", "--attributions")
    assert result.exit_code == 0 and result.output.startswith("file,source,path,")
    assert len(result.output.splitlines()) == 1 + len(read("photos_free.csv"))
    out = run("card", file, "--attributions", "--out", tmp_path / "a.csv")
    assert out.exit_code == 0 and (tmp_path / "a.csv").read_text() == result.output
    assert run("card", "--attributions").exit_code == 2
