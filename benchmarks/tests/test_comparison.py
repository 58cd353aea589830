"""Which systems beat the reference, and which aims hold."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bayesr_bench.baselines import SAMPLERS, Outcome
from bayesr_bench.comparison import AIM, REFERENCE, UNEQUAL, aims, rows_of, title, winners
from bayesr_bench.deepinverse import Restoration

FIGURES = ("PSNR", "member PSNR", "width", "covered raw", "width raw", "spread/skill", "LR-PSNR")
SCORES = st.lists(st.floats(0.5, 9).map(lambda v: round(v, 2)), min_size=3, max_size=3)
COVERED = st.floats(0.5, 1).map(lambda v: round(v, 2))


def table(given_scores, over=200.0):
    results, times = {}, {}
    for label, (crps, energy, covered) in given_scores.items():
        scores = dict.fromkeys(FIGURES, [1.0] * 3) | {"CRPS": crps, "energy score": energy, "covered": [covered] * 3}
        results[label], times[label] = Outcome({"set14": scores}), (0.1, over if label in SAMPLERS else 1.0)
    facts = {label: {"parameters": 1, "processor seconds": 2.0} for label in results}
    return rows_of(results, facts, times, 32)


@given(st.lists(st.tuples(SCORES, SCORES, COVERED), min_size=5, max_size=5))
def test_who_wins_is_said_and_nobody_else(given_scores):
    labels = (REFERENCE, "bayes-srgan", "DDRM", "rcgan", "natural-x4")
    rows = table(dict(zip(labels, given_scores, strict=True)))
    assert [row["CRPS"] for row in rows] == sorted(row["CRPS"] for row in rows)
    by_label = {label: next(row for row in rows if row["system"] == title(label)) for label in labels}
    ours, sentences = by_label[REFERENCE], winners(rows)
    for label in labels[1:4]:
        row = by_label[label]
        for figure in ("CRPS", "energy score"):
            said = any(s.startswith(f"{title(label)}: {figure} lower") for s in sentences)
            assert said == (row[f"{figure} minus {REFERENCE}'s"] < 0)
        assert any(s.startswith(f"{title(label)}: coverage") for s in sentences) == (
            row["off nominal"] < ours["off nominal"]
        )
    assert not any(s.startswith((UNEQUAL, f"{REFERENCE}:")) for s in sentences)
    verdicts = aims(rows)
    for figure in ("CRPS", "energy score"):
        mine = min(by_label[label][figure] for label in labels[:2])
        theirs = min(by_label[label][figure] for label in labels[2:4])
        assert ("set14 (3): holds" in verdicts[f"aim: {figure} below every baseline's"]) == (mine < theirs)
    off = {label: by_label[label]["off nominal"] for label in labels}
    assert ("set14 (3): holds" in verdicts["aim: coverage nearest to nominal"]) == (
        min(off[one] for one in labels[:2]) < min(off[one] for one in labels[2:4])
    )


@pytest.mark.parametrize(("over", "verdict"), [(AIM - 1.0, "does not hold"), (float(AIM), "holds")])
def test_how_much_faster_is_said(over, verdict):
    rows = table({REFERENCE: ([1.0] * 3, [1.0] * 3, 0.9), "DDRM": ([2.0] * 3, [2.0] * 3, 0.8)}, over)
    (said,) = (text for name, text in aims(rows).items() if "fast" in name)
    assert said == f"{verdict}: {Restoration().name} takes {over:.0f} times as long"


def test_without_intervals_nobody_has_coverage():
    point = table({REFERENCE: ([1.0] * 3, [1.0] * 3, 0.9), "bicubic": ([2.0] * 3, [2.0] * 3, math.nan)})
    assert point[1]["outputs"] == 1 and point[0]["outputs"] == 32 and math.isnan(point[1]["off nominal"])
    assert winners(point) == [] and "aim: coverage nearest to nominal" not in aims(point)
    assert rows_of({}, {}, {}, 32) == [] and aims([]) == {}
