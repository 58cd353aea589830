import numpy as np
import pytest
import zarr

import bayesr
from bayesr import report
from bayesr.errors import BandMismatch, InvalidArgument, InvalidProduct, StoreFailed
from bayesr.report.planes import decoded
from tests.report.conftest import data_for


def test_without_members_the_page_says_what_it_cannot_show(ds, truth, tmp_path):
    found = data_for(ds.drop_vars("samples"), truth, tmp=tmp_path / "x.html")
    assert found["members"] is None and found["input"] is None
    lacking = " ".join(f"{item['what']} {item['why']}" for item in found["missing"])
    assert "keep_samples=True" in lacking and "Rank histogram" in lacking and "--img" in lacking
    names = {chart["name"] for chart in found["evidence"]["charts"]}
    assert "reliability" in names and not names & {"ranks", "power"}


def test_the_page_says_that_one_member_has_no_spread(model, low, tmp_path):
    found = data_for(bayesr.sample(low, n=1, model=model), tmp=tmp_path / "x.html")
    assert "std" not in found["planes"] and "mean" in found["planes"]
    assert any(item["what"] == "std" and "one member" in item["why"] for item in found["missing"])


def test_a_store_brings_its_input_and_its_command(places, low, tmp_path):
    found = data_for(places / "scene.zarr", tmp=tmp_path / "x.html")
    np.testing.assert_allclose(decoded(found["input"]), low.transpose(2, 0, 1), atol=found["input"]["step"] / 2)
    assert found["input"]["side"] == 4
    assert found["title"] == "scene.zarr"
    words = found["command"].split()
    assert words[:4] == ["bayesr", "sample", "INPUT", "scene.zarr"]
    assert words[words.index("-n") + 1] == "8" and words[words.index("--seed") + 1] == "0"
    attributes = dict(found["provenance"])
    assert {
        "model_sha256",
        "input_sha256",
        "forward_operator",
        "engine",
        "calibration_source",
        "history",
    } <= attributes.keys()


def test_members_are_drawn_again_from_the_store_and_the_model(places, saved, ds, tmp_path):
    found = data_for(places / "scene.zarr", tmp=tmp_path / "x.html", redraw=2, model=saved)
    assert found["members"]["numbers"] == [0, 1] and found["members"]["redrawn"]
    expected = data_for(ds, tmp=tmp_path / "x.html")["members"]["images"]
    assert found["members"]["images"] == expected[:2]


def test_a_window_is_widened_to_whole_low_resolution_pixels(places, ds, tmp_path):
    found = data_for(places / "scene.zarr", tmp=tmp_path / "x.html", window=(slice(5, 30), slice(9, 41)))
    assert found["window"] == [4, 32, 8, 44]
    mean = ds["mean"][:, 4:32, 8:44]
    np.testing.assert_allclose(decoded(found["planes"]["mean"]), mean, atol=found["planes"]["mean"]["step"] / 2 + 1e-3)
    assert found["input"]["shape"] == [3, 7, 9]


def test_an_unfinished_store_is_refused_with_its_progress(places, tmp_path, low, model):
    store = tmp_path / "half.zarr"
    bayesr.sample(low, n=2, model=model, store=store, tile=8, progress=False)
    done = sorted((store / "progress" / "done" / "c").rglob("[0-9]*/[0-9]*"))
    done[0].unlink()
    with pytest.raises(StoreFailed, match=r"5 of its 6 tiles .*resume"):
        report.write(store, tmp_path / "x.html")
    assert not (tmp_path / "x.html").exists()


def test_bad_input_is_refused_before_anything_is_written(places, ds, truth, low, tmp_path):
    out = tmp_path / "x.html"
    with pytest.raises(StoreFailed, match="no store"):
        report.write(tmp_path / "none.zarr", out)
    with pytest.raises(InvalidArgument, match=r"60 x 96 .*64 x 96"):
        report.write(ds, out, truth[:60])
    with pytest.raises(BandMismatch):
        report.write(ds, out, truth[..., 0])
    with pytest.raises(InvalidProduct, match="lacks"):
        report.write(ds[["mean"]], out)
    with pytest.raises(InvalidProduct, match="checksum"):
        report.write(ds, out, img=low[::-1].copy())
    with pytest.raises(InvalidArgument, match="window"):
        report.write(ds, out, window=(slice(10, 10), slice(0, 4)))
    with pytest.raises(StoreFailed, match="folder"):
        report.write(ds, tmp_path / "nowhere" / "x.html")
    zarr.open_group(tmp_path / "other.zarr", mode="w")
    with pytest.raises((InvalidProduct, StoreFailed)):
        report.write(tmp_path / "other.zarr", out)
    assert not list(tmp_path.glob("*.html*"))
