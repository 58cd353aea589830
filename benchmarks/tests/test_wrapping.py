"""Uncertainty around an output: calibrated spreads, held-out images, and moved members."""

import numpy as np
import PIL.Image
import pytest
import scoringrules
import torch

from bayesr.errors import InvalidArgument
from bayesr.observe import bicubic
from bayesr_bench import measures, wrapping
from bayesr_bench.sets import Picture, answer, observe
from bayesr_bench.training import LEVEL
from bayesr_bench.wrapping import FEWEST, activity_of, calibrate, held_out, moved, std_of_members

# -- calibrated spreads --------------------------------------------------------------------------


def scene(random, shape=(1, 24, 24)):
    """An output, a truth, and a spread that is three times too small, with errors of heavy tails."""
    deviation = random.uniform(2, 10, shape)
    output = random.uniform(60, 190, shape)
    truth = output + deviation * random.laplace(0, 1, shape)
    return output.astype(np.float32), truth.astype(np.float32), deviation / 3


@pytest.fixture(scope="module")
def calibrated():
    random = np.random.default_rng(0)
    scenes = [scene(random) for _ in range(80)]
    return calibrate([(spread, truth.astype(np.float64) - output) for output, truth, spread in scenes])


def test_calibrated_intervals_hold_on_other_images(calibrated):
    random, covered = np.random.default_rng(1), []
    for output, truth, spread in (scene(random) for _ in range(60)):
        found = calibrated.around(output, spread, np.zeros((6, 6, 1), np.uint8), truth)
        covered.append(measures.coverage(truth, found.lower, found.upper))
        assert found.members.shape == (1, *output.shape) and (found.mean == output).all()
    # 60 images fit lambda: conformal risk control asks for (0.1 61 - 1) / 60 = 8.5% on them.
    assert np.mean(covered) == pytest.approx(LEVEL + 0.015, abs=0.015)


def test_the_crps_is_that_of_the_distribution(calibrated):
    """It equals the score of an ensemble of all quantiles, and rewards the right spread."""
    random = np.random.default_rng(2)
    output, truth, spread = scene(random, (1, 12, 10))
    found = calibrated.around(output, spread, np.zeros((3, 3, 1), np.uint8), truth)
    atoms = calibrated.atoms
    assert (np.diff(atoms) >= 0).all() and atoms.mean() == pytest.approx(0, abs=1e-12)
    ensemble = found.mean.ravel()[:, None] + found.std.ravel()[:, None].astype(float) * atoms
    expected = np.mean(scoringrules.crps_ensemble(found.truth.ravel().astype(float), ensemble, estimator="nrg"))
    assert calibrated.crps(found) == pytest.approx(expected, rel=1e-4)
    assert calibrated.crps(found) < np.mean(np.abs(truth - output))
    for factor in (0.3, 3):
        assert calibrated.crps(found._replace(std=found.std * np.float32(factor))) > calibrated.crps(found)


def test_a_spread_that_knows_where_errors_are_scores_better():
    random = np.random.default_rng(3)
    scenes = [scene(random) for _ in range(80)]
    scores, widths = [], []
    for known in (True, False):
        cases = [(s if known else np.full_like(s, 2.0), t.astype(np.float64) - o) for o, t, s in scenes[:60]]
        fitted = calibrate(cases)
        answers = [
            fitted.around(o, s if known else np.full_like(s, 2.0), np.zeros((6, 6, 1), np.uint8), t)
            for o, t, s in scenes[60:]
        ]
        scores.append(np.mean([fitted.crps(found) for found in answers]))
        widths.append(np.mean([measures.width(found.lower, found.upper) for found in answers]))
    assert scores[0] < 0.99 * scores[1] and widths[0] < 0.99 * widths[1]


def test_activity_is_equal_in_all_bands_and_large_at_an_edge():
    output = np.full((3, 24, 24), 50, np.float32)
    output[..., 12:] = 200
    found = activity_of(output)
    assert found.shape == output.shape and (found == found[:1]).all()
    assert found[0, 12, 12] > 50 and found[0, 12, 2] < 1e-6


# -- held-out images -----------------------------------------------------------------------------


def images(folder, count, first=0):
    folder.mkdir(parents=True, exist_ok=True)
    for k in range(first, first + count):
        pixels = np.random.default_rng(k).integers(0, 256, (12, 16, 3), np.uint8)
        PIL.Image.fromarray(pixels).save(folder / f"{k:03d}.png")
    return folder


def pixels_of(half):
    return [one.pixels.tobytes() for one in half]


def test_each_half_of_the_sets_calibrates_for_the_other(tmp_path):
    images(tmp_path / "set5", 5)
    images(tmp_path / "bsd100", 2 * FEWEST + 1, 100)
    found = held_out(tmp_path, None, 1000)
    for_even, for_odd = map(pixels_of, found.halves)
    assert len(for_even) == FEWEST + 2 and len(for_odd) == FEWEST + 4
    for folder in (tmp_path / "set5", tmp_path / "bsd100"):
        for k, file in enumerate(sorted(folder.iterdir())):
            own = np.asarray(PIL.Image.open(file)).tobytes()
            assert (own in for_even) == (k % 2 == 1) and (own in for_odd) == (k % 2 == 0)
    fewer = held_out(tmp_path, None, FEWEST)
    assert [len(half) for half in fewer.halves] == [FEWEST, FEWEST] and fewer.sha256 != found.sha256
    assert "set5, bsd100" in found.about


def test_too_few_images_in_the_sets_are_noted(tmp_path):
    images(tmp_path / "set5", 2 * FEWEST - 1)
    assert held_out(tmp_path, None, 60).startswith("omitted") and "--calibrate-on" in held_out(tmp_path, None, 60)


def test_a_folder_calibrates_for_all_sets(tmp_path):
    images(tmp_path / "sets" / "set5", 3)
    other = images(tmp_path / "other", FEWEST + 10, 200)
    found = held_out(tmp_path / "sets", other, FEWEST)
    assert found.halves[0] is found.halves[1] and len(set(pixels_of(found.halves[0]))) == FEWEST
    assert found.about == f"{FEWEST} images of other"


def test_a_folder_that_cannot_calibrate_is_refused(tmp_path):
    images(tmp_path / "sets" / "set5", 3)
    other = images(tmp_path / "other", FEWEST - 1, 200)
    with pytest.raises(InvalidArgument, match=rf"at least {FEWEST} .* --held-out 0"):
        held_out(tmp_path / "sets", other, 60)
    images(other, 1, 2)  # an image of Set5
    with pytest.raises(InvalidArgument, match=r"images of set5, which are measured"):
        held_out(tmp_path / "sets", other, 60)


def test_only_the_centre_of_an_image_calibrates(tmp_path):
    folder = tmp_path / "other"
    images(folder, FEWEST)
    large = np.random.default_rng(9).integers(0, 256, (wrapping.SIDE + 20, wrapping.SIDE + 40, 3), np.uint8)
    PIL.Image.fromarray(large).save(folder / "000.png")
    first = held_out(tmp_path / "sets", folder, 60).halves[0][0].pixels
    np.testing.assert_array_equal(first, large[10:-10, 20:-20])


# -- members around an output --------------------------------------------------------------------


def test_moved_members_are_around_the_output_and_consistent(model, photo):
    high = photo[:20, :28]
    found, random = answer(model, Picture(high, False), 6), np.random.default_rng(0)
    output = (found.truth + random.normal(0, 3, found.truth.shape)).astype(np.float32).clip(40, 215)
    found = found._replace(low=observe(output.transpose(1, 2, 0).round().astype(np.uint8)))
    members, operator = found.members.copy(), bicubic(4)
    new = moved(found, output, operator)
    assert new.members.shape == members.shape and new.members.dtype == np.float32
    np.testing.assert_array_equal(found.members, members)
    y = torch.from_numpy(found.low.transpose(2, 0, 1).astype(np.float32))
    np.testing.assert_allclose(operator.observe(torch.from_numpy(new.members)), y.expand(6, -1, -1, -1), atol=0.05)
    projected = operator.project_onto_data_(torch.from_numpy(output.copy()), y).numpy()
    inside = (new.members > 0.01).all(0) & (new.members < 254.99).all(0)
    assert inside.mean() > 0.5
    assert np.abs(new.mean - projected)[inside].max() < 2, "clipping of neighbours moves the mean a little"
    np.testing.assert_allclose(new.mean, new.members.mean(0), atol=1e-3)
    kept = (new.lower > 0) & (new.upper < 255) & (found.lower > 0) & (found.upper < 255)
    np.testing.assert_allclose((new.upper - new.lower)[kept], (found.upper - found.lower)[kept], atol=1e-3)
    np.testing.assert_allclose(std_of_members(new)[inside], std_of_members(found)[inside], atol=2)
