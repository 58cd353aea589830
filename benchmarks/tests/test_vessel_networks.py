"""Networks of vessel masks."""

import pytest
import torch

from bayesr.networks.segmenters.mobile_unet import MobileUNet
from bayesr_bench.vessel_networks import ThresholdedMaps


@pytest.mark.parametrize("independent", [True, False])
def test_masks_have_the_probabilities_of_the_map(independent):
    torch.manual_seed(0)
    network = ThresholdedMaps(MobileUNet(width=0.1, depth=1, decoder=(4,)).eval(), independent)
    x = torch.rand(2, 1, 6, 7)
    with torch.no_grad():
        p, masks = network.probability(x), network.maps(x, 2000, torch.Generator().manual_seed(0))
    assert (network.reach, network.multiple) == (network.network.reach, network.network.multiple)
    assert set(masks.unique().tolist()) == {0.0, 1.0}
    torch.testing.assert_close(masks.mean(1), p, atol=0.06, rtol=0)  # five standard errors
    nested = bool((masks.sum((2, 3, 4)).argsort(1).diff(dim=1) != 0).any())
    order = masks[0, masks[0].sum((1, 2, 3)).argsort()]
    assert nested and bool((order.diff(dim=0) >= 0).all()) is not independent
