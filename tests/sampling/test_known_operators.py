import json
from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr
import zarr

import bayesr
from bayesr import observe
from bayesr.errors import InvalidArgument, InvalidForwardOperator, InvalidProduct, StoreFailed
from bayesr.networks.registry import build
from bayesr.sampling import known_operators
from bayesr.sampling.plan import Plan
from bayesr.store.places import PROGRESS
from tests.conftest import make_model
from tests.observe.test_posteriors import posterior
from tests.sampling.helpers import disagreement


@pytest.fixture(scope="module")
def blind(tmp_path_factory):
    """A model that, so its record says, was trained over a range of blur; untrained."""
    model = replace(make_model(), forward_operator=observe.bicubic(4).unconstrained(blur=3.0, noise=0.05))
    path = model.save(tmp_path_factory.mktemp("blind") / "blind.safetensors")
    return bayesr.load(path), str(path)


@pytest.fixture(scope="module")
def low(photo):
    return photo[:14, 4:20]


def members(model, low, known, n=8, **options):
    return bayesr.sample(low, n, model=model[0], forward_operator=known, **options)


def test_a_wide_posterior_widens_epistemic_and_intervals():
    model = replace(make_model(), forward_operator=observe.bicubic(4).unconstrained(blur=3.0, noise=0.05))
    for weight in model.generator.parameters():  # so that members of an untrained network differ little
        weight.data *= 0.5 if weight.dim() == 4 else 1
    y, x = np.mgrid[:24, :28] / 36
    image = (128 + 90 * np.sign(np.sin(9 * x + 4 * y)) * np.sin(8 * y)).clip(20, 235)[..., None].repeat(3, -1)
    found = [members((model, ""), image.astype(np.uint8), posterior(2.4, spread), 16) for spread in (0.0, 0.1, 0.4)]
    epistemic, aleatoric = ([float(ds[name].mean()) for ds in found] for name in ("epistemic", "aleatoric"))
    width = [float((ds["upper"] - ds["lower"]).mean()) for ds in found]
    assert epistemic[0] < epistemic[1] / 5 < epistemic[2] / 25
    assert width[0] < width[1] / 1.1 < width[2] / 1.3
    assert aleatoric == pytest.approx(aleatoric[:1] * 3, rel=0.05), "kernels differ between masks alone"
    kernels = json.loads(found[2].attrs["forward_operators"])
    assert len(kernels) == found[2].attrs["masks"] == 8 and len({kernel["sigma"] for kernel in kernels}) > 4


def test_a_posterior_of_equal_draws_is_the_plain_operator(blind, low):
    found = members(blind, low, posterior(2.1))
    operator = observe.fitted(posterior(2.1), regularisation=0.01).unconstrained(noise=2.0 / 255)
    plain = members(blind, low, operator)
    for name in found.data_vars:
        assert np.array_equal(found[name], plain[name]), name
    assert np.array_equal(found["samples"], members(blind, low, [operator] * 4, masks=4)["samples"])


def test_the_noise_is_stated_or_the_largest_of_the_model(blind, low):
    operator = observe.gaussian(4, sigma=2.1, regularisation=0.01)
    recorded = known_operators.check(blind[0], operator)
    assert recorded == (operator.unconstrained(noise=0.05),) == known_operators.check(blind[0], recorded)
    beads = known_operators.by_mask(blind[0], posterior(2.1, noise=None), Plan(8, 4, 0, 16), (0.0, 255.0))
    assert beads == recorded * 4
    clean = replace(blind[0], forward_operator=observe.bicubic(4).unconstrained(blur=3.0))
    exact = known_operators.check(clean, observe.gaussian(4, sigma=2.1))
    assert exact == (observe.gaussian(4, sigma=2.1),) == known_operators.check(clean, exact[0].unconstrained())
    image = low.astype(np.float32)
    ds = members((clean, ""), image, exact[0], value_range=(0, 255))
    seen = exact[0].observe(torch.from_numpy(ds["samples"].values.astype(float))).numpy()
    assert np.abs(seen - image.transpose(2, 0, 1)).max() < 0.01, "A x = y where nothing is noisy"


def test_kernels_are_functions_of_seed_and_mask(blind, low):
    known = posterior(2.4, 0.4)
    plan = Plan(32, 8, 5, 16)
    chosen = known_operators.by_mask(blind[0], known, plan, (0.0, 255.0))
    assert chosen == known_operators.by_mask(blind[0], known, plan, (0.0, 255.0))
    assert chosen[:4] == known_operators.by_mask(blind[0], known, replace(plan, masks=4, n=8), (0.0, 255.0))
    assert chosen != known_operators.by_mask(blind[0], known, replace(plan, seed=6), (0.0, 255.0))
    least, most = 1.52, 3.37  # draws beyond the range of the model are passed over
    edge = known_operators.by_mask(blind[0], posterior(3.25, 0.05), replace(plan, masks=64, n=64), (0.0, 255.0))
    assert all(least < operator.of.sigma < most for operator in edge)


def test_tiles_agree(blind):
    random = np.random.default_rng(0)
    image = np.kron(random.integers(30, 225, (12, 24, 3)), np.ones((4, 4, 1))).astype(np.uint8)
    known = posterior(2.4, 0.4)
    parts = members(blind, image, known, 4, tile=32)
    for name in ("mean", "std", "epistemic", "samples"):
        assert disagreement(parts, members(blind, image, known, 4, tile=96), name) < 1e-5, name


def test_members_are_drawn_again(blind, low, tmp_path):
    known = posterior(2.4, 0.4)
    whole = members(blind, low, known)
    place = tmp_path / "p.zarr"
    stored = bayesr.sample(low, 8, model=blind[1], forward_operator=known, tile=10, store=place, keep_samples=True)
    assert disagreement(stored, whole, "samples") < 1e-5
    again = bayesr.replay(whole, 5, low, model=blind[0])
    assert np.array_equal(again, whole["samples"][5])
    assert np.array_equal(bayesr.replay(stored, 5, model=blind[1]), stored["samples"][5])


def test_extensions_and_members_of_stores(blind, low, tmp_path):
    known = posterior(2.4, 0.4)
    place = tmp_path / "p.zarr"
    options = dict(model=blind[1], forward_operator=known, tile=10, masks=2)
    bayesr.sample(low, 4, store=place, **options)
    more = bayesr.extend(place, 8, model=blind[1])
    whole = bayesr.sample(low, 8, **options)
    assert more.attrs["forward_operators"] == whole.attrs["forward_operators"]
    for name in ("mean", "std", "epistemic", "lower"):
        assert disagreement(more, whole, name) < 1e-5, name
    truth = np.kron(low, np.ones((4, 4, 1), np.uint8))
    scores = bayesr.score(more, truth, model=blind[1], noise=2.0)  # draws the members again
    assert np.isfinite(scores["chi_squared"]).all() and float(scores["fitted_blur"]) == 0


def test_a_store_is_resumed_with_the_same_kernels(blind, low, tmp_path):
    place, other = tmp_path / "p.zarr", tmp_path / "o.zarr"
    options = dict(model=blind[1], tile=10, forward_operator=posterior(2.4, 0.4))
    complete = bayesr.sample(low, 8, store=place, **options)
    zarr.open_group(place)[f"{PROGRESS}/done"][0, 0] = 0
    resumed = bayesr.sample(low, 8, store=place, resume=True, **options)
    assert np.array_equal(resumed["mean"], complete["mean"])
    bayesr.sample(low, 8, store=other, model=blind[1], tile=10)
    with pytest.raises(StoreFailed, match="another forward_operators"):
        bayesr.sample(low, 8, store=other, resume=True, **options)


def test_damaged_records_are_refused(blind, low):
    ds = members(blind, low, posterior(2.4, 0.4))
    for wrong in ("[]", "{}", "[1]", "nothing", ds.attrs["forward_operators"].replace("gaussian", "disc"), "[{}, {}]"):
        with pytest.raises((InvalidProduct, InvalidForwardOperator)):
            bayesr.replay(ds.assign_attrs(forward_operators=wrong), 0, low, model=blind[0])


def test_models_of_one_operator_are_refused_but_for_their_own(model, blind, low):
    for known in (posterior(1.6), observe.gaussian(4, sigma=1.6)):
        with pytest.raises(InvalidForwardOperator, match=r"tiny was trained with one forward operator.*range of blur"):
            bayesr.sample(low, 4, model=model, forward_operator=known)
    own = bayesr.sample(low, 4, model=model, forward_operator=observe.bicubic(4))
    assert "forward_operators" not in own.attrs
    assert np.array_equal(own["samples"], bayesr.sample(low, 4, model=model)["samples"])
    noisy = (replace(model, forward_operator=observe.bicubic(4).unconstrained(noise=0.05)), "")
    with pytest.raises(InvalidForwardOperator, match="trained with one forward operator"):
        members(noisy, low, posterior(1.6))


@pytest.mark.parametrize(
    ("known", "words"),
    [
        (posterior(5.0, 0.1), "4.8 to 5.2 high-resolution pixels wide.*over widths of 1.52 to 3.36"),
        (posterior(1.1), "1.1 high-resolution"),
        (posterior(2.0, scale=2), "scale factor 2, and blind has 4"),
        (observe.gaussian(2, sigma=1.0), "scale factor 2, and blind has 4"),
        (observe.gaussian(4, sigma=2.0).unconstrained(blur=1.0), "no range of blur"),
        (observe.Blind(observe.gaussian(4, sigma=2.0)), "no range of blur"),
        (observe.gaussian(4, sigma=4.0, regularisation=0.1), "4 high-resolution pixels wide"),
        (xr.Dataset(), "no posterior"),
    ],
)
def test_what_does_not_fit_the_model(blind, low, known, words):
    with pytest.raises(InvalidForwardOperator, match=words):
        members(blind, low, known)


def test_masks_of_kernels(blind, low):
    known = [observe.gaussian(4, sigma=s, regularisation=0.01) for s in (2.0, 2.4)]
    ds = members(blind, low, known)
    assert ds.attrs["masks"] == 2
    assert [one["noise"] for one in json.loads(ds.attrs["forward_operators"])] == [0.05, 0.05]
    assert [one["sigma"] for one in json.loads(ds.attrs["forward_operators"])] == [2.0, 2.4]
    for n, masks in ((8, 4), (7, None)):
        with pytest.raises(InvalidArgument, match="2 forward operators are for 2"):
            members(blind, low, known, n, masks=masks)
    with pytest.raises(InvalidArgument, match=r"one kernel of the posterior.*masks=8"):
        members(blind, low, posterior(2.4, 0.2), 16, masks=1)
    assert members(blind, low, posterior(2.4, 0.2), 1).attrs["masks"] == 1
    for wrong in ("gaussian", 2.0, [], [1]):
        with pytest.raises(InvalidArgument, match="forward_operator must be"):
            members(blind, low, wrong)


def test_members_of_models_without_masks_have_several_kernels(blind, low):
    sizes = dict(bands=3, scale=4, width=8, blocks=1, head_width=8, head_blocks=2, latent=2)
    model = (replace(blind[0], generator=build(**sizes, dropout=0.0, head="stochastic").eval()), "")
    assert not model[0].generator.masked and members(model, low, posterior(2.4)).attrs["masks"] == 4
    plain, known = members(model, low, None), members(model, low, posterior(2.4, 0.4))
    assert plain.attrs["masks"] == 1 and known.attrs["masks"] == 4
    assert len(json.loads(known.attrs["forward_operators"])) == 4
    assert float(known["epistemic"].mean()) > 0
