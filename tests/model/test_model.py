import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr

import bayesr
from bayesr import product
from bayesr.errors import InvalidModel
from bayesr.model.model import Model
from bayesr.networks.registry import build
from bayesr.observe import bicubic
from tests.model.helpers import rewritten


def test_round_trip(model, file, photo):
    again = bayesr.load(file)
    assert again.forward_operator == model.forward_operator and again.scale == 4 and again.bands == 3
    assert dict(again.card) == dict(model.card) and again.halo == model.halo
    assert again.calibration.describe() == model.calibration.describe()
    rounded = {k: v.half().float() for k, v in model.generator.state_dict().items()}
    assert all(torch.equal(v, rounded[k]) for k, v in again.generator.state_dict().items())
    xr.testing.assert_equal(again.sample(photo, 2), bayesr.sample(photo, 2, model=str(file)))
    assert again.promises == {"consistency": True, "one_image": True}


def test_loading_draws_no_random_numbers_of_the_caller(file):
    torch.manual_seed(0)
    before = torch.get_rng_state()
    bayesr.load(file)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("convert", "message"),
    [(lambda network: network.double(), "float64"), (lambda network: network.bfloat16(), "bfloat16"),
     (lambda network: network.to("meta"), "without values")],
)  # fmt: skip
def test_a_network_that_does_not_compute_in_float32_is_refused(model, convert, message):
    converted = replace(model, generator=convert(copy.deepcopy(model.generator)))
    with pytest.raises(InvalidModel, match=message):
        bayesr.sample(np.zeros((4, 5, 3), np.uint8), 2, model=converted, dims="yxb")


def test_another_architecture(file):
    with pytest.raises(InvalidModel, match="cannot be used"):
        bayesr.load(rewritten(file, lambda h: h["architecture"].update(width=16)))
    for damaged in (5, None, "residual", ["residual"]):
        with pytest.raises(InvalidModel, match="cannot be used"):
            bayesr.load(rewritten(file, lambda h, damaged=damaged: h.update(architecture=damaged)))


def test_a_declared_halo_is_kept(file):
    """Products of a file that declares more than its network needs are replayed with the same tiles."""
    needed = bayesr.load(file).halo
    wider = bayesr.load(rewritten(file, lambda h: h.update(halo=needed + 8)))
    assert wider.halo == needed + 8 and bayesr.load(wider.save(file)).halo == needed + 8
    assert bayesr.load(rewritten(file, lambda h: h.update(halo=0))).halo == needed
    for halo in (-1, 10**9, "44", None):
        with pytest.raises(InvalidModel, match="halo"):
            bayesr.load(rewritten(file, lambda h, halo=halo: h.update(halo=halo)))


def test_bundled_model_keeps_its_promises(photo):
    """Consistency, bounds and spread, with the weights that users get."""
    model = bayesr.load("natural-x4")
    x = torch.from_numpy(model.sample(photo, 8)["samples"].values)
    error = model.forward_operator.observe(x.round()) - torch.from_numpy(photo).permute(2, 0, 1)
    assert (10 * torch.log10(255**2 / error.pow(2).mean((1, 2, 3)))).min() >= 58
    assert x.std(0).mean() > 0.5
    whole, tiled = model.sample(photo, 4), model.sample(photo, 4, tile=9)
    for name in whole.data_vars:
        # The factor is a function of a spread that may be next to nothing: not of the image's range.
        tolerance = 1e-3 if name == "calibration" else 1e-5 * 255 ** product.VARIABLES.get(name, (1,))[0]
        assert np.abs(whole[name] - tiled[name]).max() < tolerance, name


@pytest.mark.parametrize(
    "options",
    [{}, {"direct": True}, {"gaussian_dropout": True}, {"gaussian_dropout": True, "direct": True}, {"latent": 0},
     {"head": "gaussian"}, {"head": "quantile"}],
)  # fmt: skip
def test_every_architecture_survives_its_file(options, photo, tmp_path):
    generator = build(**({"width": 8, "blocks": 1, "head_width": 8, "head_blocks": 2, "latent": 2} | options))
    with torch.no_grad():
        for parameter in generator.parameters():
            parameter.copy_(parameter.half().float())
    made = Model("made", generator.eval().requires_grad_(False), bicubic(4))
    again = bayesr.load(made.save(tmp_path / "made.safetensors"))
    assert again.generator.architecture == generator.architecture
    np.testing.assert_allclose(
        again.sample(photo[:9, :9], 4)["samples"].values, made.sample(photo[:9, :9], 4)["samples"].values, atol=1e-3
    )
