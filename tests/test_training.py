import dataclasses
import json
import subprocess
import sys

import numpy as np
import PIL.Image
import pytest
import scipy.fft
import scoringrules
import torch
from hypothesis import given
from hypothesis import strategies as st

import bayesr
from bayesr.bench.posterior import ROWS
from bayesr.errors import TrainingFailed
from bayesr.networks.critic import Critic
from bayesr.networks.generator import Generator, sub_pixels
from bayesr.observe import bicubic
from bayesr.training import losses
from bayesr.training.data import ImageSet, Pairs, load_images
from bayesr.training.loop import Trainer, with_steps
from bayesr.training.problems import GaussianField, Mixture
from bayesr.training.recipes import RECIPES, Recipe, Stage, recipe
from bayesr.training.validation import Validation
from tests.conftest import make_model

TINY = Recipe(
    "tiny",
    dict(width=8, blocks=1, tail_width=8, tail_blocks=2, latent=2),
    (
        Stage("fidelity", 3, 1e-3, batch=2, members=0),
        Stage("score", 3, 1e-3, batch=2, patches={4: 0.5}),
        Stage("critic", 4, 1e-3, batch=2, patches={4: 0.5}, features=0.2, adversarial=0.01),
    ),
    patch=8,
)


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "photos").mkdir()
    for i in range(6):
        smooth = np.kron(rng.integers(0, 255, (10, 12, 3)), np.ones((4, 4, 1))).astype(np.uint8)
        PIL.Image.fromarray(smooth).save(tmp_path / "photos" / f"{i}.png")
    return tmp_path / "photos"


@pytest.fixture
def trainer(folder):
    return Trainer(TINY, Pairs(load_images([folder]), bicubic(4), TINY.patch))


# -- losses ------------------------------------------------------------------------------------


@given(count=st.integers(2, 6), seed=st.integers(0, 1000))
def test_fair_crps_is_that_of_scoringrules(count, seed):
    rng = np.random.default_rng(seed)
    x, truth = rng.standard_normal((2, count, 1, 5, 5)), rng.standard_normal((2, 1, 5, 5))
    ours = losses.fair_crps(torch.from_numpy(x), torch.from_numpy(truth))
    theirs = scoringrules.crps_ensemble(truth, np.moveaxis(x, 1, -1), estimator="fair").mean()
    np.testing.assert_allclose(float(ours), theirs, rtol=1e-10)


def test_patch_energy_is_that_of_scoringrules():
    """On one patch that is the whole image, the score of the vector of its values."""
    rng = np.random.default_rng(0)
    x, truth = rng.standard_normal((1, 4, 2, 6, 6)), rng.standard_normal((1, 2, 6, 6))
    ours = losses.patch_energy(torch.from_numpy(x), torch.from_numpy(truth), 6)
    theirs = scoringrules.es_ensemble(truth.reshape(1, -1), x.reshape(1, 4, -1), estimator="fair")[0]
    np.testing.assert_allclose(float(ours) * np.sqrt(72), theirs, rtol=1e-6)


@pytest.mark.parametrize("score", [losses.fair_crps, lambda x, t: losses.patch_energy(x, t, 4)])
def test_scores_are_proper(score):
    """Expected scores are lowest for the true spread: narrower, wider and shifted forecasts do worse."""
    random = torch.Generator().manual_seed(0)
    draw = lambda *shape: torch.randn(*shape, generator=random)  # noqa: E731
    truth = draw(6000, 1, 4, 4)
    right = score(draw(6000, 2, 1, 4, 4), truth)
    for wrong in (0.5 * draw(6000, 2, 1, 4, 4), 1.7 * draw(6000, 2, 1, 4, 4), draw(6000, 2, 1, 4, 4) + 0.5):
        assert score(wrong, truth) > right * 1.02


def test_feature_energy_rewards_the_true_distribution():
    torch.manual_seed(0)
    critic, truth = Critic(1, width=8), torch.randn(64, 1, 16, 16)
    context = torch.zeros_like(truth)
    right = losses.feature_energy(critic, torch.randn(64, 2, 1, 16, 16), truth, context)
    same = torch.randn(64, 1, 1, 16, 16).expand(-1, 2, -1, -1, -1)
    assert losses.feature_energy(critic, same, truth, context) > right


def test_critic_penalty_is_the_squared_gradient():
    torch.manual_seed(0)
    critic, real, fake = Critic(1, width=4), torch.randn(3, 1, 8, 8), torch.randn(3, 1, 8, 8)
    context = torch.zeros_like(real)
    plain = losses.critic_loss(critic, real, fake, context, 0.0)
    punished = losses.critic_loss(critic, real, fake, context, 2.0)
    leaf = real.clone().requires_grad_()
    critic(leaf, context)[0].mean((1, 2, 3)).sum().backward()
    torch.testing.assert_close(punished - plain, 2 * leaf.grad.pow(2).sum((1, 2, 3)).mean())


def test_band_crps_is_that_of_cosine_coefficients():
    rng = np.random.default_rng(0)
    x, truth = rng.standard_normal((3, 5, 1, 8, 8)), rng.standard_normal((3, 1, 8, 8))
    ours = losses.band_crps(torch.from_numpy(x), torch.from_numpy(truth), 8)
    real, drawn = (scipy.fft.dctn(a, axes=(-2, -1), norm="ortho") for a in (truth, np.moveaxis(x, 1, 0)))
    theirs = scoringrules.crps_ensemble(real, drawn, m_axis=0, estimator="fair").mean()
    np.testing.assert_allclose(float(ours), theirs, rtol=1e-6)


def test_the_reward_for_spread_is_right_for_gaussians_alone():
    """Its optimum is the true spread of a normal posterior, and misses that of a heavy-tailed one."""
    random = torch.Generator().manual_seed(0)
    spreads = torch.linspace(0.6, 1.4, 17)
    normal = torch.randn(3, 400_000, 1, 1, 1, generator=random)

    def optimum(truth):
        drawn = normal[:2].transpose(0, 1)
        return float(spreads[torch.stack([losses.rewarded_error(s * drawn, truth) for s in spreads]).argmin()])

    assert abs(optimum(normal[2]) - 1) < 0.06
    laplace = torch.distributions.Laplace(0.0, 0.5**0.5).icdf(torch.special.ndtr(normal[2]))
    assert optimum(laplace) < 0.9


def test_noise_alone_is_best_ignored():
    random = torch.Generator().manual_seed(0)
    truth, members = torch.randn(2000, 1, 2, 2, generator=random), torch.randn(2000, 2, 1, 2, 2, generator=random)
    values = [float(losses.absolute_error(s * members, truth)) for s in (0.0, 0.3, 1.0)]
    assert values == sorted(values)


def test_marginal_losses_are_lowest_at_the_truth():
    random = torch.Generator().manual_seed(0)
    error = 0.2 * torch.randn(200_000, 1, 1, 1, generator=random)
    likelihood = [float(losses.gaussian_likelihood(error, torch.full_like(error, s))) for s in (0.15, 0.2, 0.25)]
    assert likelihood[1] == min(likelihood)
    levels = torch.tensor([0.25, 0.5, 0.9])
    right = torch.distributions.Normal(0.0, 0.2).icdf(levels).view(1, 3, 1, 1, 1)
    best = float(losses.pinball(error, right, levels))
    for wrong in (0.8 * right, 1.2 * right, right + 0.05):
        assert float(losses.pinball(error, wrong, levels)) > best


# -- networks ----------------------------------------------------------------------------------


@pytest.mark.parametrize("tail", ["gaussian", "quantile"])
def test_marginal_tails_draw_from_what_they_say(tail):
    torch.manual_seed(0)
    net = Generator(1, 4, width=4, blocks=1, tail=tail)
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    shared = net.prepare(torch.rand(1, 1, 2, 2))
    drawn = net.tail(shared, torch.randn(20_000, 16, 2, 2), []) - shared.detail
    if tail == "gaussian":
        torch.testing.assert_close(drawn.std(0), shared.spread[0], rtol=0.05, atol=0)
        return
    quantiles = net.tail.quantiles(shared)[0]
    assert (quantiles.diff(dim=0) > 0).all(), "quantiles never cross"
    found = (drawn[:, None] < quantiles).float().mean(0)
    torch.testing.assert_close(
        found, torch.tensor(net.tail.LEVELS).view(-1, 1, 1, 1).expand_as(found), rtol=0, atol=0.02
    )


def test_without_latents_masks_are_all_that_is_random():
    model = make_model(latent=0)
    img = np.random.default_rng(0).integers(0, 255, (6, 7, 3), np.uint8)
    ds = model.sample(img, 4)
    assert ds.attrs["masks"] == 4
    assert float(ds["samples"].std("realization").mean()) > 0.1
    twice = model.sample(img, 4, masks=2)["samples"].values
    np.testing.assert_array_equal(twice[0], twice[2])
    assert not model.generator.tail.dropout_logit.requires_grad
    marginal = make_model(tail="gaussian").sample(img, 4)
    assert marginal.attrs["masks"] == 1 and np.isnan(marginal["epistemic"]).all()


def test_the_direct_path_is_linear_and_starts_from_files_without_it(trainer):
    z = torch.randn(2, 4, 8, 8)
    net = Generator(3, 4, width=8, blocks=1, tail_width=8, tail_blocks=2, latent=2, direct=True)
    torch.nn.init.zeros_(net.tail.exit.weight)
    shared, masks = net.prepare(torch.rand(1, 3, 8, 8)), [torch.ones(1, 8, 1, 1)] * 2
    draw = lambda z: net.tail(shared, z, masks) - shared.detail  # noqa: E731
    torch.testing.assert_close(draw(2 * z), 2 * draw(z), rtol=1e-4, atol=1e-6)

    straight = dataclasses.replace(TINY, network=TINY.network | {"direct": True})
    longer = Trainer(straight, trainer.pairs)
    longer.start_from(trainer.generator)
    low, _ = trainer.pairs.batch(1, torch.Generator().manual_seed(0))
    masks = [torch.ones(1, 8, 1, 1)] * 2
    z = torch.randn(1, 4, 8, 8)
    before, after = (t.generator.draw(t.generator.prepare(low), z, masks) for t in (trainer, longer))
    torch.testing.assert_close(before, after)


def test_the_recipe_starts_from_the_bundled_model(folder):
    what = RECIPES["bayes-srgan"]
    trainer = Trainer(what, Pairs(load_images([folder]), bicubic(4), 8))
    bundled = bayesr.load("natural-x4").generator
    trainer.start_from(bundled)
    for name, value in bundled.state_dict().items():
        if name != "tail.dropout_logit":
            assert torch.equal(trainer.generator.state_dict()[name], value), name
    smaller = dataclasses.replace(what, network={**what.network, "width": 8})
    with pytest.raises(TrainingFailed, match="not the recipe's"):
        Trainer(smaller, trainer.pairs).start_from(bundled)


def test_generator_sees_as_far_as_it_says():
    torch.manual_seed(0)
    net = Generator(1, 4, width=4, blocks=2, tail_width=4, tail_blocks=2, latent=1)
    for p in net.parameters():
        torch.nn.init.constant_(p, 0.1)
    size = 2 * net.reach + 9
    y = torch.full((1, 1, size, size), 0.5, requires_grad=True)
    masks = [torch.ones(1, 4, 1, 1)] * 2
    out = net.draw(net.prepare(y), torch.zeros(1, 2, size, size), masks)
    out[0, 0, 4 * (size // 2) : 4 * (size // 2) + 4, 4 * (size // 2) : 4 * (size // 2) + 4].sum().backward()
    seen = np.nonzero(y.grad[0, 0].abs().sum(0).numpy())[0]
    assert size // 2 - seen.min() == net.reach == seen.max() - size // 2


def test_sub_pixels_are_a_pixel_shuffle():
    g = torch.rand(2, 48, 5, 6)
    for layout in (torch.contiguous_format, torch.channels_last):
        assert torch.equal(sub_pixels(g.contiguous(memory_format=layout), 4), torch.nn.functional.pixel_shuffle(g, 4))


def test_one_mask_for_all_is_a_mask_for_each():
    torch.manual_seed(0)
    net = Generator(1, 4, width=8, blocks=1, tail_width=8, tail_blocks=2, latent=2)
    z, shared = torch.randn(3, 4, 6, 7), net.prepare(torch.rand(1, 1, 6, 7))
    masks = [(torch.rand(1, 8, 1, 1) > 0.4) * 1.5 for _ in range(2)]
    each = net.draw(shared, z, [m.expand(3, -1, -1, -1) for m in masks])
    torch.testing.assert_close(net.draw(shared, z, masks), each)


def test_training_masks_have_the_moments_of_dropout_and_a_gradient():
    tail = Generator(1, 4, 8, 1, 256, 2, 1, dropout=0.3, gaussian_dropout=True).tail
    perturbation, *masks = tail.training_masks(200, torch.Generator().manual_seed(0))
    assert [mask.shape for mask in masks] == [(200, 256, 1, 1)] * 2
    for mask in masks:
        assert abs(mask.mean().item() - 1) < 0.01
        assert abs(mask.var().item() - 0.3 / 0.7) < 0.01
    # Features of the typical size make a detail of variance alpha / 100.
    tail.note(torch.full((1, 8, 4, 4), 3.0))
    for _ in range(400):
        tail.note(torch.full((1, 8, 4, 4), 3.0))
    perturbation = tail.training_masks(1, torch.Generator().manual_seed(1))[0]
    detail = torch.nn.functional.conv2d(3 * torch.randn(64, 8, 20, 20), perturbation)
    assert detail.var().item() == pytest.approx(0.01 * 0.03 / 0.97, rel=0.15)
    (masks[0].pow(2).mean() + perturbation.pow(2).mean()).backward()
    assert (tail.dropout_logit.grad[:2] > 0).all()


def test_perturbed_weights_reach_the_mean():
    torch.manual_seed(0)
    net = Generator(1, 4, width=8, blocks=1, tail_width=8, tail_blocks=2, latent=2, gaussian_dropout=True)
    z, shared = torch.randn(3, 4, 6, 7), net.prepare(torch.rand(1, 1, 6, 7))
    first, *masks = net.tail.training_masks(1, torch.Generator().manual_seed(0))
    one = net.draw(shared, z, [first, *masks])
    torch.testing.assert_close(net.draw(shared, z, [first, *(m.expand(3, -1, -1, -1) for m in masks)]), one)
    shift = one - net.draw(shared, z, [0 * first, *masks])
    torch.testing.assert_close(shift, shift[:1].expand_as(shift), rtol=0, atol=1e-6)
    assert shift.abs().max() > 1e-4


def test_masks_are_as_wide_as_the_data_are_few():
    """The pull on alpha is P / N; it stops at 1, and endless data do not pull at all."""
    what = dataclasses.replace(ROWS[0].recipe(40), network=TINY.network | {"gaussian_dropout": True})
    ignorance, learnt = [], []
    for scenes in (4, 4000, None):
        trainer = Trainer(what, GaussianField(size=4, scenes=scenes))
        ignorance.append(trainer._ignorance(trainer.generator.tail).item())
        while trainer.step < trainer.steps:
            trainer.advance()
        learnt.append(trainer.generator.tail.dropout_logit.detach())
        assert learnt[-1].max() <= 0
    assert learnt[0].mean() > learnt[1].mean() and learnt[0].mean() > learnt[2].mean()
    assert ignorance[0] == pytest.approx(1000 * ignorance[1]) and ignorance[2] == 0


# -- data --------------------------------------------------------------------------------------


def test_pairs_are_observations_of_crops(folder):
    images = load_images([folder])
    pairs = Pairs(images, bicubic(4), 8)
    low, high = pairs.batch(16, torch.Generator().manual_seed(0))
    assert low.shape == (16, 3, 8, 8) and high.shape == (16, 3, 32, 32)
    expected = (bicubic(4).observe(high).clamp(0, 1) * 255).round() / 255
    assert torch.equal(low, expected)
    stacked = {view.tobytes() for image in images.images for top in range(9) for left in range(17)
               for turned in [image[top : top + 32, left : left + 32]]
               for view in _symmetries(turned)}  # fmt: skip
    for patch in (high * 255).round().byte().permute(0, 2, 3, 1).numpy():
        assert np.ascontiguousarray(patch).tobytes() in stacked


def _symmetries(patch):
    for flipped in (patch, patch[:, ::-1]):
        for turns in range(4):
            yield np.ascontiguousarray(np.rot90(flipped, turns))


def test_packed_images_are_the_images(folder, tmp_path):
    images = load_images([folder])
    images.pack(tmp_path / "packed.npz")
    again = load_images([tmp_path / "packed.npz"])
    assert again.names == images.names
    assert all(np.array_equal(a, b) for a, b in zip(images.images, again.images, strict=True))


def test_held_out_images_are_not_trained_on(folder):
    images = load_images([folder])
    training, held_out = images.split(2)
    assert len(held_out.names) == 2 and sorted(training.names + held_out.names) == sorted(images.names)
    shuffled = ImageSet(images.names[::-1], images.images[::-1]).split(2)[1]
    assert set(shuffled.names) == set(held_out.names)


def test_unusable_data(folder, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(TrainingFailed, match="No images"):
        load_images([tmp_path / "empty"])
    with pytest.raises(TrainingFailed, match="held out"):
        load_images([folder]).split(6)
    with pytest.raises(TrainingFailed, match="smaller patch"):
        Pairs(load_images([folder]), bicubic(4), 32)
    (folder / "bad.png").write_bytes(b"no")
    with pytest.raises(TrainingFailed, match=r"bad\.png"):
        load_images([folder])


# -- loop --------------------------------------------------------------------------------------


def test_fidelity_falls_and_every_part_learns(folder, tmp_path):
    longer = with_steps(TINY, {"fidelity": 150})
    trainer = Trainer(longer, Pairs(load_images([folder]), bicubic(4), longer.patch))
    before = {k: v.clone() for k, v in trainer.generator.state_dict().items()}
    critic = {k: v.clone() for k, v in trainer.critic.state_dict().items()}
    first = np.mean([trainer.advance()["fidelity"] for _ in range(10)])
    while trainer.step < 150:
        last = trainer.advance()["fidelity"]
    assert last < first
    assert trainer.run(tmp_path / "c.npz", every=1)
    assert all(not torch.equal(v, before[k]) for k, v in trainer.generator.state_dict().items())
    assert all(not torch.equal(v, critic[k]) for k, v in trainer.critic.state_dict().items())
    assert {"crps", "patch4", "dropout"} <= set(trainer.history[-1])


def test_critic_features_join_the_loss(trainer, monkeypatch):
    monkeypatch.setattr("bayesr.training.loop._CRITIC_WARMUP", 1)
    records = [trainer.advance() for _ in range(10)]
    assert "features" not in records[6] and records[8]["features"] > 0 and records[8]["adversarial"] > 0


def test_members_of_a_group_share_their_mask_and_explain_the_input(trainer):
    low, _ = trainer.pairs.batch(2, torch.Generator().manual_seed(0))
    _, x = trainer.members(low, 3)
    assert x.shape == (2, 3, 3, 32, 32)
    torch.testing.assert_close(bicubic(4).observe(x), low[:, None].expand(-1, 3, -1, -1, -1), atol=1e-5, rtol=0)
    masks = trainer.generator.tail.training_masks(2, torch.Generator().manual_seed(0))
    assert not torch.equal(masks[0][0], masks[0][1])


@pytest.mark.parametrize("stop", [2, 4, 8])
def test_resumed_training_is_bit_identical(folder, tmp_path, stop):
    images = load_images([folder])
    straight = Trainer(TINY, Pairs(images, bicubic(4), TINY.patch))
    straight.run(tmp_path / "a.npz")
    first = Trainer(TINY, Pairs(images, bicubic(4), TINY.patch))
    for _ in range(stop):
        first.advance()
    first.save(tmp_path / "b.npz")
    second = Trainer(TINY, Pairs(images, bicubic(4), TINY.patch), seed=99)
    second.load(tmp_path / "b.npz")
    second.run(tmp_path / "b.npz")
    for a, b in zip(straight._modules().values(), second._modules().values(), strict=True):
        for key, value in a.state_dict().items():
            assert torch.equal(value, b.state_dict()[key]), key


def test_spread_settles_where_the_score_is_best(trainer):
    """Too narrow by half: widened. And what has settled stays."""
    for _ in range(20):
        trainer.advance()
    trainer.settle_spread(60)
    assert 1 / 1.2 < trainer.settle_spread(60) < 1.2
    trainer.average.tail.exit.weight.data.mul_(0.6)
    trainer.average.tail.exit.bias.data.mul_(0.6)
    assert trainer.settle_spread(60) > 1.2


def test_a_loss_that_is_not_finite_stops(trainer):
    torch.nn.init.constant_(trainer.generator.up.bias, float("nan"))
    with pytest.raises(TrainingFailed, match="step 0"):
        trainer.advance()


def test_checkpoints_are_kept_or_refused(trainer, folder, tmp_path, monkeypatch):
    path = tmp_path / "c.npz"
    trainer.save(path)
    before = path.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(np, "savez", lambda *a, **k: (_ for _ in ()).throw(OSError("No space left")))
        with pytest.raises(TrainingFailed, match="kept"):
            trainer.save(path)
    assert path.read_bytes() == before and list(tmp_path.glob("*.partial*")) == []
    other = Trainer(
        dataclasses.replace(TINY, network=TINY.network | {"width": 12}), Pairs(load_images([folder]), bicubic(4), 8)
    )
    with pytest.raises(TrainingFailed, match="another network"):
        other.load(path)
    (tmp_path / "junk.npz").write_bytes(b"junk")
    with pytest.raises(TrainingFailed, match="no checkpoint"):
        trainer.load(tmp_path / "junk.npz")


def test_validation_leaves_training_alone(folder):
    images = load_images([folder])
    plain, watched = (
        Trainer(TINY, Pairs(images, bicubic(4), TINY.patch)),
        Trainer(TINY, Pairs(images, bicubic(4), TINY.patch)),
    )
    validate = Validation(images, bicubic(4), count=2, size=32)
    for _ in range(5):
        plain.advance()
        watched.advance()
        record = validate(watched)
    assert {"psnr", "fair_crps", "spread_skill"} <= set(record)
    for key, value in plain.generator.state_dict().items():
        assert torch.equal(value, watched.generator.state_dict()[key])


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
@pytest.mark.parametrize("problem", [GaussianField(size=4, scenes=4), Mixture(size=6)], ids=["field", "mixture"])
def test_every_loss_trains_on_problems_with_a_known_answer(row, problem):
    small = dict(width=8, blocks=1, tail_width=8, tail_blocks=2, latent=2)
    what = dataclasses.replace(row.recipe(4), network=small | row.network)
    trainer = Trainer(what, problem)
    before = {name: value.clone() for name, value in trainer.generator.named_parameters()}
    while trainer.step < trainer.steps:
        assert all(np.isfinite(value) for value in trainer.advance().values())
    moved = {n for n, p in trainer.generator.named_parameters() if p.requires_grad and not torch.equal(p, before[n])}
    assert {"up.weight", "trunk.head.weight"} <= moved
    assert any(name.startswith("tail.") for name in moved)


def test_recipes():
    assert recipe("bayes-srgan") is RECIPES["bayes-srgan"]
    with pytest.raises(TrainingFailed, match="bayes-srgan"):
        recipe("nothing")
    with pytest.raises(TrainingFailed, match="No stage"):
        with_steps(TINY, {"warm-up": 3})


# -- from a folder to a model --------------------------------------------------------------------


def test_train_from_a_folder_to_a_model_file(folder, tmp_path, monkeypatch):
    monkeypatch.setitem(RECIPES, "tiny", TINY)
    out = tmp_path / "mine.safetensors"
    records = []
    stopped = bayesr.train("tiny", folder, out=out, held_out=4, time_limit=0, report=records.append)
    assert stopped is None and not out.exists() and len(records) == 1
    with pytest.raises(TrainingFailed, match="resume"):
        bayesr.train("tiny", folder, out=out, held_out=4)
    model = bayesr.train("tiny", folder, out=out, held_out=4, resume=True, card={"licence": "mine"})
    assert model.name == "mine" and model.card["licence"] == "mine" and model.card["images"] == 2
    history = [json.loads(line) for line in out.with_suffix(".jsonl").read_text().splitlines()]
    assert history[-1]["step"] == 10 and {"psnr", "seconds", "stage"} <= set(history[-1])
    assert model.calibration.images == 2 and model.calibration.spread.size
    same = bayesr.train("tiny", folder, out=tmp_path / "same.safetensors", held_out=4, start=out,
                        steps={"fidelity": 0, "score": 0, "critic": 0})  # fmt: skip
    assert same.sha256 == model.sha256
    ds = bayesr.sample(np.zeros((5, 6, 3), np.uint8), 2, model=out, level=0.5)
    assert np.isfinite(ds["std"]).all()
    for bad in (dict(out=tmp_path / "no" / "m.safetensors"), dict(out=tmp_path / "n.safetensors", resume=True)):
        with pytest.raises(TrainingFailed):
            bayesr.train("tiny", folder, **bad)
    monkeypatch.setitem(RECIPES, "wider", dataclasses.replace(TINY, network=TINY.network | {"width": 12}))
    with pytest.raises(TrainingFailed, match="start from"):
        bayesr.train("wider", folder, out=tmp_path / "w.safetensors", held_out=4, start=out)


def test_calibrate_refuses_what_does_not_fit(model, photo):
    with pytest.raises(bayesr.BayesrError, match="too few"):
        bayesr.calibrate(model, [(photo, photo)])
    with pytest.raises(bayesr.BayesrError, match="does not fit"):
        bayesr.calibrate(model, [(photo, photo)] * 4, levels=())


def test_training_needs_torch_and_numpy_alone(folder, tmp_path):
    """As on a bare GPU machine: everything else is made unimportable, images come packed."""
    load_images([folder]).pack(tmp_path / "packed.npz")
    code = f"""
import sys
for name in ("PIL", "scipy", "xarray", "zarr", "dask", "safetensors", "pyro", "torchvision", "rich", "click", "psutil"):
    sys.modules[name] = None
from bayesr.training.data import Pairs, load_images
from bayesr.training.loop import Trainer
from bayesr.training.recipes import Recipe, Stage
from bayesr.observe import bicubic
from pathlib import Path
tiny = Recipe("tiny", dict(width=4, blocks=1, tail_width=4, tail_blocks=1, latent=1),
              (Stage("fidelity", 1, 1e-3, batch=2, members=0), Stage("score", 1, 1e-3, batch=2)), patch=8)
pairs = Pairs(load_images([{str(tmp_path / "packed.npz")!r}]), bicubic(4), 8)
assert Trainer(tiny, pairs).run(Path({str(tmp_path / "c.npz")!r}))
import bayesr.training.__main__
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)
    with np.load(tmp_path / "c.npz", allow_pickle=False) as archive:
        assert json.loads(str(archive["facts"]))["step"] == 2
