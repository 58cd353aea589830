import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

from bayesr.errors import InvalidArgument, InvalidModel
from bayesr.networks.segmenters.mobile_unet import MobileUNet
from bayesr.networks.vision import torchvision
from bayesr.segmentation.losses import bce
from bayesr.segmentation.registry import build


def make(seed: int = 0, **options: object) -> MobileUNet:
    """Return a network in evaluation mode, with statistics that differ from those of a new one."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = MobileUNet(**({"width": 0.25, "depth": 2} | options)).eval()
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(std=0.1)
                module.running_var.uniform_(0.5, 1.5)
                module.bias.data.normal_(std=0.1)
    return network


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 5), st.integers(1, 4))
def test_outputs_have_the_size_of_inputs(height, width, depth, bands):
    network = make(depth=depth, bands=bands, outputs=2)
    with torch.no_grad():
        logits = network(torch.rand(1, bands, height, width))
    assert logits.shape == (1, 2, height, width) and logits.isfinite().all()


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_a_pixel_depends_on_pixels_within_reach_alone(depth):
    """The gradient is checked at every phase of the coarse grid; the reach is at most twice the exact one."""
    network, multiple = make(depth=depth), 2**depth
    side = -(-(2 * network.reach + 8) // multiple) * multiple
    x = torch.rand(1, 1, side, side, requires_grad=True)
    logits = network(x)
    farthest = 0
    for pixel in range(side // 2, side // 2 + multiple):
        (gradient,) = torch.autograd.grad(logits[0, 0, pixel, pixel], x, retain_graph=True)
        seen = gradient[0, 0].nonzero()
        farthest = max(farthest, int((seen - pixel).abs().max()))
    assert network.reach / 2 <= farthest <= network.reach


def test_windows_agree_with_the_whole():
    network = make(depth=2, outputs=2)
    x = torch.rand(1, 1, 150, 131)
    halo = -(-network.reach // network.multiple) * network.multiple
    with torch.no_grad():
        whole = network(x)
        first = 60 // network.multiple * network.multiple
        window = network(x[..., first - halo : first + 20 + halo, :])
    torch.testing.assert_close(window[..., halo : halo + 20, :], whole[..., first : first + 20, :], atol=1e-5, rtol=0)


def test_the_encoder_is_mobilenet():
    """At width 1 and depth 5 features are those of torchvision's network with the same weights."""
    torchvision()
    from torchvision.models import mobilenet_v2

    network = make(bands=3, width=1.0, depth=5)
    reference = mobilenet_v2(weights=None).eval().features[:18]
    states = [stage.state_dict() for stage in network.encoder]
    own = [value for state in states for value in state.values()]
    assert len(own) == len(reference.state_dict())
    for value, mine in zip(reference.state_dict().values(), own, strict=True):
        value.copy_(mine)
    x = torch.rand(1, 3, 64, 32)
    with torch.no_grad():
        features = network.encode(x)
        torch.testing.assert_close(features[-1], reference(x - 0.5), atol=1e-5, rtol=1e-4)
    assert [f.shape[-2:] for f in features] == [(64 // 2**k, 32 // 2**k) for k in range(6)]


def test_the_architecture_builds_it_again():
    network = make(bands=2, outputs=2, width=0.35, depth=3, decoder=[5, 7, 9])
    again = build(json.loads(json.dumps(network.architecture))).eval()
    again.load_state_dict(network.state_dict())
    x = torch.rand(1, 2, 20, 21)
    with torch.no_grad():
        torch.testing.assert_close(again(x), network(x), atol=0, rtol=0)
    assert (again.reach, again.multiple) == (network.reach, network.multiple)


def test_loss_and_maps():
    network, generator = make(outputs=2), torch.Generator()
    x, weight = torch.rand(2, 1, 16, 16), torch.rand(2, 1, 16, 16)
    targets = (torch.rand(2, 3, 2, 16, 16) > 0.5).float()
    with torch.no_grad():
        loss = network.loss(x, targets, weight, bce, generator)
        alone = [bce(network(x), targets[:, k], weight) for k in range(3)]
        maps, probability = network.maps(x, 4), network.probability(x)
    torch.testing.assert_close(loss, torch.stack(alone).mean())
    torch.testing.assert_close(probability, torch.sigmoid(network(x)).detach())
    assert maps.shape == (2, 4, 2, 16, 16)
    assert (maps == probability[:, None]).all()


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_an_encoder_from_a_file(tmp_path, suffix):
    """A grey network is the colour network of a grey image; the head and decoder stay as they were."""
    colour, grey = make(1, bands=3), make(2)
    blocks = [block for stage in colour.encoder for block in stage]
    weights = {f"features.{i}.{k}": v for i, block in enumerate(blocks) for k, v in block.state_dict().items()}
    path, head = tmp_path / f"encoder{suffix}", grey.head.weight.clone()
    if suffix == ".pth":
        torch.save(weights, path)
    else:
        save_file(weights, path)
    grey.start_from(path)
    x = torch.rand(1, 1, 16, 16)
    with torch.no_grad():
        seen, expected = grey.encode(x), colour.encode(x.repeat(1, 3, 1, 1))
    for mine, other in zip(seen[1:], expected[1:], strict=True):
        torch.testing.assert_close(mine, other, atol=1e-5, rtol=1e-4)
    assert (grey.head.weight == head).all()
    with pytest.raises(InvalidArgument, match=r"width 0.5.*features"):
        make(width=0.5).start_from(path)


def test_an_encoder_file_runs_no_code(tmp_path):
    class Trap:
        def __reduce__(self):
            return (exec, (f"open({str(tmp_path / 'ran')!r}, 'w')",))

    torch.save({"features.0.0.weight": Trap()}, tmp_path / "trap.pth")
    (tmp_path / "damaged.safetensors").write_bytes(b"nothing")
    torch.save([torch.zeros(1)], tmp_path / "list.pth")
    for name in ("trap.pth", "damaged.safetensors", "list.pth", "absent.pth"):
        with pytest.raises(InvalidArgument, match=name.split(".")[0]):
            make().start_from(tmp_path / name)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("options", [{"depth": 6}, {"depth": 0}, {"bands": 0}, {"width": 0.0}, {"decoder": [8]}])
def test_invalid_sizes_are_refused(options):
    with pytest.raises(InvalidModel):
        make(**options)
