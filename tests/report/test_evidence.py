import numpy as np
import pytest

import bayesr
from bayesr.report import panels
from bayesr.report.evidence import ABOVE, BELOW, INSIDE
from bayesr.report.planes import decoded
from tests.report.conftest import data_for


@pytest.fixture(scope="module")
def held(ds, truth, low, tmp_path_factory):
    return data_for(ds, truth, tmp=tmp_path_factory.mktemp("r") / "x.html", img=low)


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
