import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage.measure import label

from bayesr.errors import BandMismatch, InvalidArgument, InvalidModel, InvalidPixels, UnknownModel
from bayesr.networks.segmenters.mobile_unet import MobileUNet
from bayesr.segmentation.segmenter import SCALINGS, Segmenter, build, load, objects, scaled, windows
from tests.networks.test_mobile_unet import make


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    return Segmenter("tiny", make(outputs=2), scaling="percentiles", smallest=3, card={"steps": 7})


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    return np.random.default_rng(0).normal(100, 20, (1, 90, 101)).astype(np.float32)


def discs(*centres: tuple[int, int], radius: float = 6, shape: tuple[int, int] = (40, 50)) -> np.ndarray:
    y, x = np.indices(shape)
    return np.stack([(y - a) ** 2 + (x - b) ** 2 <= radius**2 for a, b in centres])


# -- what comes out --------------------------------------------------------------------------


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


def test_windows_change_nothing(segmenter, image):
    x = scaled(image, (0, 255), "percentiles")
    whole = segmenter._maps(x)
    spans = list(windows(image.shape[1:], segmenter.network, 64))
    assert len(spans) > 4
    np.testing.assert_allclose(segmenter._maps(x, 64), whole, atol=1e-5)


@given(st.integers(1, 300), st.integers(1, 300), st.integers(16, 200), st.sampled_from([None, 3, 20, 50]))
def test_cores_tile_the_image(height, width, side, reach):
    network = torch.nn.Module()
    network.reach, network.multiple = reach, 4
    seen = np.zeros((height, width), int)
    for (rows, columns), core in windows((height, width), network, side):
        seen[core] += 1
        assert rows.start % 4 == columns.start % 4 == 0
        for inner, outer, size in zip(core, (rows, columns), (height, width), strict=True):
            assert outer.start <= max(inner.start - (reach or 0), 0)
            assert outer.stop >= min(inner.stop + (reach or 0), size)
    assert (seen == 1).all()


@pytest.mark.parametrize("scaling", SCALINGS)
@given(st.floats(0.01, 100), st.floats(-1000, 1000))
def test_units_do_not_matter(scaling, gain, offset):
    image = np.random.default_rng(1).gamma(2, size=(2, 9, 11)).astype(np.float32)
    given_ = scaled(image, (0.0, 8.0), scaling)
    other = scaled((gain * image + offset).astype(np.float32), (offset, 8 * gain + offset), scaling)
    np.testing.assert_allclose(
        other, given_, atol=2e-4 * max(1, abs(offset) / gain) ** (0.5 if scaling == "roots" else 1)
    )


def test_scalings():
    image = np.linspace(0, 100, 2001, dtype=np.float32).reshape(1, 3, 667)
    x = scaled(image, (0, 200), "percentiles")
    np.testing.assert_allclose(x, (image - 1) / 98.8, atol=1e-5)
    root = scaled(image, (0, 200), "roots")
    np.testing.assert_allclose(root * np.abs(root), x, atol=1e-5)
    for scaling in ("percentiles", "roots"):
        assert (scaled(np.full((1, 3, 4), 9, np.float32), (0, 1), scaling) == 0).all()
    both = scaled(np.concatenate([image, image]), (-50, 150), "range", ("mean", "std"))
    np.testing.assert_allclose(both, np.concatenate([(image + 50) / 200, image / 200]), atol=1e-6)


# -- objects ---------------------------------------------------------------------------------


@given(arrays(np.float32, (1, 9, 11), elements=st.floats(0, 1, width=32)), st.floats(0.1, 0.9))
def test_one_map_makes_connected_parts(maps, threshold):
    expected = label(maps[0] >= threshold, connectivity=2)
    np.testing.assert_array_equal(objects(maps, threshold), expected)
    sizes = np.bincount(expected.ravel())[1:]
    assert objects(maps, threshold, 4).max() == np.count_nonzero(sizes >= 4)


@given(arrays(np.float32, (2, 9, 11), elements=st.floats(0, 1, width=32)))
def test_every_pixel_of_the_foreground_belongs_to_an_object(maps):
    labels = objects(maps)
    np.testing.assert_array_equal(labels > 0, maps[0] >= 0.5)
    assert set(np.unique(labels)) - {0} == set(range(1, labels.max() + 1))
    parts = label(maps[0] >= 0.5, connectivity=2)
    for number in range(1, labels.max() + 1):  # no object lies in two parts
        assert np.unique(parts[labels == number]).size == 1


def test_borders_part_what_touches():
    """Two discs that overlap are one part of the foreground, and two objects where a border runs between."""
    both = discs((20, 15), (20, 26))
    foreground = both.any(0).astype(np.float32)
    border = np.zeros_like(foreground)
    border[:, 20:22] = 0.9
    apart, together = objects(np.stack([foreground, border])), objects(np.stack([foreground, 0 * border]))
    assert apart.max() == 2 and together.max() == 1
    left, right = apart[20, 12], apart[20, 29]
    assert left != right and (apart[both[0] & ~both[1]] == left).mean() > 0.9


def test_what_is_border_all_over_is_an_object():
    small, large = discs((10, 10), radius=1)[0], discs((25, 30), radius=8)[0]
    maps = np.stack([(small | large), small]).astype(np.float32)
    assert objects(maps).max() == 2
    assert objects(maps, smallest=10).max() == 1


# -- files -----------------------------------------------------------------------------------


def test_a_file_says_all(segmenter, image, tmp_path):
    path = segmenter.save(tmp_path / "cells.safetensors")
    again = load(path)
    assert load(again) is again and load(str(path)) is again
    for name in ("inputs", "scaling", "threshold", "smallest", "card"):
        assert getattr(again, name) == getattr(segmenter, name)
    assert again.name == "cells" and len(again.sha256) == 64
    np.testing.assert_allclose(again(image).probability, segmenter(image).probability, atol=0.02)  # fp16
    assert load(again.save(tmp_path / "copy.safetensors")).sha256 == again.sha256
    assert not any(p.requires_grad for p in again.network.parameters()) and not again.network.training


def test_files_that_are_none(segmenter, grey_model, tmp_path):
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
    with pytest.raises(InvalidModel, match="transformer"):
        build(json.loads('{"kind": "transformer"}'))


def test_what_cannot_be_segmented(segmenter, image):
    with pytest.raises(BandMismatch, match="1 band"):
        segmenter(np.concatenate([image, image]))
    with pytest.raises(BandMismatch):
        segmenter(image[0])
    with pytest.raises(InvalidPixels):
        segmenter(np.where(image > 100, np.nan, image))


@pytest.mark.parametrize(
    "options", [{"scaling": "none"}, {"threshold": 1.0}, {"inputs": ("mean", "std")}, {"inputs": ()}]
)
def test_settings_that_cannot_be(options):
    with pytest.raises(InvalidArgument):
        Segmenter("tiny", MobileUNet(1, 1, 0.25, 1), **options)
