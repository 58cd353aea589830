import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch.distributions import Normal, kl_divergence

from bayesr.errors import InvalidModel
from bayesr.networks.segmenters.mobile_unet import MobileUNet
from bayesr.networks.segmenters.probabilistic_unet import ProbabilisticUNet
from bayesr.segmentation.agreement import energy_distance, overlaps
from bayesr.segmentation.losses import LOSSES
from bayesr.segmentation.registry import build


def network(**options):
    """Return an untrained network whose output depends on z, unlike the initial one."""
    torch.manual_seed(0)
    net = ProbabilisticUNet(**{"width": 0.1, "depth": 2, "decoder": (8, 8), "latent": 2} | options)
    torch.nn.init.normal_(net.join[-1].weight)
    return net


def discs(n, seed):
    """Return images of dim discs, and two masks of each: a small and a large one."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:16, :16]
    centre = random.uniform(6, 10, (2, n, 1, 1))
    r = np.hypot(y - centre[0], x - centre[1])
    image = np.exp(-((r / 5) ** 2)) + 0.05 * random.standard_normal(r.shape)
    masks = np.stack([r < 2.5, r < 5.5], 1)
    return torch.tensor(image[:, None], dtype=torch.float32), torch.tensor(masks[:, :, None], dtype=torch.float32)


@pytest.fixture(scope="module")
def trained():
    """A network trained on discs for a second, and its losses."""
    net, generator = network(beta=0.5), torch.Generator().manual_seed(0)
    optimiser, losses = torch.optim.Adam(net.parameters(), 1e-2), []
    for step in range(80):
        x, masks = discs(8, step)
        loss = net.loss(x, masks, torch.ones_like(x), LOSSES["bce"], generator)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    return net.eval().requires_grad_(False), losses


def test_the_bound_rises(trained):
    losses = trained[1]
    assert np.mean(losses[-20:]) < 0.5 * np.mean(losses[:10])


def test_maps_are_as_diverse_as_annotators(trained):
    """Random maps are closer to the annotators than a single one is, and are of both kinds."""
    net, _ = trained
    x, masks = discs(6, 1000)
    drawn = net.maps(x, 24, torch.Generator().manual_seed(1))[:, :, 0] >= 0.5
    sure = net.probability(x) >= 0.5
    ours = [energy_distance(d, m[:, 0]) for d, m in zip(drawn, masks, strict=True)]
    plain = [energy_distance(s, m[:, 0]) for s, m in zip(sure, masks, strict=True)]
    assert np.mean(ours) < 0.7 * np.mean(plain)
    large = np.mean([overlaps(d, m[:, 0]).argmax(1) for d, m in zip(drawn, masks, strict=True)])
    assert 0.05 < large < 0.95


def test_the_posterior_distinguishes_annotators(trained):
    net, _ = trained
    x, masks = discs(6, 2000)
    features, prior = net.expected(x)
    (small, std), (large, _) = (net.posterior(x, masks[:, k], features, prior) for k in (0, 1))
    assert ((small - large).abs() > 2 * std).any(1).all()
    told = torch.sigmoid(net.logits(features, large)) >= 0.5
    assert np.mean([overlaps(t, m[1]) for t, m in zip(told, masks, strict=True)]) > 0.7


@pytest.mark.parametrize("loss", ["bce", "tversky"])
def test_the_loss_is_divergence_minus_density(loss):
    """Compare with the formula for one image and one annotator, so that nothing else is drawn."""
    x, masks = discs(1, 0)
    masks, weight = masks[:, :1], torch.rand(1, 1, 16, 16)
    found = []
    for beta in (0.5, 3.0):
        net = network(beta=beta).eval()
        with torch.no_grad():
            found.append(float(net.loss(x, masks, weight, LOSSES[loss], torch.Generator().manual_seed(4))))
            generator = torch.Generator().manual_seed(4)
            torch.randint(1, (1,), generator=generator)
            e = torch.randn(1, 2, generator=generator)
            features, prior = net.expected(x)
            mean, std = net.posterior(x, masks[:, 0], features, prior)
            divergence = float(kl_divergence(Normal(mean, std), Normal(*prior)).sum())
            pixels = float(LOSSES[loss](net.logits(features, mean + std * e), masks[:, 0], weight))
        assert divergence > 0 and found[-1] == pytest.approx(pixels + beta * divergence / 256, rel=1e-4)


def test_it_starts_with_the_output_of_a_trained_unet():
    torch.manual_seed(1)
    net, unet = ProbabilisticUNet(width=0.1, depth=2), MobileUNet(width=0.1, depth=2)
    net.begin_with(unet)
    x = torch.rand(2, 1, 12, 9)
    with torch.no_grad():
        maps, expected = net.eval().maps(x, 2), unet.eval().probability(x)
    torch.testing.assert_close(maps, torch.stack([expected, expected], 1))


def test_annotators_are_drawn_for_each_image():
    """One mask is empty and one is full: twenty images draw about ten of each."""
    net = network(beta=1e-6).eval()
    masks = torch.stack([torch.zeros(20, 1, 8, 8), torch.ones(20, 1, 8, 8)], 1)
    seen = []

    def share(logits, target, weight):
        seen.append(target.mean((1, 2, 3)))
        return logits.mean()

    net.loss(torch.rand(20, 1, 8, 8), masks, torch.ones(20, 1, 8, 8), share, torch.Generator().manual_seed(0))
    assert set(seen[0].tolist()) == {0.0, 1.0} and 3 < float(seen[0].sum()) < 17


@pytest.mark.parametrize("size", [(1, 1), (5, 19), (16, 16)])
def test_maps_of_any_size_differ_and_are_the_generators(size):
    net, x = network(bands=2, outputs=3).eval(), torch.rand(2, 2, *size)
    state = torch.get_rng_state()
    with torch.no_grad():
        first, again = (net.maps(x, 3, torch.Generator().manual_seed(7)) for _ in range(2))
        mean = net.probability(x)
        assert first.shape == (2, 3, 3, *size) and mean.shape == net(x).shape == (2, 3, *size)
        assert torch.equal(first, again) and torch.equal(mean, net.probability(x))
        assert (first[:, 0] - first[:, 1]).abs().amax() > 0 and 0 <= float(first.min()) <= float(first.max()) <= 1
        torch.testing.assert_close(mean[:1], net.probability(x[:1]), atol=1e-5, rtol=0)  # images do not see each other
    assert torch.equal(torch.get_rng_state(), state)


def test_its_architecture_builds_it_again():
    net = network(bands=3, latent=4, beta=10.0)
    again = build(json.loads(json.dumps(net.architecture)))
    again.load_state_dict(net.state_dict())
    x = torch.rand(1, 3, 9, 12)
    with torch.no_grad():
        assert torch.equal(again.eval().probability(x), net.eval().probability(x))
    assert again.beta == 10 and again.reach is None


def test_invalid_sizes_are_refused():
    with pytest.raises(InvalidModel, match="beta is positive"):
        ProbabilisticUNet(beta=0)
    with pytest.raises(InvalidModel, match="one value or more"):
        ProbabilisticUNet(latent=0)


def test_pyro_is_imported_for_training_alone():
    code = (
        "import sys, torch; from bayesr.networks.segmenters.probabilistic_unet import ProbabilisticUNet; "
        "ProbabilisticUNet(width=0.1, depth=1).eval().probability(torch.zeros(1, 1, 4, 4)); "
        "print('pyro' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "False\n"
