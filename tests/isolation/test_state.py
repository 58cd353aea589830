import inspect
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
import xarray as xr

import bayesr
from bayesr.errors import BayesrError, UnfamiliarInput, warn
from bayesr.isolation import isolated, isolation
from bayesr.model import model as models
from bayesr.networks.registry import build
from bayesr.observe import airy
from bayesr.segmentation import segmenter as segmenters
from tests.conftest import TINY, make_model
from tests.isolation.helpers import SETTINGS, all_settings, default_dtype, visible
from tests.sampling.helpers import job_of

IMAGE = np.random.default_rng(0).integers(0, 256, (9, 11), dtype=np.uint8)
TRUTH = np.kron(IMAGE, np.ones((4, 4), np.uint8))
SCENE = np.random.default_rng(1).random((112, 112))
SEEN = SCENE.reshape(28, 4, 28, 4).mean((1, 3))


def forget():
    """Forget loaded models, as in a fresh process."""
    models._load.cache_clear()
    segmenters._load.cache_clear()


def sampled(**options):
    return bayesr.sample(IMAGE, 4, model="fluorescence-x4", **options)


@pytest.fixture(scope="module")
def plain():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnfamiliarInput)
        return sampled()


pytestmark = pytest.mark.filterwarnings("ignore::bayesr.errors.UnfamiliarInput")


@pytest.mark.parametrize("name", SETTINGS)
def test_the_first_call_under_a_setting_is_like_any_other(name, plain):
    forget()
    with SETTINGS[name]():
        before = visible()
        ds = sampled()
        assert visible() == before
        with pytest.raises(BayesrError):
            sampled(tile=-1)
        assert visible() == before
    xr.testing.assert_identical(ds.drop_attrs(), plain.drop_attrs())
    xr.testing.assert_identical(sampled().drop_attrs(), plain.drop_attrs())  # with the model as it was loaded


def test_contexts_in_each_other(plain):
    forget()
    with all_settings():
        before = visible()
        with isolation(), all_settings():
            ds = sampled()
        assert visible() == before
    xr.testing.assert_identical(ds.drop_attrs(), plain.drop_attrs())


def test_every_function_is_isolated(tmp_path, plain):
    """Each of them computes the same under all settings as without."""

    def results(folder):
        forget()
        folder.mkdir()
        ds = sampled(store=folder / "product.zarr", tile=8, progress=False)
        more = bayesr.extend(folder / "product.zarr", 8, progress=False)
        return {
            "load": bayesr.load("fluorescence-x4").halo,
            "sample": ds["std"].values,
            "Model.sample": bayesr.load("fluorescence-x4").sample(IMAGE, 2)["mean"].values,
            "extend": more["std"].values,
            "check": bayesr.check(folder / "product.zarr", progress=False).sound,
            "replay": bayesr.replay(plain, 3, IMAGE).values,
            "score": bayesr.score(plain, TRUTH, progress=False)["lr_psnr"].values,
            "segment": bayesr.segment(plain, img=IMAGE, progress=False)["probability"].values,
            "fit": bayesr.observe.fit(SEEN, SCENE, draws=100, widest=4)["psf_width"].values,
        }

    expected = results(tmp_path / "plain")
    with all_settings():
        found = results(tmp_path / "isolated")
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, name)


def test_training_and_calibration_are_isolated(folder, tmp_path):
    pairs = [(np.roll(IMAGE[:4, :4], i, 0), np.roll(TRUTH[:16, :16], 4 * i, 0)) for i in range(4)]
    pairs = [tuple(image[..., None].repeat(3, -1) for image in pair) for pair in pairs]

    def results(name):
        trained = bayesr.train(TINY, folder, out=tmp_path / f"{name}.safetensors", held_out=0, progress=False)
        calibrated = bayesr.calibrate(trained, pairs, levels=[0.5], dims="yxb", progress=False)
        return trained.sha256, calibrated.calibration.describe()["missed"]

    expected = results("plain")
    with all_settings():
        assert results("isolated") == expected


def test_a_model_that_was_loaded_in_inference_mode_can_be_trained_further(folder, tmp_path):
    start = make_model().save(tmp_path / "start.safetensors")
    with torch.inference_mode():
        model = bayesr.load(start)
    assert not any(weight.is_inference() for weight in model.generator.state_dict().values())
    trained = bayesr.train(
        TINY, folder, out=tmp_path / "more.safetensors", held_out=0, progress=False, start=model,
        steps={stage.name: 1 for stage in TINY.stages},
    )  # fmt: skip
    assert trained.card["start"]["taken"] > 0


@pytest.mark.parametrize("name", ["default device", "autocast", "function mode", "dispatch mode"])
def test_jobs_are_isolated_in_the_thread_that_draws(name, model, photo):
    job = job_of(model, photo[:8, :9], 9)
    tile = next(job.tiles())
    expected = job.draw(tile, lambda work: None), job.member(1, tile)

    def draw():
        with SETTINGS[name]():
            return job_of(model, photo[:8, :9], 9).draw(tile, lambda work: None), job.member(1, tile)

    with ThreadPoolExecutor(1) as pool:
        found = pool.submit(draw).result()
    for variable, values in expected[0].items():
        np.testing.assert_array_equal(found[0][variable], values, variable)
    np.testing.assert_array_equal(found[1], expected[1])


def test_what_operators_keep_is_made_in_isolation():
    """An operator that was first used under a mode serves others: its matrices are kept by size."""
    operator, x = airy(2, na=0.3, wavelength=0.6, pixel=0.5), torch.rand(1, 38, 46)
    with torch.inference_mode(), torch.autocast("cpu"), torch.device("meta"), default_dtype(torch.float64):
        first = operator.project(x)
    x.requires_grad_()
    operator.project(x).sum().backward()
    torch.testing.assert_close(first.clone(), operator.project(x.detach()))


def test_other_threads_see_no_change():
    with default_dtype(torch.float64), ThreadPoolExecutor(1) as pool, isolation():
        assert torch.zeros(1).dtype == torch.float32
        assert pool.submit(lambda: torch.zeros(1).dtype).result() == torch.get_default_dtype() == torch.float64


def test_networks_are_built_in_float32_on_the_cpu():
    with default_dtype(torch.float64), torch.device("meta"):
        network = build(backbone="swin", width=24, blocks=1, backbone_options={"window": 4, "heads": 2})
    weights = network.state_dict().values()
    assert {w.dtype for w in weights if w.is_floating_point()} == {torch.float32}
    assert {w.device for w in weights} == {torch.device("cpu")}


class Threshold(torch.nn.Module):
    """A segmenter without weights, which records what it runs under."""

    def forward(self, x):
        Threshold.seen = torch.is_autocast_enabled("cpu"), x.device.type, x.dtype
        return (x > 0.5).float()


def test_a_module_of_the_caller_runs_under_the_caller_s_settings(plain):
    expected = bayesr.segment(plain, Threshold(), progress=False)["probability"]
    assert Threshold.seen == (False, "cpu", torch.float32)
    with torch.device("meta"), torch.autocast("cpu"), default_dtype(torch.float64):
        found = bayesr.segment(plain, Threshold(), progress=False)["probability"]
    assert Threshold.seen == (True, "cpu", torch.float32)
    xr.testing.assert_equal(found, expected)


def test_functions_keep_their_signature_and_their_warnings_place():
    assert list(inspect.signature(bayesr.sample).parameters)[:3] == ["img", "n", "model"]
    assert bayesr.sample.__module__ == "bayesr.sampling.workflow" and bayesr.sample.__doc__.startswith("Draw n")
    with pytest.warns(UserWarning, match="here") as caught:
        isolated(lambda: warn("here", UserWarning))()
    assert caught[0].filename == __file__


def test_torch_is_not_imported_to_be_set_aside():
    code = (
        "import sys; from bayesr.isolation import isolated\n"
        "assert isolated(lambda a, b=1: a + b)(2, b=3) == 5 and 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
