"""The table of annotators, on tiny images and networks."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from bayesr.cli import main
from bayesr_bench import vessel_networks
from bayesr_bench.tables import annotators
from bayesr_bench.tables.annotators import REFERENCE, resampled_error, rows_of


def test_rows_compare_with_the_unet_over_images_and_children():
    random = np.random.default_rng(0)
    figures = []
    for system, better in ((REFERENCE, 0.0), ("other", 0.2)):
        for k in range(16):
            row = dict.fromkeys(annotators.COLUMNS.values(), 0.5) | {"predicted_share": 0.1 + 0.01 * k}
            row |= {"system": system, "case": str(k), "group": str(k // 2), "true_share": 0.02 * k}
            figures.append(row | {"energy_distance": 0.6 - better + 0.01 * random.random()})
    plain, other = rows_of(figures[::-1])[::-1]
    assert plain["system"] == REFERENCE and np.isnan(plain["p, images"])
    assert other["energy distance minus U-Net's"] == pytest.approx(-0.2, abs=0.01) and other["effect"] == -1
    assert other["p, images"] == pytest.approx(2 / 2**16, rel=1e-3)  # of all signs, two are as extreme
    assert other["p, children"] == pytest.approx(2 / 2**8, rel=1e-3)
    assert other["correlation over images"] == pytest.approx(1)


def test_the_error_of_a_correlation_counts_groups():
    """Copies of images do not make the standard error smaller."""
    random = np.random.default_rng(0)
    first, second = random.standard_normal((2, 12))
    alone = resampled_error(first, second, [str(k) for k in range(12)])
    copies = resampled_error(np.repeat(first, 5), np.repeat(second, 5), [str(k // 5) for k in range(60)])
    assert copies == pytest.approx(alone, rel=0.15)


def test_the_command_records_and_uses_stored_networks_again(retina_data, tmp_path, monkeypatch):
    monkeypatch.setattr(vessel_networks, "SIZES", {"width": 0.1, "depth": 1, "decoder": (4,)})
    keep, out = tmp_path / "keep", tmp_path / "out"
    call = [
        "bench", "annotators", "--data", str(retina_data), "--folds", "2", "--steps", "2", "--further", "1",
        "--batch", "2",
    ]  # fmt: skip
    call += ["--patch", "16", "-n", "2", "--keep", str(keep), "--out", str(out)]
    first = CliRunner().invoke(main, call)
    assert first.exit_code == 0, first.output
    rows = json.loads((out / "annotators.json").read_text())["rows"]
    assert {row["images"] for row in rows} == {6} and len(rows) == 6
    assert all(abs(row["true share"] - 1 / 6) < 0.01 for row in rows)
    again = CliRunner().invoke(main, call)
    assert again.exit_code == 0 and " step " in first.output and " step " not in again.output
    assert json.loads((out / "annotators.json").read_text())["rows"] == rows
    other = CliRunner().invoke(main, [*call, "--beta", "2"])
    assert other.exit_code == 1 and "other terms" in other.output
