import dataclasses
import json
import resource

import numpy as np
import PIL.Image
import pytest
import torch
from click.testing import CliRunner

import bayesr
from bayesr import observe
from bayesr.cli import main
from bayesr.errors import TrainingFailed
from bayesr.training.data import load_images
from bayesr.training.degradation import Degradation
from bayesr.training.held_out import checksum, gather, read_pairs
from tests.conftest import TINY


@pytest.fixture
def tiny():
    return TINY


def test_train_from_a_folder_to_a_model_file(folder, tmp_path, tiny):
    out = tmp_path / "mine.safetensors"
    records = []
    stopped = bayesr.train(tiny, folder, out=out, held_out=4, time_limit=0, report=records.append)
    assert stopped is None and not out.exists() and len(records) == 1
    assert len(out.with_suffix(".jsonl").read_text().splitlines()) == 1
    with pytest.raises(TrainingFailed, match="resume"):
        bayesr.train(tiny, folder, out=out, held_out=4)
    model = bayesr.train(tiny, folder, out=out, held_out=4, resume=True, every=3, card={"licence": "mine"})
    assert model.name == "mine" and model.card["licence"] == "mine" and model.card["images"] == 2
    assert model.card["start"] == {} and model.card["processes"] == 1
    history = [json.loads(line) for line in out.with_suffix(".jsonl").read_text().splitlines()]
    assert [record["step"] for record in history] == [1, 3, 6, 9, 10]
    assert {"psnr", "seconds", "stage"} <= set(history[-1])
    if bayesr.training.workflow.find_spec("matplotlib"):
        assert np.asarray(PIL.Image.open(out.with_suffix(".png"))).std() > 1
    assert model.calibration.images == 2 and model.calibration.spread.size
    ds = bayesr.sample(np.zeros((5, 6, 3), np.uint8), 2, model=out, level=0.5)
    assert np.isfinite(ds["std"]).all()


def test_model_starts_from_one_of_another_scale_or_degradation(folder, tmp_path, tiny):
    first = bayesr.train(tiny, folder, out=tmp_path / "x2.safetensors", held_out=0, forward_operator=observe.bicubic(2))
    for name, how in (
        ("x4", dict(forward_operator=observe.bicubic(4))),
        ("noisy", dict(forward_operator=observe.bicubic(2), degradation=Degradation(blur=(0, 1), noise=(0.0, 0.02)))),
    ):
        model = bayesr.train(tiny, folder, out=tmp_path / f"{name}.safetensors", held_out=0, start=first, **how)
        assert model.scale == how["forward_operator"].scale and model.card["start"]["model"] == "x2"
        assert ("up.weight" in model.card["start"].get("fresh", [])) == (name == "x4")
        assert not any(layer.startswith("trunk") for layer in model.card["start"].get("fresh", []))


def test_listed_images_are_kept_from_training_and_calibrate(folder, tmp_path, tiny, monkeypatch):
    seen = {}
    real = bayesr.training.workflow.Validation

    def validation(images, *args, **options):
        seen["validated"] = images.names
        return real(images, *args, **options)

    monkeypatch.setattr("bayesr.training.workflow.Validation", validation)
    kept, out = tmp_path / "kept.txt", tmp_path / "m.safetensors"
    kept.write_text("0.png\n3.png\n4.png\n5.png\n")
    model = bayesr.train(tiny, folder, out=out, held_out=kept)
    assert seen["validated"] == tuple(f"photos/{i}.png" for i in (0, 3, 4, 5)) and model.card["images"] == 2
    pairs = gather(model, [folder], held_out=str(kept))
    assert model.calibration.provenance["pairs_sha256"] == checksum(read_pairs(model, pairs))


def test_impossible_arguments_are_refused_before_training(folder, tmp_path, tiny, monkeypatch):
    begun = []
    monkeypatch.setattr("bayesr.training.loop.Trainer.advance", lambda trainer: begun.append(trainer) or {})
    first = tmp_path / "first.safetensors"
    bayesr.train(tiny, folder, out=first, held_out=0, steps={"fidelity": 0, "score": 0, "critic": 0})
    wider = dataclasses.replace(TINY, network=TINY.network | {"width": 12})
    lists = {name: tmp_path / f"{name}.txt" for name in ("three", "unknown", "none")}
    for path, names in zip(lists.values(), ("0 1 2", "0 1 2 nine", ""), strict=True):
        path.write_text("".join(f"{name}.png\n" for name in names.split()))
    small = tmp_path / "small"
    small.mkdir()
    for i in range(6):
        PIL.Image.new("RGB", (20, 20)).save(small / f"{i}.png")
    for recipe, data, bad, message in (
        (tiny, folder, dict(out=tmp_path / "no" / "m.safetensors"), "no folder"),
        (tiny, folder, dict(resume=True), "no checkpoint"),
        (tiny, folder, dict(held_out=2), "4 or more"),
        (tiny, folder, dict(held_out=lists["three"]), "3 held-out images are too few"),
        (tiny, folder, dict(held_out=lists["unknown"]), r"1 of 4 names .*nine\.png"),
        (tiny, folder, dict(held_out=lists["none"]), "is empty"),
        (tiny, folder, dict(held_out="four"), "no list of held-out images four"),
        (tiny, folder, dict(held_out=0, patience=3), "Patience"),
        (tiny, folder, dict(held_out=6), "held out"),
        (tiny, folder, dict(bands=2), "bands"),
        (tiny, small, {}, "32x32 patch"),
        (tiny, tmp_path / "none", {}, "no images"),
        (wider, folder, dict(start=first), "start from"),
        ("none", folder, {}, "There is no recipe"),
    ):
        with pytest.raises(TrainingFailed, match=message):
            bayesr.train(recipe, data, **dict(out=tmp_path / "n.safetensors", held_out=4) | bad)
    assert not begun and not list(tmp_path.glob("n.*"))


def test_a_full_disk_at_the_end_loses_no_checkpoint(folder, tmp_path, tiny):
    """The disk has space for the history, not for the model, which is saved when there is space again."""
    out = tmp_path / "m.safetensors"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    bayesr.train(tiny, folder, out=out, held_out=0, time_limit=0)
    before = out.with_suffix(".npz").read_bytes()
    resource.setrlimit(resource.RLIMIT_FSIZE, (6000, limits[1]))
    try:
        with pytest.raises(TrainingFailed, match="Free some space"):
            bayesr.train(tiny, folder, out=out, held_out=0, resume=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert out.with_suffix(".npz").read_bytes() == before and not out.exists()
    bayesr.train(tiny, folder, out=out, held_out=0, resume=True, every=1)
    model = out.read_bytes()
    resource.setrlimit(resource.RLIMIT_FSIZE, (6000, limits[1]))
    try:
        with pytest.raises(TrainingFailed, match="checkpoint is kept"):
            bayesr.train(tiny, folder, out=out, held_out=0, resume=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert out.read_bytes() == model
    assert not list(tmp_path.glob("*partial*"))


def test_models_of_noisy_observations(folder, tmp_path, tiny):
    noisy = Degradation(noise=(0.01, 0.05))
    out = tmp_path / "noisy.safetensors"
    model = bayesr.train(tiny, folder, out=out, held_out=4, degradation=noisy)
    assert not model.promises["consistency"] and model.forward_operator.noise == 0.05
    assert bayesr.load(out).forward_operator == model.forward_operator
    image = load_images([folder]).images[0]
    ds = model.sample(image, 4, level=0.5)
    assert np.isfinite(ds["std"]).all() and ds["samples"].min() >= 0
    seen = model.forward_operator.observe(torch.from_numpy(ds["samples"].values / 255))
    residual = torch.from_numpy(image / 255).permute(2, 0, 1) - seen
    assert residual.abs().mean() > 1e-3, "members are not bound to what is noisy"
    tiled = model.sample(image, 4, level=0.5, tile=6)
    np.testing.assert_allclose(tiled["samples"], ds["samples"], atol=2.6e-3)


def test_the_command(folder, tmp_path):
    out, tiny = tmp_path / "mine.safetensors", tmp_path / "tiny.py"
    tiny.write_text(FILE)
    given = [
        "train",
        str(tiny),
        str(folder),
        "--out",
        str(out),
        "--held-out",
        "0",
        "--device",
        "cpu",
        "--licence",
        "mine",
    ]
    ran = CliRunner().invoke(main, [*given, "--time-limit", "0"])
    assert ran.exit_code == 3 and "--resume continues" in ran.output and "step=1 stage=fidelity" in ran.output
    ran = CliRunner().invoke(main, [*given, "--resume"])
    assert ran.exit_code == 0 and bayesr.load(out).card["licence"] == "mine"
    ran = CliRunner().invoke(main, given)
    assert ran.exit_code == 1 and "is already there" in ran.output
    ran = CliRunner().invoke(main, [*given, "--resume", "--held-out", str(tmp_path / "kept.txt")])
    assert ran.exit_code == 1 and "no list of held-out images" in ran.output
    ran = CliRunner().invoke(main, [*given, "--resume", "--held-out", "-1"])
    assert ran.exit_code == 2 and "no number of images" in ran.output
    ran = CliRunner().invoke(main, [*given, "--resume", "--noise", "0.2", "0.1"])
    assert ran.exit_code == 1 and "noise is a range" in ran.output


FILE = """
from bayesr.training.recipe import Recipe, Stage

RECIPE = Recipe(
    "tiny",
    dict(width=4, blocks=1, head_width=4, head_blocks=1, latent=1),
    (Stage("fidelity", 1, 1e-3, batch=2, members=0, loss="fidelity"), Stage("score", 1, 1e-3, batch=2)),
    patch=8,
)
"""


def test_an_airy_observation_from_the_command_line(folder, tmp_path):
    recipe, out = tmp_path / "tiny.py", tmp_path / "mine.safetensors"
    recipe.write_text(FILE)
    given = ["train", str(recipe), str(folder), "--out", str(out), "--held-out", "0", "--device", "cpu"]
    optics = ["--na", "0.3", "--sharp-na", "0.7", "--wavelength", "0.5"]
    for bad in (["--kernel", "airy", *optics], [*optics, "--pixel", "0.18"]):
        ran = CliRunner().invoke(main, [*given, *bad])
        assert ran.exit_code == 2 and "--pixel" in ran.output and not list(tmp_path.glob("mine*"))
    ran = CliRunner().invoke(main, [*given, "--kernel", "airy", *optics, "--pixel", "0.18"])
    assert ran.exit_code == 0, ran.output
    model = bayesr.load(out)
    assert model.forward_operator == observe.airy(4, na=0.3, sharp_na=0.7, wavelength=0.5, pixel=0.18)
    assert not model.promises["consistency"] and model.sample(np.zeros((9, 8, 3), np.uint8), 2)["mean"].shape[1] == 36
