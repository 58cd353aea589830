import dataclasses

import pytest
import torch

from bayesr.observe import bicubic
from bayesr.training.loop import Trainer
from bayesr.training.recipe import Stage
from tests.conftest import TINY


def test_the_cost_of_masks_falls_with_the_number_of_values(trainer):
    """``P / (2 N)`` times the divergence, which is least at alpha = 1, where dropout rates stop."""
    head, low_pixels = trainer.generator.head, trainer.pairs.low_pixels
    weights = sum(p.numel() for p in trainer.generator.parameters())
    while trainer.position()[0].name == "fidelity":
        trainer.advance()
    divergence = head.dropout_divergences().mean()
    losses = trainer.advance()
    cost = losses.pop("dropout") / sum(losses.values())
    assert cost == pytest.approx(weights / (2 * low_pixels * 3 * 15) * divergence.item()) and cost > 0
    head.dropout_logit.data.fill_(1.0)
    for _ in range(4):
        trainer.advance()
    assert head.dropout_logit.max() <= 0
    assert head.dropout_divergences().mean() < divergence


def test_discriminator_features_join_the_loss(trainer):
    records = [trainer.advance() for _ in range(10)]
    assert "features" not in records[6] and records[8]["features"] > 0 and records[8]["adversarial"] > 0


def test_members_of_a_group_share_their_mask_and_are_consistent(trainer):
    low, _ = trainer.pairs.batch(2, torch.Generator().manual_seed(0))
    _, x = trainer.members(low, 3)
    assert x.shape == (2, 3, 3, 32, 32)
    torch.testing.assert_close(bicubic(4).observe(x), low[:, None].expand(-1, 3, -1, -1, -1), atol=1e-5, rtol=0)
    masks = trainer.generator.head.training_masks(2, torch.Generator().manual_seed(0))
    assert not torch.equal(masks[0][0], masks[0][1])


def test_a_stage_trains_a_part_of_the_generator(trainer):
    """All other weights stay, and the average follows."""
    stage = Stage("last", 4, 1e-2, batch=2, members=3, trained="head")
    what = dataclasses.replace(TINY, stages=(stage,))
    trainer = Trainer(what, trainer.pairs)
    before = {name: p.detach().clone() for name, p in trainer.generator.named_parameters()}
    for _ in range(4):
        trainer.advance()
    moved = {name for name, p in trainer.generator.named_parameters() if not torch.equal(p, before[name])}
    assert moved == {name for name in before if name.startswith("head.")}
    averages = dict(trainer.average.named_parameters())
    assert {name for name, value in before.items() if not torch.equal(averages[name], value)} == moved


def test_bfloat16_is_for_networks_alone(trainer):
    """Losses, the projection and members are float32."""
    half = Trainer(TINY, trainer.pairs, precision="bfloat16")
    low, _ = half.pairs.batch(2, torch.Generator().manual_seed(0))
    _, x = half.members(low, 2)
    _, exact = trainer.members(low, 2)
    assert x.dtype == torch.float32 and 0 < (x - exact).abs().max() < 0.05
    torch.testing.assert_close(bicubic(4).observe(x), low[:, None].expand(-1, 2, -1, -1, -1), atol=1e-5, rtol=0)
    while half.step < half.steps:
        assert all(torch.tensor(list(half.advance().values())).isfinite())
