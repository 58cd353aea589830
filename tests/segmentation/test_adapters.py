import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bayesr.errors import InvalidArgument, SegmenterFailed, UnknownModel
from bayesr.segmentation.adapters import adapt, checked
from bayesr.segmentation.segmenter import Segmentation

SPOTS = np.zeros((1, 24, 30), np.float32)
SPOTS[0, 4:10, 4:10] = SPOTS[0, 14:20, 18:26] = 100


def run(segmenter, image=SPOTS, threshold=0.5, smallest=0, logits=False, value_range=(0.0, 100.0)):
    found = adapt(segmenter, threshold=threshold, smallest=smallest, logits=logits)
    return found.segment(image, value_range)


@pytest.mark.parametrize(
    "segmenter",
    [
        lambda image: image[0] > 50,
        lambda image: (image[0] / 100).astype(np.float64),
        lambda image: torch.from_numpy(image[None] / 100),
        lambda image: (image[0] > 50).astype(np.uint8),
        lambda image: (image[0] / 100, (image[0] > 50).astype(np.int64)),
        lambda image: Segmentation(image[0] / 100, None),
        "otsu",
        "watershed",
    ],
)
def test_every_kind_of_segmenter_gives_the_same_segmentation(segmenter):
    found = run(segmenter)
    assert found.probability.dtype == np.float32 and found.labels.dtype == np.int32
    np.testing.assert_array_equal(found.probability > 0.5, SPOTS[0] > 50)
    np.testing.assert_array_equal(found.labels > 0, SPOTS[0] > 50)


def test_connected_components_of_probabilities_are_objects():
    assert run(lambda image: image[0] / 100).labels.max() == 2
    assert run(lambda image: image[0] / 100, smallest=40).labels.max() == 2
    assert np.unique(run(lambda image: image[0] / 100, smallest=40).labels).size == 2  # the smaller one is gone
    assert run(lambda image: image[0] / 300, threshold=0.3).labels.max() == 2
    assert run(lambda image: image[0] / 300, threshold=0.4).labels.max() == 0


def test_logits_are_converted_to_probabilities_on_request():
    found = run(lambda image: (image[0] - 50) / 10, logits=True)
    np.testing.assert_allclose(found.probability, 1 / (1 + np.exp(-(SPOTS[0] - 50) / 10)), rtol=1e-5)
    classes = run(lambda image: np.stack([image[0], -image[0]]) / 10, logits=True)
    np.testing.assert_allclose(classes.probability.sum(0), 1, rtol=1e-5)


def test_classes_have_no_objects():
    found = run(lambda image: np.stack([1 - image[0] / 100, image[0] / 100]))
    assert found.probability.shape == (2, 24, 30) and found.labels is None


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = torch.nn.BatchNorm2d(1)

    def forward(self, x):
        assert not self.training
        return self.norm(x).clamp(0, 1)


def test_a_module_is_given_scaled_values_and_is_not_changed():
    net = Net().train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    found = run(net, SPOTS + 7, value_range=(7.0, 107.0))
    np.testing.assert_allclose(found.probability, SPOTS[0] / 100, atol=1e-4)
    assert net.training and all(torch.equal(before[name], value) for name, value in net.state_dict().items())


@pytest.mark.parametrize(
    ("raw", "what"),
    [
        (np.zeros((24, 29)), "keeps the size"),
        (np.full((24, 30), np.nan), "NaN"),
        (np.full((24, 30), -3.0), "logits=True"),
        (np.full((24, 30), 1.5), "logits=True"),
        (np.full((24, 30), -1), "at least 0"),
        (np.full((24, 30), 2**40), "at most"),
        (np.zeros((3, 24, 30)), "sum to 1"),
        (np.zeros((3, 24, 30), np.int32), "Labels are"),
        (np.zeros(720), "no segmentation"),
        ("labels", "no segmentation"),
        ((np.zeros((24, 30)), np.zeros((24, 30))), "whole numbers"),
        ((1, 2, 3), "tuple"),
    ],
)
def test_invalid_results_are_refused(raw, what):
    with pytest.raises(SegmenterFailed, match=what):
        checked(raw, (24, 30))


@given(seed=st.integers(0, 99), smallest=st.integers(2, 30))
def test_small_objects_are_dropped(seed, smallest):
    labels = np.kron(np.random.default_rng(seed).integers(0, 6, (6, 6)), np.ones((3, 2), int))
    found = checked(labels, (18, 12), smallest=smallest).labels
    for number in range(1, 6):
        here = labels == number
        assert (found[here] == (number if here.sum() >= smallest else 0)).all()


@pytest.mark.parametrize("what", [3, None, np.zeros(3)])
def test_invalid_segmenters_are_refused(what):
    with pytest.raises(InvalidArgument, match="A segmenter is"):
        run(what)


def test_an_unknown_name_is_refused():
    with pytest.raises(UnknownModel, match="No segmenter"):
        run("nucleii")
