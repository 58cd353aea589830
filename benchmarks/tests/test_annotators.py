import json

import numpy as np
import PIL.Image
import pytest
import torch
from click.testing import CliRunner

from bayesr.cli import main
from bayesr.networks.segmenters.mobile_unet import MobileUNet
from bayesr.segmentation.cases import Case
from bayesr_bench.retina import reduced, retina
from bayesr_bench.tables import annotators
from bayesr_bench.tables.annotators import REFERENCE, Drawn, resampled_error, rows_of


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Both eyes of three children: a vessel that one annotator draws thin, the other thick."""
    root, random = tmp_path_factory.mktemp("retina"), np.random.default_rng(0)
    place = root / "chase_db1"
    for folder in ("hr", "vessel_1st", "vessel_2nd"):
        (place / folder).mkdir(parents=True)
    for name in ("01L", "01R", "02L", "02R", "03L", "03R"):
        image = random.integers(0, 60, (49, 50, 3), dtype=np.uint8)
        image[20:28, :, 1] += 100
        PIL.Image.fromarray(image).save(place / "hr" / f"Image_{name}.png")
        for folder, suffix, rows in (("vessel_1st", "1stHO", (22, 26)), ("vessel_2nd", "2ndHO", (18, 30))):
            mask = np.zeros((49, 50), bool)
            mask[slice(*rows)] = True
            PIL.Image.fromarray(mask).save(place / folder / f"Image_{name}_{suffix}.png")
    return root


def test_retina_is_green_and_reduced_and_eyes_of_a_child_are_one_group(data):
    cases = retina(data)
    assert [case.group for case in cases] == ["01", "01", "02", "02", "03", "03"]
    case = cases[0]
    assert case.image.shape == (1, 24, 25) and case.masks.shape == (2, 24, 25)
    assert case.image[0, 10:14].min() >= 100 and case.image[0, :10].max() < 60
    assert case.masks[0, 11:13].all() and case.masks.sum((1, 2)).tolist() == [50, 150]


def test_masks_are_marked_from_half_on_and_values_are_means():
    masks = np.array([[[7, 0, 0, 0, 9], [8, 0, 0, 1, 9]]])
    case = reduced(Case("x", np.arange(10.0).reshape(1, 2, 5), masks, (0, 9)), 2)
    assert case.masks.tolist() == [[[1, 0]]] and case.image.tolist() == [[[3.0, 5.0]]]


@pytest.mark.parametrize("independent", [True, False])
def test_drawn_masks_have_the_odds_of_the_map(independent):
    torch.manual_seed(0)
    network = Drawn(MobileUNet(width=0.1, depth=1, decoder=(4,)).eval(), independent)
    x = torch.rand(2, 1, 6, 7)
    with torch.no_grad():
        p, masks = network.probability(x), network.maps(x, 2000, torch.Generator().manual_seed(0))
    assert set(masks.unique().tolist()) == {0.0, 1.0}
    torch.testing.assert_close(masks.mean(1), p, atol=0.06, rtol=0)  # five standard errors
    nested = bool((masks.sum((2, 3, 4)).argsort(1).diff(dim=1) != 0).any())
    order = masks[0, masks[0].sum((1, 2, 3)).argsort()]
    assert nested and bool((order.diff(dim=0) >= 0).all()) is not independent


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
    """Images that are copies of each other are no further evidence."""
    random = np.random.default_rng(0)
    first, second = random.standard_normal((2, 12))
    alone = resampled_error(first, second, [str(k) for k in range(12)])
    copies = resampled_error(np.repeat(first, 5), np.repeat(second, 5), [str(k // 5) for k in range(60)])
    assert copies == pytest.approx(alone, rel=0.15)


def test_the_command_records_and_takes_up_what_it_kept(data, tmp_path, monkeypatch):
    monkeypatch.setattr(annotators, "SIZES", {"width": 0.1, "depth": 1, "decoder": (4,)})
    keep, out = tmp_path / "keep", tmp_path / "out"
    call = [
        "bench",
        "annotators",
        "--data",
        str(data),
        "--folds",
        "2",
        "--steps",
        "2",
        "--further",
        "1",
        "--batch",
        "2",
    ]
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
