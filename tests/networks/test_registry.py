"""Networks that are not one generator: ensembles and interpolations, as sampling and model files see them."""

import numpy as np
import pytest
import torch

from bayesr.errors import InvalidArgument, InvalidModel
from bayesr.model.model import Model
from bayesr.networks.backbones.residual import ResidualBackbone
from bayesr.networks.generator import BACKBONES
from bayesr.networks.registry import build
from bayesr.observe import bicubic
from bayesr.resampling import resize

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
    with pytest.raises(InvalidModel, match="drops nothing"):
        build(**SIZES, networks=2, head_blocks=1)


@pytest.mark.parametrize("kind", ["nearest", "bilinear", "bicubic", "lanczos", "pseudo-inverse"])
def test_interpolations_are_what_they_say(kind):
    operator = bicubic(4) if kind == "pseudo-inverse" else bicubic(4).unconstrained()
    network = build(bands=3, scale=4, interpolation=kind, observation=operator.describe())
    y = np.random.default_rng(0).uniform(size=(3, 9, 8)).astype(np.float32)
    x = Model(kind, network, operator).sample(y, 1, value_range=(0, 1), dims="byx")["mean"].to_numpy()
    low = torch.from_numpy(y)
    expected = operator.invert(low) if kind == "pseudo-inverse" else resize(low, kind, 4)
    np.testing.assert_allclose(x, expected, atol=1e-5)


def test_unknown_parts_are_refused_and_own_trunks_known(monkeypatch):
    for bad in (dict(backbone="none"), dict(output="none"), dict(head="none")):
        with pytest.raises(InvalidModel, match="Unknown"):
            build(**SIZES, **bad)
    monkeypatch.setitem(BACKBONES, "mine", ResidualBackbone)
    network = build(**SIZES, backbone="mine", head_blocks=0)
    again = build(**network.architecture)
    again.load_state_dict(network.state_dict())
    y = torch.rand(1, 1, 5, 6)
    assert torch.equal(again.prepare(y), network.prepare(y))
