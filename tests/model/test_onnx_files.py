import json
import re
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

import bayesr
from bayesr.calibration.factor import interpolate_factor
from bayesr.errors import EngineUnavailable, StoreExists, StoreFailed
from bayesr.model import onnx_files
from bayesr.model.file import weights_checksum
from bayesr.model.model import Model
from bayesr.networks.registry import build
from bayesr.observe import bicubic
from tests.conftest import make_model

PAGE = Path(__file__).parents[2] / "docs" / "exchange.md"


def network(**options):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = build(**(dict(bands=1, scale=2, width=8, blocks=1, head_width=8, head_blocks=1, latent=2) | options))
        for parameter in made.parameters():
            if parameter.dim() == 4:
                torch.nn.init.normal_(parameter, std=0.05)
    return made.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A model with normal masks, as the bundled ones have, and the folder of its graphs."""
    net = network(gaussian_dropout=True, dropout=0.3, mix=8)
    model = Model("small", net, bicubic(2), calibration=make_model().calibration, card={"licence": "CC0-1.0"})
    folder = tmp_path_factory.mktemp("onnx") / "small"
    model.to_onnx(folder)
    return model, folder


def sessions(folder, suffix=""):
    return [onnxruntime.InferenceSession(folder / f"{half}{suffix}.onnx") for half in ("backbone", "head")]


def drawn(folder, y, z, masks, suffix=""):
    backbone, head = sessions(folder, suffix)
    names = [output.name for output in backbone.get_outputs()]
    inputs = dict(zip(names, backbone.run(None, {"y": y.numpy()}), strict=True))
    inputs |= {f"mask_{i}": mask.numpy() for i, mask in enumerate(masks)}
    inputs |= {} if z is None else {"z": z.numpy()}
    return torch.from_numpy(head.run(None, inputs)[0])


@pytest.mark.parametrize(("size", "members"), [((7, 10), 1), ((33, 5), 4)])
def test_graphs_compute_what_the_network_does(exported, size, members):
    model, folder = exported
    net, random = model.generator, torch.Generator().manual_seed(1)
    y = torch.rand((1, 1, *size), generator=random)
    z = torch.randn((members, net.latent_channels, *size), generator=random)
    masks = net.head.training_masks(1, random)
    torch.testing.assert_close(drawn(folder, y, z, masks), net(y, z, masks), rtol=0, atol=1e-5)


def test_the_example_of_the_page_draws_the_members_of_sample(exported):
    model, folder = exported
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    names: dict = {}
    exec(next(block for block in blocks if "def draw" in block), names)
    y = np.random.default_rng(0).uniform(size=(1, 9, 13)).astype(np.float32)
    ds = bayesr.sample(y[0], 6, masks=3, seed=7, model=model, value_range=(0, 1))
    for i in (0, 4):
        x = names["draw"](folder, y, member=i, seed=7, masks=3)
        np.testing.assert_allclose(x, ds["samples"][i], rtol=0, atol=1e-5)
    assert float(ds["std"].mean()) > 1e-3, "members differ"


def test_metadata_say_what_is_computed_outside_of_the_graphs(exported):
    model, folder = exported
    for half in ("backbone", "head"):
        file = onnx.load(folder / f"{half}.onnx")
        onnx.checker.check_model(file, full_check=True)
        about = json.loads({entry.key: entry.value for entry in file.metadata_props}["bayesr"])
        assert about["opset"] == next(one.version for one in file.opset_import if not one.domain)
        for name, value in (
            ("scale", 2),
            ("bands", 1),
            ("latent_channels", 2),
            ("value_scaling", "value_range to [0, 1]"),
        ):
            assert about[name] == value
        assert about["forward_operator"] == {"kernel": "bicubic", "scale": 2} and about["card"] == {
            "licence": "CC0-1.0"
        }
        assert about["sha256"] == weights_checksum(model.generator)
        assert about["calibration"] == json.loads(json.dumps(model.calibration.describe()))
    axes = {value.name: [size.dim_param or size.dim_value for size in value.type.tensor_type.shape.dim]
            for value in [*file.graph.input, *file.graph.output]}  # fmt: skip
    assert axes["z"] == ["members", 2, "height", "width"]
    assert axes["g"] == ["members", 1, "2*height", "2*width"]


def test_the_calibration_of_the_page_is_that_of_the_library(exported):
    """The formula of the page, from the values in the metadata."""
    about = json.loads(sessions(exported[1])[1].get_modelmeta().custom_metadata_map["bayesr"])["calibration"]
    spread, factor = np.array(about["spread"]), np.array(about["factor"])
    raw = np.geomspace(1e-5, 1, 50)
    formula = re.search(r"`at = (?P<at>[^`]*)`, `factor = (?P<factor>[^`]*)`", PAGE.read_text())
    assert formula is not None
    names = {"log": np.log, "exp": np.exp, "clip": np.clip, "interp": np.interp, "min": np.minimum}
    names |= dict(raw=raw, spread=spread)
    names["at"] = eval(formula["at"], names)
    found = eval(formula["factor"], names | {"factor": factor})
    np.testing.assert_allclose(found, interpolate_factor(raw, spread, factor), rtol=1e-6)


def test_what_would_be_replaced_or_cannot_be_written_is_refused_first(exported, tmp_path):
    model, folder = exported
    with pytest.raises(StoreExists, match=r"backbone\.onnx exists: use overwrite=True"):
        model.to_onnx(folder)
    with pytest.raises(StoreFailed, match=r"no folder .*: make it first"):
        model.to_onnx(tmp_path / "none" / "small")
    with pytest.raises(EngineUnavailable, match="ONNX cannot hold this network"):
        Model("quantiles", network(head="quantile"), bicubic(2)).to_onnx(tmp_path / "small", size=(8, 8))
    assert not list(tmp_path.iterdir())


def test_the_packages_are_optional(exported, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(EngineUnavailable, match=r"pip install 'bayesr\[onnx\]'"):
        exported[0].to_onnx(tmp_path / "small")
    assert not list(tmp_path.iterdir())


def test_an_ensemble_has_graphs_for_each_network(tmp_path):
    net = network(networks=2, head="gaussian")
    paths = onnx_files.write(tmp_path / "two", net, {}, (6, 7))
    assert [path.name for path in paths] == ["backbone-0.onnx", "head-0.onnx", "backbone-1.onnx", "head-1.onnx"]
    y, z = torch.rand(1, 1, 6, 7), torch.randn(2, net.latent_channels, 6, 7)
    for k, part in enumerate(net.parts):
        torch.testing.assert_close(drawn(tmp_path / "two", y, z, [], f"-{k}"), part(y, z), rtol=0, atol=1e-5)
