import pytest
import torch

from bayesr.errors import EngineUnavailable, InvalidArgument
from bayesr.networks.exchange import export, halves
from bayesr.networks.registry import build

SIZES = dict(bands=1, scale=2, width=8, blocks=1, head_width=8, head_blocks=1, latent=2)
NORMAL = dict(gaussian_dropout=True, direct=True, mix=8, smooth=True)


def network(**options):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = build(**(SIZES | options))
        for parameter in made.parameters():
            if parameter.dim() == 4:
                torch.nn.init.normal_(parameter, std=0.1)
    return made.eval().requires_grad_(False)


def arguments(net, size, members):
    random = torch.Generator().manual_seed(1)
    y = torch.rand((1, 1, *size), generator=random)
    z = torch.randn((members, net.latent_channels, *size), generator=random) if net.latent_channels else None
    return y, z, net.head.training_masks(1, random)


def test_programs_take_images_of_any_size_and_any_number_of_members():
    net = network(**NORMAL)
    backbone, head = (program.module() for program in export(net))
    for size, members in (((7, 10), 1), ((33, 5), 4)):
        y, z, masks = arguments(net, size, members)
        torch.testing.assert_close(head(backbone(y), z, masks), net(y, z, masks), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "options",
    [{"head": "gaussian"}, {"head": "quantile"}, {"head_blocks": 0, "latent": 0}, {"latent": 0}, {"backbone": "unet"}],
    ids=str,
)
def test_programs_of_one_size_compute_what_the_network_does(options):
    net = network(**options)
    y, z, masks = arguments(net, (8, 16), 2)
    backbone, head = (program.module() for program in export(net, (8, 16)))
    wanted = net.draw(net.prepare(y), y[:, :0] if z is None and net.stochastic else z, masks)
    torch.testing.assert_close(head(backbone(y), z, masks), wanted, rtol=0, atol=1e-6)


def test_halves_leave_out_features_without_channels():
    assert halves(network(head="gaussian")).features == ("detail", "spread")
    assert halves(network(head_blocks=0, latent=0)).features == ("detail",)


@pytest.mark.parametrize("options", [NORMAL, {}], ids=["normal", "bernoulli"])
def test_distributions_of_masks_are_those_of_the_masks(options):
    net = network(**options)
    # Dropout of a tenth, so that a few thousand values show mean and standard deviation.
    laws = halves(net).masks
    random = torch.Generator().manual_seed(0)
    drawn = [net.head.training_masks(1, random) for _ in range(600)]
    assert len(laws) == len(drawn[0])
    for law, values in zip(laws, zip(*drawn, strict=True), strict=True):
        found = torch.stack(values)
        assert list(found.shape[1:]) == law["shape"]
        if law["distribution"] == "normal":
            mean, std = law["mean"], law["std"]
        else:  # of the values 0 and 1 / (1 - rate)
            mean, std = 1, (law["rate"] / (1 - law["rate"])) ** 0.5
            assert law["rate"] == pytest.approx(0.1)
        assert float(found.mean() - mean) == pytest.approx(0, abs=0.1 * std)
        assert float(found.std()) == pytest.approx(std, rel=0.1)


def test_what_cannot_be_traced_is_refused_with_advice():
    with pytest.raises(EngineUnavailable, match=r"give size=\(height, width\)"):
        export(network(backbone="unet"))
    for size in ((8,), (8, 0), (8.0, 8), "ab"):
        with pytest.raises(InvalidArgument, match="size must be height and width"):
            export(network(), size)
    with pytest.raises(InvalidArgument, match=r"each of network\.parts"):
        export(build(bands=1, scale=2, width=8, blocks=1, networks=2, head="gaussian"))
