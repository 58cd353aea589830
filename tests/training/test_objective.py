import dataclasses

import pytest
import torch

from bayesr.errors import TrainingFailed
from bayesr.networks.discriminators import PairedDiscriminator
from bayesr.observe import bicubic
from bayesr.training import losses
from bayesr.training.adversarial import PAIRED, generator_step_loss
from bayesr.training.batch import truth_and_members
from bayesr.training.data import load_images
from bayesr.training.loop import Trainer
from bayesr.training.pairs import Pairs
from bayesr.training.recipe import Adversary, Recipe, Stage
from bayesr.training.schedules import SCHEDULES

STAGE = Stage(
    "score", 40, 1e-3, batch=2, patches={4: 0.5}, bands={8: 1.0}, features=0.5, adversarial=0.5, warmup=2,
    balanced=True, schedule="wsd", discriminator_rate=2e-4,
)  # fmt: skip


def discriminator(bands, scale):
    return PairedDiscriminator(bands, scale, width=4)


RECIPE = Recipe(
    "tiny-paired",
    network=dict(width=8, blocks=1, head_width=4, head_blocks=2, latent=2, gaussian_dropout=True, direct=True, mix=8),
    stages=(STAGE,),
    patch=8,
    discriminators={"paired": Adversary(discriminator, PAIRED, truth_and_members)},
    feature_network="efficientnet-lite0",
)  # fmt: skip


@pytest.fixture
def trainer(folder):
    return Trainer(RECIPE, Pairs(load_images([folder]), bicubic(4), RECIPE.patch))


def gradients_of_members(trainer, done):
    """Return the gradient of members that a step combines, and those of its losses."""
    stage, batch = trainer.recipe.stages[0], trainer._batch(trainer.recipe.stages[0])
    members = batch.x
    found = []
    members.register_hook(found.append)
    trainer._step_discriminators = lambda done, batch: None  # its weights stay for what follows
    trainer._set_rates(stage, done)
    record = trainer._backward(stage, done, batch)
    x = batch.x
    network = trainer.networks["paired"]
    scores = sum(losses.fair_scores(x, batch.truth, stage.patches, stage.bands).values())
    energy = losses.feature_energy(trainer.features.features, x, batch.truth)
    against = generator_step_loss(PAIRED, network, *truth_and_members(batch))
    return found, [torch.autograd.grad(loss, x)[0] for loss in (scores, energy, against)], record


@pytest.mark.parametrize(("done", "share"), [(2, 0.0), (3, 0.5), (4, 1.0), (30, 1.0)])
def test_gradients_are_combined_by_their_norms(trainer, done, share):
    found, (g, features, adversarial), record = gradients_of_members(trainer, done)
    expected = g + 0.5 * g.norm() / features.norm() * features
    expected = expected + share * 0.5 * g.norm() / adversarial.norm() * adversarial
    of_rates, of_weights = found
    torch.testing.assert_close(of_weights, expected, rtol=1e-4, atol=1e-7)
    torch.testing.assert_close(of_rates, g, rtol=1e-4, atol=1e-7)
    assert record.keys() == {"crps", "patch4", "band8", "features", "adversarial", "dropout"}


def test_before_the_warm_up_ends_the_adversarial_loss_is_left_out(trainer):
    found, (g, features, _), record = gradients_of_members(trainer, 1)
    torch.testing.assert_close(found[1], g + 0.5 * g.norm() / features.norm() * features, rtol=1e-4, atol=1e-7)
    assert "adversarial" not in record


@pytest.mark.parametrize("fixed", [False, True])
def test_all_parts_learn_and_dropout_rates_may_be_fixed(trainer, fixed):
    trainer = Trainer(
        dataclasses.replace(RECIPE, stages=(dataclasses.replace(STAGE, fixed_dropout=fixed),)), trainer.pairs
    )
    before = {name: p.clone() for name, p in trainer.generator.named_parameters()}
    discriminator_before = {name: p.clone() for name, p in trainer.networks["paired"].named_parameters()}
    weight = float(trainer.networks["paired"].penalty_weight)
    for _ in range(8):
        trainer.advance()
    after = dict(trainer.generator.named_parameters())
    assert torch.equal(after["head.dropout_logit"], before["head.dropout_logit"]) == fixed
    assert all(not torch.equal(after[name], p) for name, p in before.items() if name != "head.dropout_logit")
    for name, p in trainer.networks["paired"].named_parameters():
        assert not torch.equal(p, discriminator_before[name]), name
    assert float(trainer.networks["paired"].penalty_weight) != weight


def test_features_of_a_feature_network_need_no_discriminator(folder):
    alone = dataclasses.replace(RECIPE, discriminators={}, stages=(dataclasses.replace(STAGE, adversarial=0.0),))
    trainer = Trainer(alone, Pairs(load_images([folder]), bicubic(4), RECIPE.patch))
    records = [trainer.advance() for _ in range(3)]
    assert all(record["features"] > 0 and "adversarial" not in record for record in records)


def test_dropout_rates_follow_the_scores_and_the_cost_of_masks_alone(trainer):
    """As in a stage without a discriminator, so that an adversarial loss does not widen them."""
    plain = dataclasses.replace(STAGE, features=0.0, adversarial=0.0, balanced=False)
    other = Trainer(dataclasses.replace(RECIPE, stages=(plain,), discriminators={}), trainer.pairs)
    other.generator.load_state_dict(trainer.generator.state_dict())
    gradients = []
    for one in (trainer, other):
        one.host_random.manual_seed(4)
        one.device_random.manual_seed(5)
        stage = one.recipe.stages[0]
        one._backward(stage, 30, one._batch(stage))
        gradients.append({name: p.grad for name, p in one.generator.named_parameters()})
    rates = "head.dropout_logit"
    torch.testing.assert_close(gradients[0][rates], gradients[1][rates], rtol=1e-4, atol=1e-9)
    assert not torch.allclose(gradients[0]["head.exit.weight"], gradients[1]["head.exit.weight"], rtol=1e-2)


def test_a_resumed_training_goes_on_as_it_would_have(trainer, folder, tmp_path):
    for _ in range(3):
        trainer.advance()
    trainer.save(tmp_path / "a.npz")
    other = Trainer(RECIPE, Pairs(load_images([folder]), bicubic(4), RECIPE.patch))
    other.load(tmp_path / "a.npz")
    for _ in range(3):
        assert trainer.advance() == other.advance()


def test_rates_are_constant_and_fall_together(trainer):
    rates = []
    for done in (20, 34, 37, 39):
        trainer._set_rates(trainer.recipe.stages[0], done)
        rates.append(tuple(o.param_groups[0]["lr"] for o in (trainer.optimiser, trainer.discriminator_optimiser)))
    assert rates[0] == rates[1] == (1e-3, 2e-4)
    assert rates[2] == pytest.approx((5e-4, 1e-4)) and rates[3] == pytest.approx((1e-3 / 6, 2e-4 / 6))
    assert SCHEDULES["cosine"](0) == 1 and SCHEDULES["cosine"](1) == 0.01


def test_settings_that_do_not_fit_are_refused():
    with pytest.raises(TrainingFailed, match="no schedule 'linear'"):
        dataclasses.replace(STAGE, schedule="linear")
    with pytest.raises(TrainingFailed, match="2 or more"):
        dataclasses.replace(STAGE, members=0)
