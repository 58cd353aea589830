import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bayesr.errors import BandMismatch, InvalidArgument, TrainingFailed
from bayesr.networks.segmenters.mobile_unet import MobileUNet
from bayesr.segmentation.cases import Case
from bayesr.segmentation.fit import cross_validate, fit, folds, measure
from bayesr.segmentation.segmenter import Segmenter

tiny = partial(MobileUNet, 1, 1, 0.25, 2)
QUICK = dict(steps=6, batch=2, patch=16)


def discs(seed: int, side: int = 40, annotators: int = 1) -> Case:
    """Bright discs on a dark, noisy background; objects may touch."""
    rng = np.random.default_rng(seed)
    y, x = np.indices((side, side))
    labels = np.zeros((side, side), np.int32)
    for number in range(1, 6):
        cy, cx = rng.integers(5, side - 5, 2)
        labels[((y - cy) ** 2 + (x - cx) ** 2 <= 20) & (labels == 0)] = number
    image = 20 + 60 * (labels > 0) + rng.normal(0, 8, labels.shape)
    return Case(f"{seed}", image[None].astype(np.float32), np.stack([labels] * annotators), (0.0, 100.0))


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    return [discs(seed) for seed in range(8)]


def network(**options: int) -> MobileUNet:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return MobileUNet(**({"width": 0.25, "depth": 2} | options))


# -- training --------------------------------------------------------------------------------


def test_training_learns(cases):
    """Discs in images outside the training set are segmented, unlike by an untrained network."""
    told = []
    options = dict(steps=60, batch=4, patch=32, rate=5e-3, scaling="percentiles", card={"data": "discs"})
    segmenter = fit(cases[:6], network(), progress=lambda *now: told.append(now), name="discs", **options)
    fresh = Segmenter("fresh", network().eval(), scaling="percentiles")
    assert measure(segmenter, cases[6:])["dice"] > 0.85 > 0.6 > measure(fresh, cases[6:])["dice"]
    assert segmenter.name == "discs" and segmenter.card["data"] == "discs" and segmenter.card["steps"] == 60
    assert told[-1][0] == 60 and 0 < told[-1][1] < 1.5
    assert not segmenter.network.training


@pytest.mark.parametrize("optimiser", ["adam", "nadam"])
def test_a_resumed_training_equals_an_uninterrupted_one(cases, tmp_path, optimiser):
    """They are equal bit for bit, wherever training stops."""
    options = QUICK | dict(optimiser=optimiser, blur=1.0, noise=0.05)
    whole = fit(cases, network(), **options)
    stopped = tmp_path / "stopped.npz"
    for _ in range(3):
        part = fit(cases, network(), checkpoint=stopped, time_limit=0, **options)
    assert part.card["steps"] == 3
    done = fit(cases, network(), checkpoint=stopped, **options)
    assert done.card["steps"] == 6
    for name, value in whole.network.state_dict().items():
        np.testing.assert_array_equal(done.network.state_dict()[name], value, err_msg=name)
    with pytest.raises(TrainingFailed, match="settings"):
        fit(cases, network(), checkpoint=stopped, **(options | {"rate": 0.1}))
    with pytest.raises(TrainingFailed, match="network"):
        fit(cases, network(depth=1), checkpoint=stopped, **options)


def test_training_changes_neither_the_given_network_nor_the_random_state(cases):
    given_, state = network(), torch.get_rng_state()
    before = {name: value.clone() for name, value in given_.state_dict().items()}
    a, b = (fit(cases, given_, **QUICK) for _ in range(2))
    assert given_.training and (torch.get_rng_state() == state).all()
    for name, value in given_.state_dict().items():
        assert torch.equal(value, before[name])
        assert torch.equal(a.network.state_dict()[name], b.network.state_dict()[name])


def test_a_network_of_another_type_is_trained_in_float32(cases):
    expected = fit(cases, network(), **QUICK).network.state_dict()
    found = fit(cases, network().double(), **QUICK).network.state_dict()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_training_with_several_annotators_and_borders(cases):
    both = [discs(seed, annotators=3) for seed in range(2)]
    segmenter = fit(both, network(outputs=2), loss="tversky", **QUICK)
    assert segmenter(both[0].image, (0, 100)).labels.shape == (40, 40)


def test_pixels_without_weight_do_not_influence_training(cases):
    """Training does not depend on masks where the weight is 0."""
    half = np.ones((40, 40), np.float32)
    half[:, 20:] = 0
    weighted = [replace(case, weight=half) for case in cases]
    other = [replace(case, masks=np.where(half > 0, case.masks, 1).astype(np.int32)) for case in weighted]
    a, b = (fit(given_, network(), loss="bce", **QUICK).network.state_dict() for given_ in (weighted, other))
    assert all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"loss": "l2"}, InvalidArgument),
        ({"optimiser": "sgd"}, InvalidArgument),
        ({"steps": 0}, InvalidArgument),
        ({"rate": -1.0}, InvalidArgument),
        ({"scaling": "none"}, InvalidArgument),
        ({"inputs": ("mean", "std")}, InvalidArgument),
        ({"batch": 1, "patch": 4}, InvalidArgument),
        ({"rate": 1e30, "steps": 100}, TrainingFailed),
    ],
)
def test_invalid_settings_are_refused(cases, options, error):
    with pytest.raises(error):
        fit(cases, network(), **(QUICK | options))


def test_cases_that_do_not_agree_are_refused(cases):
    colour = replace(cases[0], image=np.repeat(cases[0].image, 3, 0))
    for given_, error, message in (
        ([], InvalidArgument, "no case"),
        ([colour], BandMismatch, "1 band"),
        ([cases[0], colour], BandMismatch, "0 has 3 band"),
        ([cases[0], discs(1, annotators=2)], InvalidArgument, "2 annotator"),
        ([replace(cases[0], masks=cases[0].masks[:, 1:])], InvalidArgument, "same size"),
        ([replace(cases[0], weight=np.ones(3, np.float32))], InvalidArgument, "weight"),
        ([replace(cases[0], image=np.full_like(cases[0].image, np.nan))], InvalidArgument, "NaN"),
    ):
        with pytest.raises(error, match=message):
            fit(given_, network(), **QUICK)
    with pytest.raises(InvalidArgument, match="3"):
        fit(cases, network(outputs=3), **QUICK)


# -- cross-validation ------------------------------------------------------------------------


@given(
    st.lists(st.sampled_from("abcdefg") | st.just(""), min_size=7, max_size=30), st.integers(2, 5), st.integers(0, 99)
)
def test_folds_do_not_divide_groups(groups, count, seed):
    cases = [Case(f"{i}", np.zeros((1, 1, 1)), np.zeros((1, 1, 1)), (0, 1), group=g) for i, g in enumerate(groups)]
    known = len(set(groups) - {""}) + groups.count("")
    if known < count:
        with pytest.raises(InvalidArgument, match=f"not {count}"):
            folds(cases, count, seed)
        return
    ways = folds(cases, count, seed)
    assert sorted(case.name for _, held in ways for case in held) == sorted(case.name for case in cases)
    for training, held in ways:
        assert len(training) + len(held) == len(cases) and training and held
        assert not ({case.group for case in training} & {case.group for case in held}) - {""}
    assert [[c.name for c in held] for _, held in folds(cases, count, seed)] == [[c.name for c in h] for _, h in ways]


def test_cross_validation_resumes_from_stored_results(cases, tmp_path):
    told = []
    options = QUICK | dict(count=2, seed=3, keep=tmp_path, report=told.append)
    rows = cross_validate(cases, tiny, ("bce", "dice"), **options)
    assert [(row["loss"], row["fold"]) for row in rows] == [("bce", 0), ("bce", 1), ("dice", 0), ("dice", 1)]
    assert len(told) == 4 and all(0 <= row["dice"] <= 1 and row["held_out"] == 4 for row in rows)
    kept = tmp_path / "dice-1.json"
    kept.write_text(json.dumps(rows[3] | {"dice": 0.125}))
    (tmp_path / "bce-1.json").unlink()
    again = cross_validate(cases, tiny, ("bce", "dice"), **options)
    assert again[3]["dice"] == 0.125  # read
    assert again[1]["dice"] == rows[1]["dice"]  # measured again, of the checkpoint
    with pytest.raises(InvalidArgument, match="l2"):
        cross_validate(cases, tiny, ("bce", "l2"))


@pytest.mark.slow
def test_results_do_not_depend_on_the_number_of_workers(cases):
    """Rows are reported in another order, and last digits differ because of the number of threads."""
    told = []
    options = QUICK | dict(count=2, losses=("bce", "dice"), seed=1)
    one = cross_validate(cases, tiny, **options)
    two = cross_validate(cases, tiny, workers=2, report=told.append, **options)
    assert [(row["loss"], row["fold"]) for row in two] == [(row["loss"], row["fold"]) for row in one]
    assert len(told) == 4
    for a, b in zip(one, two, strict=True):
        assert a["dice"] == pytest.approx(b["dice"], abs=0.01)
