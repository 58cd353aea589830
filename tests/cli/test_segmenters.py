import numpy as np
import PIL.Image
import pytest
from click.testing import CliRunner

import bayesr
from bayesr.cli import main
from bayesr.segmentation.segmenter import load

SMALL = ["--width", "0.35", "--depth", "2", "--batch", "2", "--patch", "32"]


@pytest.fixture
def folders(tmp_path):
    """Four images of a square, drawn by two annotators, one of whom draws it larger."""
    for name in ("images", "narrow", "wide"):
        (tmp_path / name).mkdir()
    rng = np.random.default_rng(0)
    for i in range(4):
        top, left = rng.integers(4, 16, 2)
        narrow, wide = np.zeros((2, 32, 32), np.uint8)
        narrow[top : top + 8, left : left + 8] = 1
        wide[top - 2 : top + 10, left - 2 : left + 10] = 1
        for name, values in (("images", 40 + 150 * narrow), ("narrow", narrow), ("wide", wide)):
            PIL.Image.fromarray(values.astype(np.uint8)).save(tmp_path / name / f"{i}.png")
    return tmp_path


def run(*args):
    return CliRunner().invoke(main, ["train-segmenter", *map(str, args)])


def test_training_stops_at_the_time_limit_and_resumes(folders):
    given = [folders / "images", folders / "narrow", "--out", folders / "s.safetensors", *SMALL, "--steps", 3]
    stopped = run(*given, "--time-limit", 0)
    assert stopped.exit_code == 3 and "Time is up at step 1 of 3" in stopped.output
    assert not (folders / "s.safetensors").exists()
    done = run(*given, "--held-out", 0, "--smallest", 5, "--threshold", 0.4, "--data", "squares")
    assert done.exit_code == 0, done.output
    segmenter = load(folders / "s.safetensors")
    assert (segmenter.smallest, segmenter.threshold, segmenter.card["data"]) == (5, 0.4, "squares")
    assert segmenter.card["steps"] == 3
    image = np.asarray(PIL.Image.open(folders / "images" / "0.png"))[None].astype(np.float32)
    assert segmenter(image, (0.0, 255.0)).probability.shape == (32, 32)


@pytest.mark.parametrize("kind", ["annotators", "probabilistic-unet"])
def test_several_annotators(folders, kind):
    given = [folders / "images", folders / "narrow", folders / "wide", "--network", kind, *SMALL, "--steps", 2]
    done = run(*given, "--out", folders / "s.safetensors", "--held-out", 1)
    assert done.exit_code == 0 and "on 1 held out" in done.output, done.output
    assert load(folders / "s.safetensors").card["held_out"]["cases"] == 1


def test_uncertainty_as_channels_and_as_weight(folders, grey_model):
    grey_model.save(folders / "tiny.safetensors")
    low = np.asarray(PIL.Image.open(folders / "images" / "0.png"))[::4, ::4]
    ds = bayesr.sample(low, 2, model=folders / "tiny.safetensors")
    for kind, inputs in (("channels", ("mean", "std")), ("weight", ("mean",))):
        out = folders / f"{kind}.safetensors"
        done = run(
            folders / "images", folders / "narrow", "--out", out, *SMALL, "--steps", 1, "--objects",
            "--uncertainty", kind, "--model", folders / "tiny.safetensors", "-n", 2,
        )  # fmt: skip
        assert done.exit_code == 0, done.output
        assert load(out).inputs == inputs
        found = bayesr.segment(ds, out)  # it sees these variables of the product, once
        assert found["probability"].shape == (32, 32) and "realization" not in found.dims
        assert float(found["mutual_information"].max()) == 0
        with pytest.raises(bayesr.BayesrError, match="does not hold"):
            bayesr.segment(ds.drop_vars("mean"), out)


def test_invalid_arguments_are_refused_before_training(folders):
    given = [folders / "images", "--out", folders / "s.safetensors"]
    assert "at least one folder of masks" in run(*given).output
    assert "cannot be held out" in run(*given[:1], folders / "narrow", *given[1:], "--held-out", 4).output
    assert "there is no folder" in run(folders / "images", folders / "narrow", "--out", folders / "no" / "s").output
    assert not list(folders.glob("s.*"))
