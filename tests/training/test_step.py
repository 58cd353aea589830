import pytest
import torch

from bayesr.observe import bicubic


def test_the_cost_of_masks_falls_with_the_number_of_values(trainer):
    """``P / (2 N)`` times the divergence, which is least at alpha = 1, where dropout rates stop."""
    head, low_pixels = trainer.generator.head, trainer.pairs.low_pixels
    weights = sum(p.numel() for p in trainer.generator.parameters())
    while trainer.position()[0].name == "fidelity":
        trainer.advance()
    divergence = head.dropout_divergence()
    losses = trainer.advance()
    cost = losses.pop("dropout") / sum(losses.values())
    assert cost == pytest.approx(weights / (2 * low_pixels * 3 * 15) * divergence.item()) and cost > 0
    head.dropout_logit.data.fill_(1.0)
    for _ in range(4):
        trainer.advance()
    assert head.dropout_logit.max() <= 0
    assert head.dropout_divergence() < divergence


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
