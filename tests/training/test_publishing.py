import json
from dataclasses import replace

import pytest

import bayesr
from bayesr.model.card import markdown
from bayesr.training.publishing import read_start
from tests.conftest import TINY


@pytest.fixture
def tiny():
    return TINY


def test_cards_record_the_start(folder, tmp_path, tiny):
    nothing = {"fidelity": 0, "score": 0, "critic": 0}
    first = bayesr.train(tiny, folder, out=tmp_path / "first.safetensors", held_out=0)
    second = bayesr.train(
        tiny,
        folder,
        out=tmp_path / "second.safetensors",
        held_out=0,
        start=tmp_path / "first.safetensors",
        steps=nothing,
    )
    assert second.sha256 == first.sha256
    start = second.card["start"]
    assert start["model"] == "first" and start["sha256"] == first.sha256
    assert start["steps"] == {"fidelity": 3, "score": 3, "critic": 4} and start["taken"] > 10 and "fresh" not in start
    third = bayesr.train(
        tiny, folder, out=tmp_path / "third.safetensors", held_out=0, start=second, steps=nothing, bands=1
    )
    assert third.bands == 1 and third.card["start"]["start"]["model"] == "first"
    assert "trunk.head" in third.card["start"]["adapted"], "by stored names"
    fourth = bayesr.train(
        tiny, folder, out=tmp_path / "fourth.safetensors", held_out=0, start=tmp_path / "first.npz", steps=nothing
    )
    assert fourth.card["start"]["checkpoint"] == "first.npz" and fourth.card["start"]["steps"] == 10
    again = dict(held_out=0, steps=nothing | {"fidelity": 1})
    bayesr.train(tiny, folder, out=tmp_path / "fifth.safetensors", start=first, **again)
    last = bayesr.train(tiny, folder, out=tmp_path / "last.safetensors", start=tmp_path / "fifth.npz", **again)
    start = last.card["start"]
    assert start["recipe"] == "tiny" and start["steps"] == 1 and start["start"]["model"] == "first"
    text = markdown(tmp_path / "last.safetensors")
    assert "started from | fifth.npz" in text and "which started from first" in text, "every stage is on the card"


def test_what_a_model_started_from_keeps_its_data_and_licence(model):
    told = {"data": ["photos"], "licence": "CC BY 4.0", "attributions": "photos_free.csv", "hardware": "one GPU"}
    told |= {"recipe": "tiny", "settings": "bfloat16", "steps": {"score": 3}, "start": {"checkpoint": "c.npz"}}
    start = read_start(replace(model, card={**told, "domain": "noise", "scores": {}}))
    assert start.origin == {"model": "tiny", "sha256": model.sha256, **told} and start.checkpoint is None


def test_early_stops_are_in_the_card(folder, tmp_path, tiny):
    steps = {"fidelity": 400, "score": 2, "critic": 2}
    model = bayesr.train(
        tiny, folder, out=tmp_path / "m.safetensors", held_out=4, patience=2, every=1, steps=steps, seed=1
    )
    history = [json.loads(line) for line in (tmp_path / "m.jsonl").read_text().splitlines()]
    last = [record["step"] for record in history if record["stage"] == "fidelity"][-1]
    assert model.card["steps"] == {"fidelity": last, "score": 2, "critic": 2}
