import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from skimage.measure import label

from bayesr.errors import InvalidArgument, ObjectsNotSeparated, SegmenterFailed, UnknownModel
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
        lambda image: label(image[0] > 50).astype(np.uint8),
        lambda image: (image[0] / 100, label(image[0] > 50)),
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


def spots(image):
    return image[0] > 50


@pytest.mark.parametrize(
    "segmenter",
    [
        lambda image: spots(image).astype(np.uint8),
        lambda image: spots(image).astype(np.int64) * 255,
        lambda image: torch.from_numpy(spots(image)).to(torch.uint8)[None],
        lambda image: (image[0] / 100, spots(image).astype(np.int32)),
        lambda image: Segmentation(image[0] / 100, spots(image).astype(np.int32)),
    ],
)
def test_one_label_for_several_regions_is_said_once_for_a_call(segmenter):
    found = adapt(segmenter, threshold=0.5, smallest=0, logits=False)
    with pytest.warns(ObjectsNotSeparated, match=r"be 2 objects.*boolean mask.*scipy\.ndimage\.label") as warned:
        labels = [found.segment(SPOTS, (0.0, 100.0)).labels for _ in range(3)]
    assert len(warned) == 1 and str(labels[0].max()) in str(warned[0].message) and warned[0].filename == __file__
    assert np.unique(labels[0]).size == 2, "one object, as the segmenter says"
    with pytest.warns(ObjectsNotSeparated):  # another call
        run(segmenter)


def test_regions_are_counted_as_a_mask_would_count_them():
    mask = np.zeros((24, 30), np.uint8)
    mask[::4, ::5] = 255  # 36 pixels
    mask[1, 1] = 255  # touches one of them at its corner
    with pytest.warns(ObjectsNotSeparated, match="label, 255, .* be 37 objects"):
        run(lambda image: mask)
    assert run(lambda image: mask > 0).labels.max() == 37
    mask[20, 1] = mask[20, 2] = 255
    mask[12, 11] = 255
    with pytest.warns(ObjectsNotSeparated, match="be 2 objects"):
        run(lambda image: mask, smallest=2)


@pytest.mark.parametrize(
    "segmenter",
    [
        lambda image: spots(image),
        lambda image: spots(image).astype(np.float32),
        lambda image: label(spots(image)),
        lambda image: label(spots(image)) * 7,
        lambda image: np.where(np.arange(30) < 12, spots(image), 0),  # one of the spots
        lambda image: np.eye(24, 30, dtype=np.uint8),  # pixels that touch at their corners
        lambda image: np.ones((24, 30), np.uint8),
        lambda image: np.zeros((24, 30), np.uint8),
        lambda image: spots(image).astype(np.uint8) + 1,  # two labels
        lambda image: np.stack([1 - spots(image), spots(image)]).astype(np.float32),
        "otsu",
        "watershed",
    ],
)
def test_other_segmentations_need_no_warning(segmenter):
    run(segmenter)


def test_small_regions_are_no_objects():
    image = SPOTS.copy()
    image[0, 22, 1] = 100
    run(lambda given: np.where(np.arange(30) < 12, spots(given), 0), image, smallest=5)
    # Two labels, of which the one that is left consists of two parts: the segmenter separates objects.
    several = spots(SPOTS).astype(np.uint8)
    several[22, 1] = 2
    assert np.unique(run(lambda given: several, smallest=5).labels).tolist() == [0, 1]


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
