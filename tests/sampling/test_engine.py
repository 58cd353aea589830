import gc
import json
import os
import random
import sys
import weakref
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import PIL.Image
import pytest
import torch
import xarray as xr
from click.testing import CliRunner

import bayesr
from bayesr.cli import main
from bayesr.errors import BayesrError, EngineUnavailable
from bayesr.networks.registry import build
from bayesr.sampling import engine
from tests.conftest import make_model


def close(compiled: xr.Dataset, eager: xr.Dataset, width: float) -> None:
    """Members to 1e-4 of the value range, and what is computed from them."""
    for name in ("samples", "mean", "std", "lower", "upper"):
        np.testing.assert_allclose(compiled[name], eager[name], rtol=0, atol=1e-4 * width, err_msg=name)


@pytest.mark.parametrize("tile", [None, 11])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("bands", [1, 3])
def test_members_are_those_of_eager_execution(photo, bands, dtype, tile):
    """Windows of odd sizes, batches of different sizes, bands one by one."""
    model = make_model(bands)
    y = photo[:21, :29].astype(dtype)
    options = {"n": 10, "masks": 2, "tile": tile, "value_range": (0, 255)}
    compiled = model.sample(y, device="openvino", **options)
    close(compiled, model.sample(y, device="cpu", **options), 255)
    assert float(compiled["samples"].std("realization").mean()) > 1


@pytest.mark.parametrize("name", [info.name for info in bayesr.models()])
@pytest.mark.filterwarnings("ignore::bayesr.errors.UnfamiliarInput")
def test_members_of_bundled_models(photo, name):
    close(bayesr.sample(photo, 4, model=name, device="openvino"), bayesr.sample(photo, 4, model=name), 255)


@pytest.mark.parametrize(
    "options", [{"head": "gaussian"}, {"head": "quantile"}, {"latent": 0}, {"gaussian_dropout": True, "direct": True}]
)
def test_other_heads_need_no_code_of_their_own(model, photo, options):
    sizes = {"width": 8, "blocks": 1, "head_width": 8, "head_blocks": 2, "latent": 2} | options
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        other = replace(model, generator=build(**sizes).eval().requires_grad_(False))
    close(other.sample(photo, 8, device="openvino"), other.sample(photo, 8), 255)


def test_point_estimators(photo):
    model = make_model(head_blocks=0)
    compiled, eager = (model.sample(photo, 1, device=device)["samples"] for device in ("openvino", "cpu"))
    np.testing.assert_allclose(compiled, eager, rtol=0, atol=255e-4)


def test_networks_that_cannot_be_converted_are_refused():
    class Eigenvalues(torch.nn.Module):
        def forward(self, x):
            return torch.linalg.eigvalsh(x)

    with pytest.raises(EngineUnavailable, match=r"eigvalsh.*use device='cpu'"):
        engine.Graph(Eigenvalues())([torch.eye(3)])


@pytest.mark.parametrize("options", [{}, {"tile": 16}])
def test_replay_uses_the_engine_of_the_product(model, photo, options, monkeypatch):
    ds = model.sample(photo, 12, device="openvino", **options)
    assert json.loads(ds.attrs["engine"])["device"] == "openvino"
    assert "openvino" in json.loads(ds.attrs["engine"])
    for i in (0, 7):
        np.testing.assert_array_equal(bayesr.replay(ds, i, photo, model=model), ds["samples"].sel(realization=i))
    hide(monkeypatch)
    with pytest.raises(EngineUnavailable, match=r"pip install 'bayesr\[engine\]'"):
        bayesr.replay(ds, 0, photo, model=model)


def hide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    engine.openvino.cache_clear()


def test_a_missing_package_is_named_before_any_work(model, monkeypatch):
    hide(monkeypatch)
    with pytest.raises(EngineUnavailable, match=r"pip install 'bayesr\[engine\]'") as caught:
        model.sample("no such image", 4, device="openvino")
    assert isinstance(caught.value, BayesrError)
    monkeypatch.undo()
    engine.openvino.cache_clear()
    assert engine.openvino().__name__ == "openvino"


def test_a_shape_is_compiled_once(photo):
    model = make_model(seed=3)
    model.sample(photo, 4, device="openvino")
    graphs = engine.compiled(model.generator)._graphs
    before = [graph._request.cache_info().misses for graph in graphs]
    model.sample(photo, 8, device="openvino", masks=4, seed=1)
    assert [graph._request.cache_info().misses for graph in graphs] == before == [1, 1]
    for side in range(4, 5 + engine._KEPT):
        model.sample(photo[:side], 4, dims="yxb", device="openvino")
    assert all(graph._request.cache_info().currsize <= engine._KEPT for graph in graphs)


def test_compiled_networks_are_released_with_their_networks():
    model = make_model(seed=4)
    compiled = weakref.ref(engine.compiled(model.generator))
    assert engine.compiled(model.generator) is compiled()
    del model
    gc.collect()
    assert compiled() is None


def test_changed_weights_are_compiled_again(photo):
    model = make_model(seed=6)
    before = model.sample(photo, 4, device="openvino")
    model.generator.up.weight.mul_(-1)
    after = model.sample(photo, 4, device="openvino")
    assert float(np.abs(after["mean"] - before["mean"]).max()) > 1
    close(after, model.sample(photo, 4), 255)


def test_threads_and_precision(model, photo):
    threads = torch.get_num_threads()
    # OpenVINO gives no more threads than the process has cores: a request for two on one core is no fault of ours.
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        for count in range(1, min(cores, 2) + 1):
            torch.set_num_threads(count)
            model.sample(photo, 4, device="openvino")
            graph = engine.compiled(model.generator)._graphs[0]
            compiled, _ = graph._request(((1, *photo.shape),), count)
            assert compiled.get_property("INFERENCE_NUM_THREADS") == count
            assert compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name() == "f32"
    finally:
        torch.set_num_threads(threads)


def test_callers_may_sample_at_once(model, photo):
    wanted = [model.sample(photo, 4, seed=seed, device="openvino") for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        found = pool.map(lambda seed: model.sample(photo, 4, seed=seed, device="openvino"), range(4))
        for ours, theirs in zip(wanted, found, strict=True):
            np.testing.assert_array_equal(ours["samples"], theirs["samples"])


def test_nothing_is_copied(model):
    """Images lie in the memory that they are given, and features as convolutions want them."""
    network = engine.compiled(model.generator)
    with torch.inference_mode():
        y = torch.rand(1, 3, 9, 7).contiguous(memory_format=torch.channels_last)
        shared, out = network.prepare(y), torch.empty(4, 3, 36, 28)
        assert all(part.is_contiguous(memory_format=torch.channels_last) for part in shared if part.numel())
        z, masks = torch.randn(2, network.latent_channels, 9, 7), network.head.training_masks(1, torch.Generator())
        x = network.draw(shared, z, masks, out)
        assert x.shape == (2, 3, 36, 28) and x.data_ptr() == out.data_ptr()
        torch.testing.assert_close(x, model.generator.draw(model.generator.prepare(y), z, masks), rtol=0, atol=1e-5)


def test_no_side_effects(photo):
    model = make_model(seed=5)
    state = {k: v.clone() for k, v in model.generator.state_dict().items()}
    model.generator.backbone.train()
    modes = [m.training for m in model.generator.modules()]
    threads = torch.get_num_threads()
    random.seed(0)
    before = (random.getstate(), torch.get_rng_state())
    model.sample(photo, 4, device="openvino")
    assert (random.getstate() == before[0]) and torch.equal(torch.get_rng_state(), before[1])
    assert modes == [m.training for m in model.generator.modules()] and threads == torch.get_num_threads()
    assert all(torch.equal(v, state[k]) for k, v in model.generator.state_dict().items())
    assert "openvino_telemetry" not in sys.modules, "nothing is reported to anyone"


def test_command_line(photo, tmp_path):
    PIL.Image.fromarray(photo).save(tmp_path / "photo.png")
    options = [str(tmp_path / "photo.png"), str(tmp_path / "out.zarr"), "-n", "2", "--device", "openvino"]
    result = CliRunner().invoke(main, ["sample", *options])
    assert result.exit_code == 0, result.output
    assert json.loads(xr.open_zarr(tmp_path / "out.zarr", consolidated=False).attrs["engine"])["device"] == "openvino"
