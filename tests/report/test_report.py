"""Pages of products: what they hold is what the product says, to the precision that they state."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
import xarray as xr
import zarr
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

import bayesr
from bayesr import report
from bayesr.cli import main
from bayesr.errors import BandMismatch, InvalidArgument, InvalidProduct, StoreFailed
from bayesr.report import panels
from bayesr.report.describe import described
from bayesr.report.evidence import ABOVE, BELOW, INSIDE
from bayesr.report.page import page
from bayesr.report.planes import Plane, decoded

ADDRESS = re.compile(
    r"""(?:src|href)\s*=\s*["']?(?!data:)[\w/.]|url\((?!#)|@import|https?://(?!www\.w3\.org/2000/svg)"""
)


@pytest.fixture(scope="module")
def truth():
    """A scene with an edge, texture and flat parts; `y x x x band`, uint8."""
    y, x = np.mgrid[0:64, 0:96] / 64
    scene = np.stack([x / 1.5, 0.5 + 0.4 * np.sin(25 * x * y), (x > y) * 0.8 + 0.1])
    return (scene * 255).round().astype(np.uint8).transpose(1, 2, 0)


@pytest.fixture(scope="module")
def low(truth):
    return truth.reshape(16, 4, 24, 4, 3).mean((1, 3)).round().astype(np.uint8)


@pytest.fixture(scope="module")
def saved(tmp_path_factory, model):
    """The model's file."""
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    model.save(path)
    return path


@pytest.fixture(scope="module")
def ds(saved, low):
    return bayesr.sample(low, n=8, model=saved)


@pytest.fixture(scope="module")
def places(tmp_path_factory, saved, low):
    """The folder of a store."""
    folder = tmp_path_factory.mktemp("report")
    bayesr.sample(low, n=8, model=saved, store=folder / "scene.zarr", progress=False)
    return folder


def told(product, reference=None, tmp=None, **options):
    given = {"img": None, "window": None, "redraw": 0, "progress": False} | options
    return described(product, reference, tmp, **given)


def data_of(path):
    return json.loads(re.search(r'id="data">(.*?)</script>', path.read_text("utf-8"), re.S).group(1))


# -- planes --------------------------------------------------------------------------------------

values = arrays(
    np.float32, array_shapes(min_dims=3, max_dims=3, max_side=6),
    elements=st.floats(-1e4, 1e4, width=32) | st.just(float("nan")),
)  # fmt: skip


@given(values, st.sampled_from([0.1, 1.0, 7.0]), st.booleans())
def test_a_plane_is_read_back_to_half_its_step(array, step, root):
    made = Plane(array, step, root).encoded()
    back = Plane(decoded(made), step, root).scaled
    np.testing.assert_array_equal(np.isnan(back), np.isnan(array))
    np.testing.assert_allclose(back, Plane(array, step, root).scaled, atol=made["step"] / 2 + 1e-9 * 1e4)
    assert made["step"] >= step


def test_the_estimate_of_a_planes_size_is_near_its_size():
    noise = np.random.default_rng(0).normal(0, 5, (1, 200, 200))
    plane = Plane(noise, 0.5)
    real = 6 * len(plane.encoded()["data"])
    assert plane.bits() < real < 1.15 * plane.bits()
    assert plane.coarser(4).bits() < plane.bits() - 1.5 * noise.size  # two bits of noise less, or nearly


# -- panels --------------------------------------------------------------------------------------


@given(st.integers(1, 9), st.integers(0, 5), st.integers(0, 5))
def test_block_means_keep_sums_and_leave_missing_pixels_out(side, hidden_y, hidden_x):
    image = np.arange(6 * 7.0).reshape(1, 6, 7)
    image[0, hidden_y, hidden_x] = np.nan
    blocks = panels.block_means(image, side)
    ones = panels.block_means(np.where(np.isnan(image), np.nan, 1.0), side)
    sizes = np.add.reduceat(np.add.reduceat(np.isfinite(image), range(0, 6, side), 1), range(0, 7, side), 2)
    assert np.nansum(blocks * sizes) == pytest.approx(np.nansum(image))
    assert set(ones[np.isfinite(ones)]) <= {1.0}
    assert blocks.shape[1:] == (-(-6 // side), -(-7 // side))


@pytest.mark.parametrize("factor", [1, 3])
def test_reading_piece_by_piece_is_reading_at_once(ds, factor, monkeypatch):
    view = panels.View(slice(4, 60), slice(8, 88), factor)
    monkeypatch.setattr(panels, "_READ", 7)
    expected = panels.block_means(ds["std"][:, 4:60, 8:88].to_numpy(), factor)
    np.testing.assert_allclose(panels.reduced(ds["std"], view), expected, rtol=1e-6)
    assert view.shape == expected.shape[1:]


def test_what_others_determine_is_not_stored_and_comes_back(ds, tmp_path):
    found = told(ds, tmp=tmp_path / "x.html")
    assert not {"lower", "upper"} & found["planes"].keys()
    how = found["intervals"]
    mean, std = (decoded(found["planes"][name]) for name in ("mean", "std"))
    slack = found["planes"]["mean"]["step"] / 2 + how["factor"] * found["planes"]["std"]["step"] / 2 + 1e-3
    reach = how["factor"] * std + how["pad"]
    np.testing.assert_allclose(np.clip(mean - reach, *how["bounds"]), ds["lower"], atol=slack)
    np.testing.assert_allclose(np.clip(mean + reach, *how["bounds"]), ds["upper"], atol=slack)
    factor = found["planes"]["calibration"]
    np.testing.assert_allclose(decoded(factor), ds["calibration"], atol=factor["step"] / 2 + 1e-6)


def test_intervals_that_follow_no_formula_are_stored(ds, tmp_path):
    changed = ds.assign(lower=ds["lower"] - 20 * (ds["y"] > 8))
    found = told(changed, tmp=tmp_path / "x.html")
    assert found["intervals"] is None
    plane = found["planes"]["lower"]
    np.testing.assert_allclose(decoded(plane), changed["lower"], atol=plane["step"] / 2 + 1e-3)


def test_variances_keep_their_sign_and_the_precision_of_their_root(ds, tmp_path):
    plane = told(ds, tmp=tmp_path / "x.html")["planes"]["epistemic"]
    signed = np.sign(ds["epistemic"]) * np.sqrt(np.abs(ds["epistemic"]))
    back = decoded(plane)
    np.testing.assert_allclose(np.sign(back) * np.sqrt(np.abs(back)), signed, atol=plane["step"] / 2 + 1e-4)
    assert (back < 0).any()


def test_members_are_pictures_within_the_error_that_is_stated(ds, tmp_path):
    drawn = told(ds, tmp=tmp_path / "x.html")["members"]
    assert drawn["numbers"] == list(range(8)) and drawn["of"] == 8
    assert 0 < drawn["error"] < 25
    shift = panels._read_back(panels._picture(panels._codes(ds["samples"][3].to_numpy(), 0, 255), 92), 3)
    assert np.sqrt(np.mean((shift - ds["samples"][3].to_numpy()) ** 2)) < 2 * drawn["error"] + 1


@pytest.mark.parametrize("bands", [1, 2, 3, 5])
def test_pictures_of_any_number_of_bands_are_read_back_band_by_band(bands):
    y, x = np.mgrid[0:32, 0:48]
    codes = np.stack([(y * (band + 1) + 2 * x) % 160 + 40 for band in range(bands)]).astype(np.uint8)
    back = panels._read_back(panels._picture(codes, 92), bands)
    assert back.shape == codes.shape
    assert np.abs(back.astype(int) - codes).mean() < 6


def test_a_page_of_a_million_pixels_stays_below_8_mb(tmp_path):
    """Noise, which compresses worst, in three bands and eight members."""
    rng, shape = np.random.default_rng(0), (3, 1024, 1024)
    mean = rng.uniform(0, 255, shape).astype(np.float32)
    std = rng.uniform(1, 20, shape).astype(np.float32)
    member = mean + rng.normal(0, 1, shape).astype(np.float32) * std
    one = xr.DataArray(member.clip(0, 255), dims=("band", "y", "x"))
    arrays = {
        "mean": mean, "std": std, "lower": mean - 2 * std, "upper": mean + 2 * std, "calibration": std / 10,
        "aleatoric": std**2, "epistemic": rng.normal(0, 9, shape).astype(np.float32),
    }  # fmt: skip
    made = xr.Dataset({name: (("band", "y", "x"), values) for name, values in arrays.items()})
    made["samples"] = one.expand_dims(realization=8)
    made.attrs = {"value_range": [0.0, 255.0], "n": 8, "masks": 4, "seed": 0, "level": 0.9, "scale": 4, "quantum": 1.0}
    out = report.write(made, tmp_path / "noise.html")
    assert out.stat().st_size < 8_000_000
    found = data_of(out)
    assert found["factor"] > 1 or found["averaged"]  # which the page says
    assert found["members"]["numbers"]


# -- evidence ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def held(ds, truth, low, tmp_path_factory):
    return told(ds, truth, tmp=tmp_path_factory.mktemp("r") / "x.html", img=low)


def test_states_are_where_the_reference_lies(ds, truth, held):
    state, real = decoded(held["planes"]["state"]), truth.transpose(2, 0, 1)
    np.testing.assert_array_equal(state == BELOW, real < ds["lower"])
    np.testing.assert_array_equal(state == ABOVE, real > ds["upper"])
    coverage = {figure["name"]: figure["value"] for figure in held["evidence"]["figures"]}["coverage"]
    assert np.mean(state == INSIDE) == pytest.approx(coverage)


def test_regions_average_to_the_coverage(held):
    region, state = decoded(held["planes"]["region"]), decoded(held["planes"]["state"])
    side = int(held["evidence"]["region"])
    again = panels.block_means(np.mean(state == INSIDE, 0), side)
    np.testing.assert_allclose(region[0], again, atol=1e-3)


def test_figures_and_curves_are_those_of_score(ds, truth, held):
    scores = bayesr.score(ds, truth)
    figures = {figure["name"]: figure["value"] for figure in held["evidence"]["figures"]}
    for name in ("psnr", "crps_mean", "spread_skill", "ence", "ause_rmse"):
        assert figures[name] == pytest.approx(float(scores[name])), name
    charts = {chart["name"]: chart["spec"]["series"] for chart in held["evidence"]["charts"]}
    assert {"reliability", "spread", "ranks", "sparsification", "activity", "power"} == charts.keys()
    ranks = np.asarray(charts["ranks"][0]["y"])
    assert ranks.mean() == pytest.approx(1) and ranks.size == 9
    curve, oracle = (np.asarray(series["y"]) for series in charts["sparsification"])
    assert curve[0] == pytest.approx(1) and oracle[0] == pytest.approx(1) and (oracle <= curve + 1e-9).all()
    reliability = dict(zip(charts["reliability"][0]["x"], charts["reliability"][0]["y"], strict=True))
    assert reliability[0.9] == pytest.approx(float(scores["coverage"].sel(level=0.9)))


def test_without_members_the_page_says_what_it_cannot_show(ds, truth, tmp_path):
    found = told(ds.drop_vars("samples"), truth, tmp=tmp_path / "x.html")
    assert found["members"] is None and found["input"] is None
    lacking = " ".join(f"{item['what']} {item['why']}" for item in found["missing"])
    assert "keep_samples=True" in lacking and "rank histogram" in lacking and "--img" in lacking
    names = {chart["name"] for chart in found["evidence"]["charts"]}
    assert "reliability" in names and not names & {"ranks", "power"}


def test_one_member_has_no_spread_and_that_is_said(model, low, tmp_path):
    found = told(bayesr.sample(low, n=1, model=model), tmp=tmp_path / "x.html")
    assert "std" not in found["planes"] and "mean" in found["planes"]
    assert any(item["what"] == "std" and "one member" in item["why"] for item in found["missing"])


# -- stores --------------------------------------------------------------------------------------


def test_a_store_brings_its_input_and_its_command(places, low, tmp_path):
    found = told(places / "scene.zarr", tmp=tmp_path / "x.html")
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
        "observation",
        "engine",
        "calibration_source",
        "history",
    } <= attributes.keys()


def test_members_are_drawn_again_from_the_store_and_the_model(places, saved, ds, tmp_path):
    found = told(places / "scene.zarr", tmp=tmp_path / "x.html", redraw=2, model=saved)
    assert found["members"]["numbers"] == [0, 1] and found["members"]["redrawn"]
    expected = told(ds, tmp=tmp_path / "x.html")["members"]["images"]
    assert found["members"]["images"] == expected[:2]


def test_a_window_is_widened_to_whole_low_resolution_pixels(places, ds, tmp_path):
    found = told(places / "scene.zarr", tmp=tmp_path / "x.html", window=(slice(5, 30), slice(9, 41)))
    assert found["window"] == [4, 32, 8, 44]
    mean = ds["mean"][:, 4:32, 8:44]
    np.testing.assert_allclose(decoded(found["planes"]["mean"]), mean, atol=found["planes"]["mean"]["step"] / 2 + 1e-3)
    assert found["input"]["shape"] == [3, 7, 9]


def test_an_unfinished_store_is_refused_with_how_far_it_is(places, tmp_path, low, model):
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


# -- the file ------------------------------------------------------------------------------------


def test_a_page_needs_nothing_else(ds, truth, tmp_path):
    out = report.write(ds, tmp_path / "x.html", truth)
    text = out.read_text("utf-8")
    outside = re.sub(r'<script type="application/json".*?</script>', "", text, flags=re.S)
    assert not ADDRESS.search(outside), ADDRESS.search(outside)
    assert "default-src 'none'" in text and "{{" not in outside
    assert [p.name for p in tmp_path.iterdir()] == ["x.html"]


def test_what_comes_from_outside_cannot_end_a_script_or_begin_an_element(ds, tmp_path):
    evil = "</script><script>alert(1)</script><!--{{style}}"
    out = report.write(ds.assign_attrs(history=evil, model=evil), tmp_path / "x.html")
    text = out.read_text("utf-8")
    assert "alert(1)</script>" not in text and "<!--" not in text.split('id="data"')[1]
    assert dict(data_of(out)["provenance"])["history"] == evil
    title = re.search("<title>(.*?)</title>", page("product.html", {}, "<b>&"), re.S)
    assert title and title.group(1) == "&lt;b&gt;&amp;"


def test_numbers_that_json_lacks_become_null():
    text = page("product.html", {"a": [float("nan"), np.float32("inf"), np.arange(2)]}, "t")
    assert '{"a":[null,null,[0,1]]}' in text


def test_the_command_writes_the_page_beside_the_store(places, truth, monkeypatch):
    import PIL.Image

    monkeypatch.chdir(places)
    PIL.Image.fromarray(truth).save("truth.png")
    ran = CliRunner().invoke(main, ["report", "scene.zarr", "--reference", "truth.png"], catch_exceptions=False)
    assert ran.exit_code == 0 and (places / "scene.html").exists(), ran.output
    assert data_of(places / "scene.html")["evidence"]["pixels"] == 64 * 96
    wrong = CliRunner().invoke(main, ["report", "none.zarr"])
    assert wrong.exit_code == 1 and "no store" in wrong.output
