import numpy as np
import PIL.Image
import pytest
import torch
from click.testing import CliRunner

from bayesr.bench.posterior import ROWS, at_hand, drawn, eigenvalues, figures, mixture_rows, spread_map_error
from bayesr.bench.protocol import check_protocol
from bayesr.bench.search import VARIANTS, trained
from bayesr.bench.sets import read_set
from bayesr.cli import _TABLES, main
from bayesr.errors import DataNotFound, InvalidArgument, UnknownData, WrongProtocol
from bayesr.model.model import load
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


@pytest.mark.parametrize("name", _TABLES)
def test_tables_are_commands_that_explain_themselves(name):
    result = CliRunner().invoke(main, ["bench", name, "--help"])
    assert result.exit_code == 0 and "--out" in result.output


def photographs(root, seed=0):
    """A folder of sets whose images are not those of the published figures."""
    random = np.random.default_rng(seed)
    for name in ("set5", "set14", "bsd100"):
        (root / name).mkdir(parents=True)
        PIL.Image.fromarray(random.integers(0, 256, (48, 44, 3), np.uint8)).save(root / name / "0.png")
    return root


@pytest.mark.parametrize("name", ["quality", "systems", "domains"])
def test_a_wrong_protocol_is_refused(name, tmp_path):
    """Other images than the published figures are of: said, with both figures, before anything is measured."""
    data = photographs(tmp_path / "data")
    train = ["--train", str(data / "set5")] if name == "systems" else []
    done = CliRunner().invoke(main, ["bench", name, "--data", str(data), "--out", str(tmp_path / "out"), *train])
    assert done.exit_code == 1 and isinstance(done.exception, SystemExit)
    for said in ("Nothing was measured", "1 images of", "published are", "bayesr data verify"):
        assert said in done.output
    assert not (tmp_path / "out").exists()
    with pytest.raises(WrongProtocol, match=r"28\.42 dB and 0\.8104"):
        check_protocol(data, ["set5"])


def test_sets_that_are_not_there_are_said(tmp_path):
    with pytest.raises(DataNotFound, match=r"no folder bsd100 or bsd100_jpg.*bayesr data fetch"):
        read_set(tmp_path, "bsd100")
    (tmp_path / "set5").mkdir()
    with pytest.raises(DataNotFound, match="has no image"):
        read_set(tmp_path, "set5")
    for call in (read_set, lambda root, name: check_protocol(root, [name])):
        with pytest.raises(UnknownData, match=r"urban100.*set5, set14, bsd100"):
            call(tmp_path, "urban100")


def test_trained_models_are_kept_and_measured_again_on_the_same_terms_alone(tmp_path):
    problem = GaussianField()
    first, seconds = at_hand(ROWS[3], "gaussian", problem, 1, 0, tmp_path)
    (file,) = tmp_path.iterdir()
    assert file.name == "posterior-gaussian-l1-sd-reward-rcgan.safetensors"
    again, same = at_hand(ROWS[3], "gaussian", problem, 1, 0, tmp_path)
    assert same == seconds
    low, _ = problem.batch(1, torch.Generator().manual_seed(0))
    one, other = (drawn(model, low, 2, None)[0] for model in (first, again))
    np.testing.assert_array_equal(one, other)
    for steps, seed in ((2, 0), (1, 1)):
        with pytest.raises(InvalidArgument, match="other terms"):
            at_hand(ROWS[3], "gaussian", problem, steps, seed, tmp_path)
