import pytest
import torch

from bayesr.networks.heads.marginal import gaussian_likelihood, pinball
from bayesr.networks.registry import build


@pytest.mark.parametrize("head", ["gaussian", "quantile"])
def test_marginal_heads_draw_from_their_distribution(head):
    torch.manual_seed(0)
    net = build(bands=1, scale=4, width=4, blocks=1, head=head)
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    shared = net.prepare(torch.rand(1, 1, 2, 2))
    drawn = net.head(shared, torch.randn(20_000, 16, 2, 2), []) - shared.detail
    if head == "gaussian":
        torch.testing.assert_close(drawn.std(0), shared.spread[0], rtol=0.05, atol=0)
        return
    quantiles = net.head.quantiles(shared)[0]
    assert (quantiles.diff(dim=0) > 0).all(), "quantiles never cross"
    found = (drawn[:, None] < quantiles).float().mean(0)
    torch.testing.assert_close(
        found, torch.tensor(net.head.LEVELS).view(-1, 1, 1, 1).expand_as(found), rtol=0, atol=0.02
    )


def test_marginal_losses_are_lowest_at_the_true_distribution():
    random = torch.Generator().manual_seed(0)
    error = 0.2 * torch.randn(200_000, 1, 1, 1, generator=random)
    likelihood = [float(gaussian_likelihood(error, torch.full_like(error, s))) for s in (0.15, 0.2, 0.25)]
    assert likelihood[1] == min(likelihood)
    levels = torch.tensor([0.25, 0.5, 0.9])
    right = torch.distributions.Normal(0.0, 0.2).icdf(levels).view(1, 3, 1, 1, 1)
    best = float(pinball(error, right, levels))
    for wrong in (0.8 * right, 1.2 * right, right + 0.05):
        assert float(pinball(error, wrong, levels)) > best
