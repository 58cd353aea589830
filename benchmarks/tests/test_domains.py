import json
from dataclasses import replace

import numpy as np
import PIL.Image
import pytest
from click.testing import CliRunner

import bayesr
from bayesr.cli import main
from bayesr.errors import DataNotFound
from bayesr_bench.protocol import luma, psnr, psnr_ssim, upsample
from bayesr_bench.record import error_of_mean
from bayesr_bench.sets import answer, labels, observe, read_folder, read_set
from bayesr_bench.tables.domains import measure, rows_of
from bayesr_bench.tables.sheet import SIDE, chosen, draw, liveliest, row_of


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Nuclei, one of them stained, one in colour; and aerial images."""
    root, random = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    nuclei, aerial = root / "dsb2018" / "images", root / "naip" / "hr"
    nuclei.mkdir(parents=True)
    aerial.mkdir(parents=True)
    for k in range(3):
        blocks = random.integers(0, 200, (14, 13), dtype=np.uint8) // 4
        PIL.Image.fromarray(blocks.repeat(8, 0).repeat(8, 1)).save(nuclei / f"dark{k}.png")
        colour = random.integers(0, 255, (6, 5, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
        PIL.Image.fromarray(colour).save(aerial / f"{k}.png")
    PIL.Image.fromarray(np.full((40, 40), 220, np.uint8)).save(nuclei / "stained.png")
    PIL.Image.fromarray(np.zeros((40, 40, 3), np.uint8)).save(nuclei / "colour.png")
    return root


def test_nuclei_are_the_dark_grey_ones(data):
    pictures = read_set(data, "nuclei", 3)
    assert list(pictures) == ["dark0", "dark1", "dark2"]
    assert all(p.grey and p.pixels.shape == (111, 102, 1) for p in pictures.values())
    with pytest.raises(DataNotFound, match="set5"):
        read_set(data, "set5")


@pytest.mark.parametrize("bands", [1, 3])
def test_every_model_answers_every_picture(data, model, grey_model, bands):
    network = grey_model if bands == 1 else model
    for name, shown in (("nuclei", 1), ("aerial", 3)):
        picture = next(iter(read_set(data, name).values()))
        found = answer(network, picture, 4)
        shape = (shown, *picture.pixels.shape[:2])
        assert found.members.shape == (4, *shape)
        assert all(a.shape == shape for a in (found.mean, found.std, found.lower, found.upper, found.truth))
        np.testing.assert_array_equal(found.truth, picture.pixels.transpose(2, 0, 1))
        np.testing.assert_allclose(found.members.mean(0), found.mean, atol=1e-3)
        seen = observe(found.members[0].transpose(1, 2, 0).round().astype(np.uint8), network.observation)
        assert np.abs(seen.astype(int) - found.low).max() <= 3


def test_a_model_against_itself_and_a_worse_one(data, model):
    pictures = list(read_set(data, "aerial").values())
    scores = measure(model, pictures, 4, 0)
    worse = {k: [v - 1 for v in values] if k == "PSNR" else values for k, values in scores.items()}
    rows = rows_of({"aerial": {"a": scores, "b": worse}}, "a")
    assert [row["model"] for row in rows] == ["a", "b"] and rows[0]["set"] == "aerial (3)"
    assert np.isnan(rows[0]["PSNR minus a's"])
    assert rows[1]["PSNR minus a's"] == -1 and rows[1]["PSNR minus a's ±"] == pytest.approx(0, abs=1e-6)
    assert rows[1]["fair CRPS minus a's"] == 0
    assert rows[0]["PSNR ±"] == pytest.approx(np.std(scores["PSNR"], ddof=1) / np.sqrt(3), abs=1e-4)


def test_scores_get_into_the_file(data, model, grey_model, tmp_path):
    files = [m.save(tmp_path / f"{name}.safetensors") for m, name in ((model, "rgb"), (grey_model, "grey"))]
    sha = [bayesr.load(file).sha256 for file in files]
    args = ["bench", "domains", "--data", data, "--against", files[0], "--models", files[1], "--models", files[0]]
    args += ["--sets", "nuclei", "--sets", "aerial", "-n", 2, "--limit", 2, "--write-scores", "--out", tmp_path]
    result = CliRunner().invoke(main, list(map(str, args)))
    assert result.exit_code == 0, result.output
    rows = json.loads((tmp_path / "domains.json").read_text())["rows"]
    assert [(r["set"], r["model"]) for r in rows] == [
        (f"{s} (2)", m) for s in ("nuclei", "aerial") for m in ("grey", "rgb")
    ]
    assert rows[0]["PSNR minus rgb's"] is not None and rows[1]["PSNR minus rgb's"] is None
    assert [bayesr.load(file).sha256 for file in files] == sha
    kept = bayesr.load(files[1]).card["scores"]["nuclei"]
    assert kept["PSNR"] == rows[0]["PSNR"] and (kept["images"], kept["n"], kept["seed"]) == (2, 2, 0)


def test_models_of_one_name_are_told_apart(model):
    other = replace(model, sha256="1" * 64)
    assert labels([model]) == ["tiny"] and labels([model, other]) == ["tiny 000000", "tiny 111111"]


def test_grey_values_are_taken_as_they_are():
    random = np.random.default_rng(0)
    a, b = random.integers(0, 255, (2, 32, 32, 1), dtype=np.uint8)
    inside = (slice(4, -4), slice(4, -4))
    expected = 10 * np.log10(255**2 / np.mean((a[inside].astype(float) - b[inside]) ** 2))
    assert psnr(a, b, True) == pytest.approx(expected)
    assert psnr_ssim(a, b, True)[0] == pytest.approx(expected)
    assert psnr(a, b, False) == pytest.approx(expected + 20 * np.log10(255 / 219))
    assert psnr(a, a, True) > 100 and luma(a, 2).shape == (28, 28)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_upsampling_keeps_straight_lines(scale):
    y, x = np.mgrid[0:20, 0:16]
    found = upsample(np.stack([3 * y + 5 * x], -1).astype(np.uint8), scale)[..., 0]
    inner = found[3 * scale : -3 * scale, 3 * scale : -3 * scale]
    np.testing.assert_allclose(np.diff(inner, axis=0), 3 / scale, atol=1e-9)
    np.testing.assert_allclose(np.diff(inner, axis=1), 5 / scale, atol=1e-9)


def test_errors_of_means():
    assert error_of_mean([1, 2, 3, np.nan]) == pytest.approx(1 / np.sqrt(3))
    assert np.isnan(error_of_mean([1])) and np.isnan(error_of_mean([]))


def test_the_liveliest_crop():
    pixels = np.zeros((200, 150, 3), np.uint8)
    pixels[100:140, 60:100] = 255
    top, left = liveliest(pixels, 50)
    assert 60 < top <= 130 and 20 < left <= 90


def test_a_row_shows_one_window_of_everything(data, grey_model):
    name, picture, corner = chosen(read_set(data, "nuclei"), "nuclei")[0]
    assert name == "nuclei\ndark0"
    row = row_of(grey_model, name, picture, corner, 4, 0)
    assert len(row.images) == 7 and all(image.shape == (SIDE, SIDE, 3) for image in row.images)
    truth, window = row.images[-1], (slice(corner[0], corner[0] + SIDE), slice(corner[1], corner[1] + SIDE))
    assert (truth.min(), truth.max()) == (0, 255), "grey crops are stretched to the full contrast"
    order = np.argsort(picture.pixels[window].ravel(), kind="stable")
    assert (np.diff(truth[..., 0].ravel()[order].astype(int)) >= 0).all()
    assert (row.images[0][:4, :4] == row.images[0][0, 0]).all(), "the input is enlarged, not interpolated"
    sheet = draw([row, row], "a title")
    assert sheet.size[0] > 8 * SIDE and sheet.size[1] > 2 * SIDE


def test_sheets_are_of_sets_and_of_folders(data, model, tmp_path):
    file = model.save(tmp_path / "tiny.safetensors")
    for source in (["--data", data, "--set", "nuclei"], ["--images", data / "dsb2018" / "images"]):
        out = tmp_path / "sheet.png"
        args = ["bench", "sheet", "--model", file, "-n", 4, "--out", out, *source]
        result = CliRunner().invoke(main, list(map(str, args)))
        assert result.exit_code == 0, result.output
        with PIL.Image.open(out) as picture:
            assert picture.mode == "RGB"
    small = CliRunner().invoke(main, ["bench", "sheet", "--model", str(file), "--images", str(data / "naip" / "hr")])
    assert small.exit_code == 1 and "larger" in small.output
    assert CliRunner().invoke(main, ["bench", "sheet"]).exit_code == 2
    assert len(read_folder(data / "naip" / "hr")) == 3
