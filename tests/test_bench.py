import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from bayesr.bench.posterior import ROWS, eigenvalues, figures, mixture_rows, spread_map_error
from bayesr.bench.record import write
from bayesr.bench.search import VARIANTS, trained
from bayesr.cli import _TABLES, main
from bayesr.model import load
from bayesr.training.data import ImageSet
from bayesr.training.problems import GaussianField


@pytest.fixture(scope="module")
def field():
    problem = GaussianField()
    low, high = problem.batch(40, torch.Generator().manual_seed(0))

    def draw(seed):
        return problem.posterior(low, 24, torch.Generator().manual_seed(seed)).transpose(0, 1).float().numpy()

    return problem, high.numpy(), draw


def test_exact_samples_score_as_exact_samples_do(field):
    problem, truth, draw = field
    one, other = figures(draw(1), truth), figures(draw(2), truth)
    for name in one:
        assert one[name] == pytest.approx(other[name], rel=0.02), name
    assert spread_map_error(draw(1), problem.posterior_variance.sqrt().numpy()) < 0.05


def test_eigenvalues_see_what_pixels_do_not(field):
    """Members whose pixels are shuffled between each other keep every marginal and lose all correlation."""
    problem, truth, draw = field
    right = draw(1)
    order = np.random.default_rng(0).random(right.shape).argsort(0)
    shuffled = np.take_along_axis(right, order, 0)
    a, b = figures(right, truth), figures(shuffled, truth)
    assert b["fair CRPS"] == pytest.approx(a["fair CRPS"], rel=1e-6)
    assert b["energy score"] < 1.01 * a["energy score"], "the energy score barely does"
    assert eigenvalues(shuffled)[0] < 0.5 * eigenvalues(right)[0]
    index = torch.arange(problem.side**2).reshape(problem.side, -1)[12:20, 12:20].flatten()
    exact = np.linalg.eigvalsh(problem.posterior_covariance[index][:, index].numpy())[::-1][:10]
    np.testing.assert_allclose(eigenvalues(right), exact, rtol=0.25)


def test_a_table_of_mixtures_has_a_row_a_recipe():
    table = mixture_rows(ROWS[1:2], steps=2, scenes=4, n=4, seed=0)
    exact, trained = table
    assert exact["fair CRPS"] == exact["variance"] == 1 and exact["distance to the nearest candidate"] == 0
    assert 0 < exact["total variation"] < 0.1
    assert trained["fair CRPS"] > 1 and trained["total variation"] > exact["total variation"]


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)
def test_variants_share_a_trunk_and_train_their_tails(variant):
    start = load("natural-x4")
    images = ImageSet(("noise",), (np.random.default_rng(0).integers(0, 256, (128, 128, 3), np.uint8),))
    network = trained(variant, start, images, steps=1, rate=1e-2, seed=0, batch=1).generator
    known = start.generator.state_dict()
    for name, value in network.state_dict().items():
        if name.startswith(("trunk.", "up.")):
            torch.testing.assert_close(value, known[name], rtol=0, atol=0)
    assert network.tail.exit.weight.grad.abs().max() > 0


def test_tables_are_written_with_what_made_them(tmp_path):
    write("some", [{"a": 1.23456, "b": float("nan")}, {"a": 2, "b": "x"}], {"command": "bayesr bench some"}, tmp_path)
    assert "| 1.235 | – |" in (tmp_path / "some.md").read_text()
    kept = json.loads((tmp_path / "some.json").read_text())
    assert kept["rows"][0] == {"a": 1.23456, "b": None} and kept["facts"]["command"] == "bayesr bench some"


@pytest.mark.parametrize("name", _TABLES)
def test_tables_are_commands_that_explain_themselves(name):
    result = CliRunner().invoke(main, ["bench", name, "--help"])
    assert result.exit_code == 0 and "--out" in result.output
