import numpy as np
import pytest
import torch

from bayesr.errors import BandMismatch, InvalidArgument, InvalidModel, InvalidPixels, UnknownModel
from bayesr.networks.segmenters.mobile_unet import MobileUNet
from bayesr.segmentation.segmenter import Segmenter, load
from tests.segmentation.helpers import noise, unet


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    return Segmenter("tiny", unet(outputs=2), scaling="percentiles", smallest=3, card={"steps": 7})


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    return noise()


def test_a_segmentation(segmenter, image):
    found = segmenter(image, (0, 255))
    assert found.probability.shape == found.labels.shape == (90, 101)
    assert found.probability.dtype == np.float32 and found.labels.dtype == np.int32
    assert 0 <= found.probability.min() < 0.5 < found.probability.max() <= 1
    numbers, sizes = np.unique(found.labels, return_counts=True)
    assert (numbers == np.arange(numbers.size)).all() and sizes[1:].min() >= 3
    assert not ((found.labels > 0) & (found.probability < 0.5)).any()
    again = segmenter(image, (0, 255))
    assert (again.probability == found.probability).all() and (again.labels == found.labels).all()


def test_a_segmenter_is_saved_and_loaded(segmenter, image, tmp_path):
    path = segmenter.save(tmp_path / "cells.safetensors")
    again = load(path)
    assert load(again) is again and load(str(path)) is again
    for name in ("inputs", "scaling", "threshold", "smallest", "card"):
        assert getattr(again, name) == getattr(segmenter, name)
    assert again.name == "cells" and len(again.sha256) == 64
    np.testing.assert_allclose(again(image).probability, segmenter(image).probability, atol=0.02)  # fp16
    assert load(again.save(tmp_path / "copy.safetensors")).sha256 == again.sha256
    assert not any(p.requires_grad for p in again.network.parameters()) and not again.network.training


def test_invalid_files_are_refused(segmenter, grey_model, tmp_path):
    with pytest.raises(UnknownModel, match="nowhere"):
        load("nowhere")
    with pytest.raises(InvalidModel, match="no segmenter"):
        load(grey_model.save(tmp_path / "model.safetensors"))
    content = bytearray(segmenter.save(tmp_path / "cells.safetensors").read_bytes())
    content[-1] ^= 1
    (tmp_path / "damaged.safetensors").write_bytes(content)
    with pytest.raises(InvalidModel, match="checksum"):
        load(tmp_path / "damaged.safetensors")
    torch.save(segmenter.network.state_dict(), tmp_path / "pickle.safetensors")
    with pytest.raises(InvalidModel, match="pickle"):
        load(tmp_path / "pickle.safetensors")


def test_invalid_images_are_refused(segmenter, image):
    with pytest.raises(BandMismatch, match="1 band"):
        segmenter(np.concatenate([image, image]))
    with pytest.raises(BandMismatch):
        segmenter(image[0])
    with pytest.raises(InvalidPixels):
        segmenter(np.where(image > 100, np.nan, image))


@pytest.mark.parametrize(
    "options", [{"scaling": "none"}, {"threshold": 1.0}, {"inputs": ("mean", "std")}, {"inputs": ()}]
)
def test_invalid_settings_are_refused(options):
    with pytest.raises(InvalidArgument):
        Segmenter("tiny", MobileUNet(1, 1, 0.25, 1), **options)
