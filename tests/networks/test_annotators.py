import json

import numpy as np
import pytest
import torch

from bayesr.errors import InvalidArgument, InvalidModel
from bayesr.networks.segmenters.annotators import AnnotatorEnsemble
from bayesr.networks.segmenters.mobile_unet import MobileUNet
from bayesr.segmentation.losses import LOSSES
from bayesr.segmentation.registry import build
from tests.networks.test_probabilistic_unet import discs

SMALL = {"width": 0.1, "depth": 2, "decoder": (8, 8)}


def network(**options):
    torch.manual_seed(0)
    return AnnotatorEnsemble(**SMALL | options)


def test_annotators_with_different_styles_are_learnt_separately():
    net, generator = network(), torch.Generator()
    optimiser = torch.optim.NAdam(net.parameters(), 1e-2)
    for step in range(80):
        x, masks = discs(12, step)
        optimiser.zero_grad()
        net.loss(x, masks, torch.ones_like(x), LOSSES["tversky"], generator).backward()
        optimiser.step()
    x, masks = discs(12, 1000)
    with torch.no_grad():
        found = net.eval().maps(x, 2) >= 0.5
    true = masks.mean((2, 3, 4))
    share = found.float().mean((2, 3, 4))
    assert (share[:, 1] > 1.5 * share[:, 0]).all()
    torch.testing.assert_close(share.mean(0), true.mean(0), rtol=0.3, atol=0)
    assert np.mean([(a == b).double().mean() for a, b in zip(found, masks.bool(), strict=True)]) > 0.9


def test_pairs_share_no_weights():
    """The loss against one annotator moves one pair alone, as much as if the other were not there."""
    net = network()
    x, masks = discs(3, 0)
    net.loss(x, masks, torch.ones_like(x), LOSSES["bce"], torch.Generator()).backward()
    both = [p.grad.clone() for p in net.pairs[0].parameters()]
    net.zero_grad()
    masks[:, 1] = 1 - masks[:, 1]
    net.loss(x, masks, torch.ones_like(x), LOSSES["bce"], torch.Generator()).backward()
    for before, parameter in zip(both, net.pairs[0].parameters(), strict=True):
        assert torch.equal(before, parameter.grad)
    net.zero_grad()
    (LOSSES["bce"](net.pairs[0](x), masks[:, 0], torch.ones_like(x)) / 2).backward()
    for before, parameter in zip(both, net.pairs[0].parameters(), strict=True):
        torch.testing.assert_close(before, parameter.grad)


def test_maps_are_the_annotators_in_turn_and_their_mean_is_the_probability():
    net, x = network(bands=2, outputs=2, annotators=3).eval(), torch.rand(2, 2, 7, 10)
    with torch.no_grad():
        maps = net.maps(x, 7)
        assert maps.shape == (2, 7, 2, 7, 10) and torch.equal(maps[:, 3:6], maps[:, :3])
        assert not torch.equal(maps[:, 0], maps[:, 1])
        torch.testing.assert_close(net.probability(x), maps[:, :3].mean(1))
        torch.testing.assert_close(maps[:, 1], torch.sigmoid(net.pairs[1](x)))


def test_all_pairs_start_with_the_output_of_a_trained_unet():
    net, unet = network(annotators=3), MobileUNet(**SMALL)
    net.begin_with(unet)
    x = torch.rand(1, 1, 12, 9)
    with torch.no_grad():
        maps, expected = net.eval().maps(x, 3), unet.eval().probability(x)
    torch.testing.assert_close(maps, torch.stack([expected] * 3, 1))


def test_its_architecture_builds_it_again():
    net = network(annotators=3)
    again = build(json.loads(json.dumps(net.architecture)))
    again.load_state_dict(net.state_dict())
    x = torch.rand(1, 1, 9, 12)
    with torch.no_grad():
        assert torch.equal(again.eval().probability(x), net.eval().probability(x))
    assert (again.reach, again.multiple) == (net.pairs[0].reach, net.pairs[0].multiple)


def test_another_number_of_annotators_is_refused():
    x, masks = discs(2, 0)
    with pytest.raises(InvalidArgument, match="build it with annotators=2"):
        network(annotators=3).loss(x, masks, torch.ones_like(x), LOSSES["bce"], torch.Generator())
    with pytest.raises(InvalidModel, match="one annotator or more"):
        network(annotators=0)
