import dataclasses

import pytest
import torch

import bayesr
from bayesr.errors import TrainingFailed
from bayesr.networks.discriminators import PairedDiscriminator
from bayesr.networks.registry import BACKBONES, build
from bayesr.observe import bicubic
from bayesr.training.data import load_images
from bayesr.training.degradation import Degradation
from bayesr.training.loop import Trainer
from bayesr.training.pairs import Pairs
from bayesr.training.publishing import read_start
from bayesr.training.warmstart import StartingPoint, transfer_discriminator, transfer_weights
from tests.conftest import TINY

SIZES = dict(width=8, blocks=2, head_width=6, head_blocks=2, latent=2)


def network(bands=3, scale=4, seed=0, **sizes):
    torch.manual_seed(seed)
    made = build(bands=bands, scale=scale, **SIZES | sizes)
    for parameter in made.parameters():
        if parameter.dim() == 4:
            torch.nn.init.normal_(parameter, std=0.1)
    return made


def members(net, y, z):
    nothing = [torch.zeros(1, size) for size in net.head.mask_sizes]
    return net.draw(net.prepare(y), z, net.head.masks(nothing))


def test_equal_architectures_are_copied():
    source, target = network(seed=1), network(seed=2)
    taken = transfer_weights(target, source)
    assert not taken.fresh and not taken.adapted and len(taken.whole) == len(target.state_dict())
    assert all(torch.equal(value, source.state_dict()[name]) for name, value in target.state_dict().items())


@pytest.mark.parametrize("mix", [0, 48])
def test_a_grey_network_agrees_with_its_colour_source_on_grey_images(mix):
    """Members agree in the mean over bands if the path from latents to pixels is linear in the bands."""
    source, target = network(3, seed=1, mix=mix), network(1, seed=2, mix=mix)
    taken = transfer_weights(target, source)
    assert not taken.fresh and "backbone.head.weight" in taken.adapted and "up.weight" in taken.adapted
    y, z = torch.rand(1, 1, 6, 5), torch.randn(1, 4, 6, 5)
    colour = source.draw(source.prepare(y.expand(-1, 3, -1, -1)), None, []).mean(1, keepdim=True)
    torch.testing.assert_close(target.draw(target.prepare(y), None, []), colour, rtol=1e-4, atol=1e-5)
    if mix:
        colour = members(source, y.expand(-1, 3, -1, -1), z).mean(1, keepdim=True)
        torch.testing.assert_close(members(target, y, z), colour, rtol=1e-4, atol=1e-5)


def test_a_colour_network_from_a_grey_source_treats_bands_alike():
    source, target = network(1, seed=1), network(3, seed=2)
    assert not transfer_weights(target, source).fresh
    y, z = torch.rand(1, 1, 6, 5), torch.randn(1, 4, 6, 5)
    made = members(target, y.expand(-1, 3, -1, -1), z)
    torch.testing.assert_close(made, members(source, y, z).expand(-1, 3, -1, -1), rtol=1e-4, atol=1e-5)


def test_another_scale_factor_leaves_sub_pixel_layers_fresh():
    source, target = network(scale=4, seed=1), network(scale=2, seed=2)
    before = {name: value.clone() for name, value in target.state_dict().items()}
    taken = transfer_weights(target, source)
    layers = {name.rpartition(".")[0] for name in taken.fresh}
    assert layers == {"up", "head.exit", "head.spread"}
    for name, value in target.state_dict().items():
        assert torch.equal(value, before[name] if name in taken.fresh else source.state_dict()[name]), name


def test_another_head_is_fresh_where_it_differs():
    source = network(seed=1)
    for change in (dict(head_width=10), dict(mix=16), dict(head_blocks=3), dict(head="gaussian")):
        target = network(seed=2, **change)
        taken = transfer_weights(target, source)
        assert taken.fresh and all(name.startswith("head.") for name in taken.fresh)
        backbone = [name for name in target.state_dict() if name.startswith(("backbone.", "up."))]
        assert set(backbone) <= set(taken.whole)


def test_a_direct_path_that_the_source_lacks_changes_no_member():
    source, target = network(seed=1), network(seed=2, direct=True, gaussian_dropout=True)
    taken = transfer_weights(target, source)
    assert taken.zero == ["head.direct.weight"] and set(taken.fresh) == {"head.dropout_logit", "head.typical"}
    y, z = torch.rand(1, 3, 6, 5), torch.randn(1, 4, 6, 5)
    torch.testing.assert_close(members(target, y, z), members(source, y, z))
    other = network(seed=3, direct=True, mix=16)
    assert not transfer_weights(other, source).zero and other.head.direct.weight.any()


@pytest.mark.parametrize("change", [dict(width=12), dict(blocks=3), dict(blocks=1)])
def test_another_backbone_is_refused(change):
    source, target = network(seed=1), network(seed=2, **change)
    before = {name: value.clone() for name, value in target.state_dict().items()}
    with pytest.raises(TrainingFailed, match="backbone"):
        transfer_weights(target, source)
    assert all(torch.equal(value, before[name]) for name, value in target.state_dict().items())


def test_a_recipe_of_its_sizes_starts_from_a_bundled_model():
    bundled = bayesr.load("natural-x4").generator
    target = build(**bundled.architecture | {"head_width": 24})
    taken = transfer_weights(target, bundled)
    assert all(name in taken.whole for name in target.state_dict() if name.startswith(("backbone.", "up.")))


def test_a_trainer_records_its_start(trainer, tmp_path):
    other = Trainer(dataclasses.replace(TINY, network=TINY.network | {"head_width": 12}), trainer.pairs)
    other.start_from(StartingPoint(trainer.generator, {"model": "an older one"}))
    assert other.start["model"] == "an older one" and "tail.exit" in other.start["fresh"], "by stored names"
    for network in (other.generator, other.average):
        assert torch.equal(network.up.weight, trainer.generator.up.weight)
    other.save(tmp_path / "c.npz")
    again = Trainer(other.recipe, trainer.pairs)
    again.load(tmp_path / "c.npz")
    assert again.start == other.start


@pytest.mark.parametrize("backbone", sorted(BACKBONES))
def test_every_backbone_starts_from_another_scale_factor_and_other_bands(backbone):
    options = {"swin": dict(heads=2, depth=2, window=4)}.get(backbone)
    sizes = dict(width=8, blocks=1, head_blocks=0, backbone=backbone, backbone_options=options)
    source, target = build(bands=1, scale=2, **sizes), build(bands=3, scale=4, **sizes)
    taken = transfer_weights(target, source)
    assert {name.partition(".")[0] for name in taken.fresh if not name.endswith(("._u", "._v"))} <= {"up"}
    y = torch.rand(1, 1, 8, 8)
    if backbone != "attention":  # whose weights are divided by their norm, which a sum over bands changes
        for network in (source, target):
            network.eval()
        grey, colour = source.backbone(y), target.backbone(y.expand(-1, 3, -1, -1))
        torch.testing.assert_close(colour, grey, rtol=1e-4, atol=1e-5)


def test_a_discriminator_starts_from_that_of_other_bands():
    """For grey images it returns what it returned for three equal bands."""
    colour, grey = PairedDiscriminator(3, width=4), PairedDiscriminator(1, width=4)
    grey.load_state_dict(transfer_discriminator(grey, colour.state_dict()))
    x, context = torch.rand(2, 2, 1, 16, 16)
    for ours, theirs in zip(
        grey(x, context)[0], colour(*(v.expand(-1, 3, -1, -1) for v in (x, context)))[0], strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    assert transfer_discriminator(PairedDiscriminator(3, width=8), colour.state_dict()) is None
    assert transfer_discriminator(grey, {}) is None


def test_a_trainer_starts_from_discriminators_of_the_same_name(trainer, tmp_path):
    while trainer.step < 8:
        trainer.advance()
    trainer.save(tmp_path / "c.npz")
    other = Trainer(TINY, trainer.pairs, seed=5)
    other.start_from(StartingPoint(trainer.generator, checkpoint=tmp_path / "c.npz"))
    assert other.start["discriminators"] == ["critic"]
    for name, value in trainer.networks["critic"].state_dict().items():
        assert torch.equal(other.networks["critic"].state_dict()[name], value)
    renamed = dataclasses.replace(TINY, discriminators={"another": TINY.discriminators["critic"]})
    other = Trainer(renamed, trainer.pairs)
    other.start_from(StartingPoint(trainer.generator, checkpoint=tmp_path / "c.npz"))
    assert "discriminators" not in other.start


def test_a_head_of_projected_members_starts_anew_where_members_are_not(trainer, folder, tmp_path):
    """The projection removed a part of its deviations, which no loss has seen."""
    noisy = Pairs(load_images([folder]), bicubic(4), TINY.patch, degradation=Degradation(noise=(0, 0.05)))
    other = Trainer(TINY, noisy, seed=5)
    before = {name: value.clone() for name, value in other.generator.state_dict().items()}
    other.start_from(StartingPoint(trainer.generator, projected=True))
    source = trainer.generator.state_dict()
    for name, value in other.generator.state_dict().items():
        assert torch.equal(value, (before if name.startswith("head.") else source)[name]), name
    assert "tail.exit" in other.start["fresh"]
    for kept in (None, False):  # unknown, as of older checkpoints, or not projected either
        assert not Trainer(TINY, noisy).start_from(StartingPoint(trainer.generator, projected=kept)).fresh
    assert not Trainer(TINY, trainer.pairs).start_from(StartingPoint(trainer.generator, projected=True)).fresh
    trainer.save(tmp_path / "exact.npz")
    other.save(tmp_path / "noisy.npz")
    assert [read_start(tmp_path / name).projected for name in ("exact.npz", "noisy.npz")] == [True, False]
    assert read_start("natural-x4").projected and not read_start("microscopy-x4").projected
