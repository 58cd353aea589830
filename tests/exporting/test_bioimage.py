import sys
import zipfile

import bioimageio.core
import numpy as np
import onnxruntime
import pytest
import torch

from bayesr.calibration.calibration import Calibration
from bayesr.errors import EngineUnavailable, InvalidArgument, StoreExists, StoreFailed
from bayesr.exporting import bioimage
from bayesr.model.model import Model
from bayesr.networks.registry import build
from bayesr.observe import bicubic


@pytest.fixture(scope="module")
def package(grey_model, tmp_path_factory):
    path = tmp_path_factory.mktemp("package") / "tiny.zip"
    return bioimage.write(grey_model, path, size=(9, 12), n=4, seed=3, authors=["A. Person"])


@pytest.mark.filterwarnings("ignore")  # of the package's own libraries
def test_a_package_passes_the_test_of_the_zoo(package):
    summary = bioimageio.core.test_model(package)
    assert summary.status == "passed", summary.format()


def test_its_graph_computes_mean_and_standard_deviation_of_sample(grey_model, package):
    with zipfile.ZipFile(package) as file:
        session = onnxruntime.InferenceSession(file.read("model.onnx"))
        assert b"A. Person" in file.read("rdf.yaml")
    y = np.random.default_rng(0).uniform(size=(9, 12)).astype(np.float32)
    mean, std = session.run(None, {"image": y[None, None]})
    ds = grey_model.sample(y, 4, seed=3, value_range=(0, 1))
    assert ds.attrs["masks"] == 2, "the variance of the means of masks counts, too"
    np.testing.assert_allclose(mean[0], ds["mean"], rtol=0, atol=1e-5)
    np.testing.assert_allclose(std[0], ds["std"], rtol=0, atol=1e-5)
    assert float(ds["std"].mean()) > 1e-3


@pytest.mark.parametrize("calibration", [Calibration(), Calibration(np.array([1e-3, 0.1]), np.array([9.0, 0.5]))])
def test_the_factor_is_that_of_the_calibration(calibration):
    raw = np.geomspace(1e-6, 1, 60).astype(np.float32)
    found = bioimage._Factor(calibration)(torch.from_numpy(raw))
    np.testing.assert_allclose(found, calibration.factors(raw), rtol=1e-5)


def test_what_cannot_be_written_is_refused_before_any_work(grey_model, tmp_path, monkeypatch):
    def refuses(error, match, path=tmp_path / "a.zip", model=grey_model, **options):
        with pytest.raises(error, match=match):
            bioimage.write(model, path, **options)

    (tmp_path / "there.zip").touch()
    refuses(InvalidArgument, "must end with .zip", tmp_path / "a.onnx")
    refuses(InvalidArgument, "number of members", n=1)
    refuses(InvalidArgument, "the seed", seed=-1)
    refuses(InvalidArgument, "size must be height and width", size=(8, 0))
    refuses(StoreExists, "use overwrite=True", tmp_path / "there.zip")
    refuses(StoreFailed, "make it first", tmp_path / "none" / "a.zip")
    several = build(bands=1, scale=4, width=8, blocks=1, networks=2, head="gaussian")
    refuses(InvalidArgument, "ensemble cannot be packaged", model=Model("two", several.eval(), bicubic(4)))
    monkeypatch.setitem(sys.modules, "bioimageio.spec", None)
    refuses(EngineUnavailable, r"pip install 'bayesr\[bioimage\]'")
    assert [path.name for path in tmp_path.iterdir()] == ["there.zip"]
