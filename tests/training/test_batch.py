import torch

from bayesr.observe import bicubic
from bayesr.training.batch import TrainingBatch, truth_and_member


def batch_of(count, drawn):
    """A batch of two patches, whose members are the base image plus their numbers."""
    operator = bicubic(2)
    truth = torch.rand(2, 1, 8, 8)

    def draw(low, count, z=None):
        drawn.append((count, z))
        numbers = torch.arange(float(max(1, count))).view(1, -1, 1, 1, 1)
        return operator.invert(low)[:, None] + numbers

    return TrainingBatch(operator.observe(truth), truth, torch.zeros(2), operator, {}, count, draw)


def test_members_are_drawn_once_and_only_if_a_loss_uses_them():
    drawn = []
    batch = batch_of(3, drawn)
    torch.testing.assert_close(batch.base, batch.operator.invert(batch.low))
    assert drawn == []
    assert batch.x.shape == (2, 3, 1, 8, 8) and batch.x is batch.x and drawn == [(3, None)]


def test_further_members_have_latents_of_their_own():
    drawn = []
    batch, z = batch_of(0, drawn), torch.zeros(4, 2, 3, 3)
    assert batch.generate(torch.rand(2, 1, 3, 3), 2, z).shape == (2, 2, 1, 6, 6)
    assert drawn == [(2, z)] and batch.normal((2, 3)).shape == (2, 3)


def test_a_conditional_discriminator_sees_the_truth_one_member_and_the_base():
    batch = batch_of(2, [])
    truth, member, context = truth_and_member(batch)
    assert truth is batch.truth and context is batch.base
    torch.testing.assert_close(member, batch.x[:, 0])
