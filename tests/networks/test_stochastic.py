import numpy as np
import pytest
import torch

from bayesr.networks.layers import sub_pixels
from bayesr.networks.registry import build
from tests.conftest import make_model


def test_without_latents_masks_are_all_that_is_random():
    model = make_model(latent=0)
    img = np.random.default_rng(0).integers(0, 255, (6, 7, 3), np.uint8)
    ds = model.sample(img, 4)
    assert ds.attrs["masks"] == 4
    assert float(ds["samples"].std("realization").mean()) > 0.1
    twice = model.sample(img, 4, masks=2)
    np.testing.assert_allclose(twice["samples"][0], twice["samples"][2], atol=1e-3)
    np.testing.assert_allclose(twice["mean"], twice["samples"].mean("realization"), atol=1e-3)
    assert not model.generator.head.dropout_logit.requires_grad
    marginal = make_model(head="gaussian").sample(img, 4)
    assert marginal.attrs["masks"] == 1 and np.isnan(marginal["epistemic"]).all()


def test_the_direct_path_is_linear():
    z = torch.randn(2, 4, 8, 8)
    net = build(bands=3, scale=4, width=8, blocks=1, head_width=8, head_blocks=2, latent=2, direct=True)
    for block in net.head.blocks:
        torch.nn.init.zeros_(block.second.weight)
    torch.nn.init.zeros_(net.head.exit.bias)
    shared, masks = net.prepare(torch.rand(1, 3, 8, 8)), [torch.ones(1, 8, 1, 1)] * 2
    draw = lambda z: net.head(shared, z, masks) - net.head(shared, 0 * z, masks)  # noqa: E731
    assert draw(z).abs().max() > 1e-3
    torch.testing.assert_close(draw(2 * z), 2 * draw(z), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("options", [dict(), dict(smooth=True, direct=True)])
def test_the_declared_reach_is_exact(options):
    torch.manual_seed(0)
    net = build(bands=1, scale=2, width=4, blocks=1, head_width=4, head_blocks=2, latent=2, **options).double()
    for parameter in net.head.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.5)
    f = torch.rand(1, 4, 19, 1, dtype=torch.float64, requires_grad=True)
    shared, masks = net.head.prepare(f, torch.zeros(1, 4, 19, 1)), [torch.ones(1, 4, 1, 1).double()] * 2
    out = net.head(shared, torch.rand(1, 4, 19, 1, dtype=torch.float64), masks)
    (gradient,) = torch.autograd.grad(out[:, :, 9].square().sum(), f)
    depends = gradient.abs().sum((0, 1, 3)).nonzero()[:, 0] - 9
    assert depends.abs().max() == net.head.reach == 6


@pytest.mark.parametrize("mix", [0, 8])
def test_smooth_gains_leave_no_steps_at_the_borders_of_input_pixels(mix):
    """The standard deviation for independent features is then linear between low-resolution pixels."""
    torch.manual_seed(0)
    sizes = dict(bands=1, scale=4, width=4, blocks=1, head_width=16, head_blocks=1, latent=2, mix=mix)
    first, second = (build(**sizes, smooth=smooth).head for smooth in (False, True))
    with torch.no_grad():
        first.spread.weight.normal_(std=0.4)
        if mix:
            first.mix.weight.fill_(0.1)
            first.exit.weight.copy_(torch.eye(8, 16))
        else:  # each sub-pixel shows one feature; all have the same gains
            first.spread.weight[1:] = first.spread.weight[:1]
            first.exit.weight.zero_()
            first.exit.weight[range(16), range(16), 1, 1] = 1.0
    second.load_state_dict(first.state_dict())
    f, features = torch.rand(1, 4, 12, 12), torch.eye(16)[:, :, None, None].expand(-1, -1, 12, 12).contiguous()
    stds = []
    for head in (first, second):
        shared = head.prepare(f, torch.zeros(1, 16, 12, 12))
        stds.append(sub_pixels(head._detail(features, shared), 4).square().sum(0)[0].sqrt().detach())
    inside = torch.arange(47) % 4 != 3
    steps = [std.diff(dim=0).abs().mean(1) for std in stds]
    assert steps[0][inside].mean() < 1e-5 < steps[0][~inside].mean()
    assert 0.7 < steps[1][~inside].mean() / steps[1][inside].mean() < 1.3
    torch.testing.assert_close(stds[1].mean(), stds[0].mean(), rtol=0.05, atol=0)


def test_one_mask_for_all_is_a_mask_for_each():
    torch.manual_seed(0)
    net = build(bands=1, scale=4, width=8, blocks=1, head_width=8, head_blocks=2, latent=2)
    z, shared = torch.randn(3, 4, 6, 7), net.prepare(torch.rand(1, 1, 6, 7))
    masks = [(torch.rand(1, 8, 1, 1) > 0.4) * 1.5 for _ in range(2)]
    each = net.draw(shared, z, [m.expand(3, -1, -1, -1) for m in masks])
    torch.testing.assert_close(net.draw(shared, z, masks), each)


def test_training_masks_have_the_moments_of_dropout_and_a_gradient():
    head = build(
        bands=1, scale=4, width=8, blocks=1, head_width=256, head_blocks=2, latent=1, dropout=0.3, gaussian_dropout=True
    ).head
    perturbation, *masks = head.training_masks(200, torch.Generator().manual_seed(0))
    assert [mask.shape for mask in masks] == [(200, 256, 1, 1)] * 2
    for mask in masks:
        assert abs(mask.mean().item() - 1) < 0.01
        assert abs(mask.var().item() - 0.3 / 0.7) < 0.01
    # Features of the typical size make a detail of variance alpha / 100: that of their sum with the weights.
    for _ in range(400):
        head.update_statistics(torch.full((1, 8, 4, 4), 3.0))
    random = torch.Generator().manual_seed(1)
    drawn = [9 * head.training_masks(1, random)[0].flatten(1).pow(2).sum(1).mean().item() for _ in range(100)]
    assert np.mean(drawn) == pytest.approx(0.01 * 3e-4, rel=0.05)
    (masks[0].pow(2).mean() + perturbation.pow(2).mean()).backward()
    assert (head.dropout_logit.grad[:2] > 0).all()


def test_perturbed_weights_reach_the_mean():
    torch.manual_seed(0)
    net = build(bands=1, scale=4, width=8, blocks=1, head_width=8, head_blocks=2, latent=2, gaussian_dropout=True)
    z, shared = torch.randn(3, 4, 6, 7), net.prepare(torch.rand(1, 1, 6, 7))
    first, *masks = net.head.training_masks(1, torch.Generator().manual_seed(0))
    one = net.draw(shared, z, [first, *masks])
    torch.testing.assert_close(net.draw(shared, z, [first, *(m.expand(3, -1, -1, -1) for m in masks)]), one)
    shift = one - net.draw(shared, z, [0 * first, *masks])
    torch.testing.assert_close(shift, shift[:1].expand_as(shift), rtol=0, atol=1e-6)
    assert shift.abs().max() > 1e-4


@pytest.mark.parametrize("gaussian", [False, True])
def test_masks_stand_for_all_weights(gaussian):
    net = build(bands=1, scale=4, width=8, blocks=1, head_width=8, head_blocks=3, latent=2, gaussian_dropout=gaussian)
    own = sum(p.numel() for p in net.head.parameters())
    outside = sum(p.numel() for p in net.parameters()) - own
    weights = net.head.weights_of_masks(outside)
    assert len(weights) == len(net.head.dropout_divergences()) == 3 + gaussian
    assert sum(weights) == pytest.approx(own + outside)
    assert not gaussian or weights[0] == outside
