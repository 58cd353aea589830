import torch

from bayesr.networks.backbones.residual import ResidualBackbone, ResidualBlock


def test_blocks_start_near_the_identity():
    torch.manual_seed(0)
    f = torch.randn(2, 8, 6, 7)
    block = ResidualBlock(8)
    change = block(f.clone()) - f
    assert 0 < change.std() < 0.2 * f.std()


def test_images_are_independent_and_windows_agree_within_the_reach():
    torch.manual_seed(0)
    net, y = ResidualBackbone(2, 8, 2).eval(), torch.rand(3, 2, 16, 15)
    whole = net(y)
    assert whole.shape == (3, 8, 16, 15) and net.reach == 5 and net.multiple == 1
    torch.testing.assert_close(net(y[1:2]), whole[1:2])
    torch.testing.assert_close(net(y[..., :14, :])[..., : 14 - net.reach, :], whole[..., : 14 - net.reach, :])
    changed = y.clone()
    changed[..., 0, 0] += 1
    touched = (net(changed) - whole).abs().amax((0, 1)) > 0
    assert touched.nonzero().max() == net.reach
