"""The better direction of a figure, for every recorded figure."""

import math
import re
from pathlib import Path

import pytest

from bayesr_bench.figures import HIGHER, LOWER, merit, target
from bayesr_bench.recorded import read

RECORDED = sorted(Path(__file__).parent.parent.glob("*.json"))
MORE, LESS = math.inf, -math.inf


@pytest.mark.parametrize(
    ("best", "figures"),
    [
        (MORE, ["PSNR", "PSNR n=128", "LR-PSNR", "SSIM", "Dice", "QUBIQ Dice", "dice", "F1 at 0.5", "jaccard",
                "precision", "Mpixel/s", "MB/s writing", "efficiency", "/ in memory", "ratio, members",
                "PSNR minus natural-x4's"]),
        (LESS, ["fair CRPS", "CRPS / climatology", "energy score 8x8", "energy distance", "fair energy distance",
                "variogram score", "squared error of the mean", "Brier", "ECE", "count error", "total variation",
                "distance to the nearest candidate", "power, decades off", "off nominal", "std map, error",
                "MAE of mean", "seconds", "seconds, 32", "minutes", "with start", "ms, 32 members", "CPU ms a step",
                "peak MiB", "a worker's MiB", "32 members / one SRResNet pass", "writing / none's",
                "CRPS minus bayes-sr's", "LPIPS set5"]),
        (1, ["spread/skill", "spread / skill", "lattice ratio, std", "lattice power", "lattice prominence"]),
        (0.5, ["AUC", "AUC, grey"]),
        (0.9, ["covered", "covered, worst", "covered raw", "coverage"]),
        (None, ["p", "p, Dice", "p, Holm", "width", "mean width", "parameters", "steps", "seed", "standard error",
                "processor seconds", "climatology CRPS", "bicubic PSNR", "A+ y PSNR", "ms, SRResNet", "member PSNR",
                "PSNR ±", "aleatoric", "failures", "covered minus a's", "AUC minus a's", "spread/skill minus a's"]),
    ],
)  # fmt: skip
def test_the_best_value_of_a_figure(best, figures):
    assert {figure: target(figure, 0.9) for figure in figures} == dict.fromkeys(figures, best)


def test_without_a_nominal_level_no_coverage_is_better():
    assert target("covered") is None and merit("covered") is None


def test_merit_grows_towards_the_best_value():
    for figure, worse, better in (
        ("PSNR", 30, 31), ("CRPS", 5, 4), ("AUC", 0.3, 0.6), ("spread/skill", 0.8, 1.1), ("covered", 0.99, 0.88),
    ):  # fmt: skip
        value = merit(figure, 0.9)
        assert value(better) > value(worse), figure


def test_no_recorded_figure_is_of_both_kinds():
    """No figure matches patterns of both lists, except those that the order decides."""

    columns = {column for path in RECORDED for column in read(path).columns}
    both = {
        column
        for column in columns
        if any(re.search(one, column) for one in HIGHER) and any(re.search(one, column) for one in LOWER)
    }
    assert both == set()
