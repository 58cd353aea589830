import numpy as np
import pytest
import torch

from bayesr.errors import InvalidArgument, InvalidModel
from bayesr.model.model import Model
from bayesr.networks.registry import build
from bayesr.observe import bicubic

SIZES = dict(bands=1, scale=4, width=8, blocks=1)


def ensemble() -> Model:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build(**SIZES, networks=3, head="gaussian")
        for parameter in network.parameters():
            if parameter.dim() == 4:
                torch.nn.init.normal_(parameter, std=0.05)
    return Model("three", network.eval().requires_grad_(False), bicubic(4))


def test_every_mask_of_an_ensemble_is_one_of_its_networks():
    model = ensemble()
    y = np.random.default_rng(0).uniform(size=(6, 7)).astype(np.float32)
    ds = model.sample(y, 6, value_range=(0, 1))
    assert ds.attrs["masks"] == 3
    for k, part in enumerate(model.generator.parts):
        alone = Model("one", part, bicubic(4)).sample(y, 6, masks=1, value_range=(0, 1))
        for i in (k, k + 3):  # the latent is that of the member's number, whatever the network
            np.testing.assert_allclose(ds["samples"][i], alone["samples"][i], atol=1e-6)
    between = ds["samples"].groupby("mask").mean("realization").var("mask", ddof=1)
    assert float(between.mean()) > float(ds["aleatoric"].mean()) / 100, "networks differ"


def test_an_ensemble_has_as_many_masks_as_networks():
    with pytest.raises(InvalidArgument, match="fewer"):
        ensemble().sample(np.zeros((4, 4), np.uint8), 8, masks=4)
    assert ensemble().sample(np.zeros((4, 4), np.uint8), 8).attrs["masks"] == 2
    with pytest.raises(InvalidModel, match="at least 2"):
        build(**SIZES, networks=1, head="gaussian")
    with pytest.raises(InvalidModel, match="has no dropout"):
        build(**SIZES, networks=2, head_blocks=1)


def test_an_ensemble_called_as_a_module_needs_to_know_its_network():
    network = ensemble().generator
    y, z = torch.rand(1, 1, 4, 5), torch.randn(2, network.latent_channels, 4, 5)
    for k, part in enumerate(network.parts):
        torch.testing.assert_close(network(y, z, [torch.tensor(k)]), part(y, z))
    with pytest.raises(InvalidArgument, match=r"masks=\[torch.tensor\(k\)\]"):
        network(y, z)
