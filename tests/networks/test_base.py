import pytest
import torch

from bayesr.errors import InvalidModel
from bayesr.networks.heads.base import BackboneFeatures, Head, NoHead

DETAIL = torch.arange(48.0).view(2, 3, 2, 4)


class Shift(Head):
    """The smallest head of one's own: it adds its latent to the detail."""

    latent_channels = 1

    def prepare(self, f, detail):
        return BackboneFeatures.of_detail(detail)

    def forward(self, shared, z, masks):
        return shared.detail + z


def test_features_are_repeated_for_the_members_of_each_image():
    shared = BackboneFeatures.of_detail(DETAIL, spread=DETAIL[:, :1])
    for part, repeated in zip(shared, shared.repeat(3), strict=True):
        assert repeated.shape == (6, *part.shape[1:])
        torch.testing.assert_close(repeated, part.repeat_interleave(3, 0), rtol=0, atol=0)
    assert shared.backbone.shape == (2, 0, 2, 4) and shared.detail is DETAIL


def test_a_head_of_your_own_needs_two_methods():
    head = Shift()
    shared = head.prepare(torch.zeros(2, 5, 2, 4), DETAIL)
    z = torch.ones(2, 1, 2, 4)
    assert torch.equal(head(shared, z, []), DETAIL + 1) and torch.equal(next(head.pieces(shared, z, [])), DETAIL + 1)
    assert head.stochastic and head.reach == 0 and head.mask_kind == "none"
    assert head.sampling_masks(None) == head.training_masks(3, torch.Generator()) == head.dropout_parameters() == []
    assert head.dropout_divergences() is None and head.rates().numel() == 0
    head.constrain_(), head.update_statistics(DETAIL)
    assert head.takes("anything", Shift(), True) and not head.takes("anything", NoHead(), True)
    assert not head.takes("anything", Shift(), False)


def test_what_a_head_does_not_have_is_refused():
    head = Shift()
    with pytest.raises(InvalidModel, match="Shift has no distribution"):
        head.marginal_loss(head.prepare(DETAIL, DETAIL), DETAIL, DETAIL, 1)
    with pytest.raises(InvalidModel, match="spread of a Shift"):
        head.widen_(2.0)
    with pytest.raises(TypeError, match="abstract"):
        Head()


def test_without_a_head_the_detail_is_the_only_member():
    head = NoHead()
    assert torch.equal(head(head.prepare(torch.zeros(2, 5, 2, 4), DETAIL), None, []), DETAIL) and not head.stochastic
