import json
from itertools import pairwise
from pathlib import Path

import pytest

import bayesr
from bayesr.errors import InvalidArgument, InvalidModel, UnknownModel
from bayesr.model.card import MISSING, TEXTS, markdown, page, store_scores, store_text
from bayesr.model.catalogue import models
from bayesr.model.header import write_card

DOCS = Path(__file__).parents[2] / "docs"
SCORES = {"images": 3, "n": 4, "seed": 0, "PSNR": 30.5, "PSNR ±": 0.25, "fair CRPS": 2.0, "estimators": "of a test"}


def test_facts_that_a_file_lacks_are_marked_as_missing(file):
    text = markdown(file)
    for name in ("commit", "licence", "data", "started from", "hardware"):
        assert f"| {name} | {MISSING} |" in text, name
    assert f"**Intended use.** {MISSING}" in text and f"**Limits.** {MISSING}" in text
    assert "| domain | noise |" in text and bayesr.load(file).sha256 in text


@pytest.mark.parametrize("name", TEXTS)
def test_texts_are_stored_and_shown(file, name):
    store_text(file, name, "what | it\nis")
    assert bayesr.load(file).card[name] == "what | it\nis"
    assert "what" in markdown(file) and "it" in markdown(file)
    with pytest.raises(InvalidArgument, match="use"):
        store_text(file, "weights", "none")


def test_every_fact_is_in_the_card(file):
    facts = {
        "recipe": "bayes-srgan",
        "steps": {"fidelity": 1200, "score": 34},
        "seconds": 120,
        "device": "cuda",
        "processes": 2,
        "hardware": "one H200",
        "seed": 17,
        "commit": "abc1234",
        "start": {"model": "other", "sha256": "f" * 64, "steps": {"score": 7}, "start": {"checkpoint": "c.npz"}},
        "remark": {"made": "by hand"},
    }
    write_card(file, facts)
    text = markdown(file)
    for said in (
        "| recipe | bayes-srgan |",
        "| stages | fidelity 1,200 steps, score 34 steps |",
        "| time | 2 minutes |",
        "| hardware | one H200, 2 processes |",
        f"| started from | other, `{'f' * 12}`, score 7 steps; which started from c.npz |",
        "| seed | 17 |",
        "| commit | abc1234 |",
        "| remark | made by hand |",
    ):
        assert said in text, said
    write_card(file, {"start": {}})
    assert "| started from | random weights |" in markdown(file)


def test_the_card_of_a_model_of_several_stages_on_several_machines_says_all_of_them(file):
    backbone = {
        "checkpoint": "fidelity.npz", "recipe": "bayes-srgan", "settings": "bfloat16, 32 patches of 48 x 48",
        "steps": {"fidelity": 18700}, "seconds": 110, "hardware": "one H100 GPU", "data": ["photos_free"],
        "licence": "free licences, by image", "attributions": "photos_free.csv",
    }  # fmt: skip
    head = {
        "model": "natural-x4", "sha256": "a" * 64, "steps": {"score": 2000, "dropout": 300}, "seconds": 7200,
        "hardware": "two cores of a CPU", "start": backbone,
    }  # fmt: skip
    facts = {"recipe": "bayes-srgan", "settings": {"batch": 8}, "hardware": "one H200", "seconds": 60, "start": head}
    write_card(file, {**facts, "data": ["nuclei"], "licence": "CC0"})
    text = markdown(file)
    assert "| settings | batch 8 |" in text and "| data | nuclei |" in text and "| licence | CC0 |" in text
    assert (
        f"| started from | natural-x4, `{'a' * 12}`, score 2,000 steps, dropout 300 steps, 120 minutes on two cores "
        "of a CPU; which started from fidelity.npz, bayes-srgan, bfloat16, 32 patches of 48 x 48, fidelity 18,700 "
        "steps, 2 minutes on one H100 GPU, data: photos_free, licence: free licences, by image, attributions: "
        "photos_free.csv |"
    ) in text


def test_a_start_with_a_card_of_its_own_is_named_and_not_repeated(file):
    sha256 = bayesr.load("natural-x4").sha256
    start = {"model": "its name then", "sha256": sha256, "steps": {"score": 7}, "start": {"checkpoint": "c.npz"}}
    write_card(file, {"start": {"model": "mine", "sha256": "e" * 64, "start": start}})
    line = f"| started from | mine, `{'e' * 12}`; which started from natural-x4, `{sha256[:12]}`: see its card |"
    assert line in markdown(file)


def test_lists_of_attributions_are_named_with_the_command_that_prints_them(file):
    assert "attributions" not in markdown(file)
    store_text(file, "attributions", "photos_free.csv")
    line = "| attributions | photos_free.csv (1,435 images with source and licence): `bayesr card tiny.safetensors "
    assert line + "--attributions` prints them |" in markdown(file)
    store_text(file, "attributions", "mine.csv")
    assert "| attributions | mine.csv: `bayesr card" in markdown(file)
    write_card(file, {"start": {"model": "a", "attributions": "photos_free.csv"}})
    assert "| attributions | photos_free.csv (1,435" in markdown(file), "what it started from saw these images"


def test_scores_of_one_measurement_are_joined_and_others_replaced(file):
    store_scores(file, {"ice": SCORES})
    store_scores(file, {"ice": {"images": 3, "n": 4, "seed": 0, "SSIM": 0.9}, "snow": SCORES})
    kept = bayesr.load(file).card["scores"]
    assert kept["ice"] == SCORES | {"SSIM": 0.9} and kept["snow"] == SCORES
    assert "30.5 ± 0.25" in markdown(file) and "- of a test." in markdown(file)
    store_scores(file, {"ice": {"images": 3, "n": 8, "seed": 0, "SSIM": 0.8}})
    assert bayesr.load(file).card["scores"]["ice"] == {"images": 3, "n": 8, "seed": 0, "SSIM": 0.8}


def test_tables_are_whole(file):
    store_scores(file, {"ice": SCORES, "snow": {"images": 1, "n": 2, "seed": 0, "SSIM": 0.5}})
    lines = markdown(file).splitlines()
    for line, following in pairwise(lines):
        if line.startswith("|") and following.startswith("|"):
            assert line.replace("\\|", "").count("|") == following.replace("\\|", "").count("|")


def test_files_that_are_no_models(tmp_path):
    with pytest.raises(UnknownModel):
        markdown(tmp_path / "absent.safetensors")
    (tmp_path / "a.safetensors").write_bytes(b"nonsense")
    with pytest.raises(InvalidModel):
        write_card(tmp_path / "a.safetensors", {})


@pytest.mark.skipif(not DOCS.is_dir(), reason="the source distribution has no documentation")
def test_the_page_of_the_docs_is_what_the_command_writes():
    """After a model was trained, scored or described: bayesr card --out docs/models.md"""
    text = (DOCS / "models.md").read_text()
    assert text == page(DOCS)
    for info in models():
        assert f"## {info.name}\n" in text


def test_headers_stay_readable_json(file):
    store_text(file, "use", "µm, “quoted” and \\ backslash")
    content = file.read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    assert json.loads(header["__metadata__"]["bayesr"])["card"]["use"] == "µm, “quoted” and \\ backslash"
