import re

import numpy as np
import PIL.Image
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bayesr.errors import TrainingFailed
from bayesr.observe import bicubic
from bayesr.training.data import ImageSet, load_images
from bayesr.training.degradation import Degradation
from bayesr.training.pairs import Pairs, PairSource, Unpaired, labels_of


def test_pairs_are_observations_of_crops(folder):
    images = load_images([folder])
    pairs = Pairs(images, bicubic(4), 8)
    low, high = pairs.batch(16, torch.Generator().manual_seed(0))
    assert low.shape == (16, 3, 8, 8) and high.shape == (16, 3, 32, 32)
    expected = (bicubic(4).observe(high).clamp(0, 1) * 255).round() / 255
    assert torch.equal(low, expected)
    stacked = {view.tobytes() for image in images.images for top in range(9) for left in range(17)
               for turned in [image[top : top + 32, left : left + 32]]
               for view in _symmetries(turned)}  # fmt: skip
    for patch in (high * 255).round().byte().permute(0, 2, 3, 1).numpy():
        assert np.ascontiguousarray(patch).tobytes() in stacked


def _symmetries(patch):
    for flipped in (patch, patch[:, ::-1]):
        for turns in range(4):
            yield np.ascontiguousarray(np.rot90(flipped, turns))


def test_images_smaller_than_a_patch_are_left_out_by_name(folder):
    PIL.Image.new("RGB", (31, 90)).save(folder / "narrow.png")
    images = load_images([folder])
    with pytest.warns(UserWarning, match=r"1 of 7 images.*32x32.*narrow\.png \(90x31\)"):
        pairs = Pairs(images, bicubic(4), 8)
    assert len(pairs.names) == 6 and not any("narrow" in name for name in pairs.names)
    with pytest.raises(TrainingFailed, match="No image is as large as a 128x128 patch"):
        Pairs(images, bicubic(4), 32)


def test_a_batch_knows_where_it_came_from(folder):
    images = load_images([folder])
    pairs = Pairs(images, bicubic(4), 8, degradation=Degradation(noise=(0.01, 0.02)))
    _, high = pairs.batch(3, torch.Generator().manual_seed(1))
    parts = pairs.origin(pairs.draws()).split("; ")
    assert len(parts) == 3
    for part, patch in zip(parts, (high * 255).round().byte().permute(0, 2, 3, 1).numpy(), strict=True):
        name, top, bottom, left, right = re.match(r"(\S+) \[(\d+):(\d+), (\d+):(\d+)\], noise 0\.01", part).groups()
        crop = images.images[images.names.index(name)][int(top) : int(bottom), int(left) : int(right)]
        assert patch.tobytes() in {view.tobytes() for view in _symmetries(crop)}


def test_labels_are_those_of_the_images_in_the_batch(folder):
    images = load_images([folder])
    names = [f"{'dark' if i < 3 else 'bright'}/{i}.png" for i in range(6)]
    scenes = tuple(image // 8 if i < 3 else 200 + image // 8 for i, image in enumerate(images.images))
    pairs = Pairs(ImageSet(tuple(names), scenes), bicubic(4), 8)
    _, high = pairs.batch(32, torch.Generator().manual_seed(0))
    assert pairs.classes == 2 and pairs.class_names == ("bright", "dark")
    assert torch.equal(pairs.labels(), (high.mean((1, 2, 3)) < 0.5).long())


def test_without_pairs_no_image_is_on_both_sides(folder):
    images = load_images([folder])
    pairs = Unpaired(images, bicubic(4), 8)
    assert not set(pairs.low.names) & set(pairs.high.names)
    assert sorted(pairs.low.names + pairs.high.names) == sorted(images.names)
    low, high = pairs.batch(4, torch.Generator().manual_seed(0))
    assert low.shape == (4, 3, 8, 8) and high.shape == (4, 3, 32, 32) and "low:" in pairs.origin(pairs.draws())
    with pytest.raises(TrainingFailed, match="two images"):
        Unpaired(ImageSet(images.names[:1], images.images[:1]), bicubic(4), 8)


def test_defaults_of_a_source_fit_the_batch():
    class Constant(PairSource):
        operator, bands, low_pixels = bicubic(2), 1, float("inf")

        def draw_pairs(self, count, random):
            return torch.zeros(count, 1, 4, 4), torch.zeros(count, 1, 8, 8)

    source = Constant()
    for count in (3, 5):
        low, high = source.batch(count, torch.Generator())
        assert len(low) == len(high) == count
        assert source.labels().tolist() == [0] * count and source.labels().dtype == torch.long
    assert source.classes == 1 and source.origin(source.draws()) == "" and source.degradation is None
    with pytest.raises(TypeError, match="abstract"):
        PairSource()


def test_folders_come_first():
    names = ["cells/nucleus/1.png", "cells/golgi/1.png", "cells/nucleus/2.png", "more/nucleus/1.png"]
    labels, classes = labels_of(names, [(9, 9), (9, 9), (8, 8), (9, 9)])
    assert [classes[label] for label in labels] == ["cells/nucleus", "cells/golgi", "cells/nucleus", "more/nucleus"]
    assert labels.dtype == np.int64


def test_then_sizes_either_way_up():
    shapes = [(321, 481), (481, 321), (256, 256), (256, 256), (100, 90), (80, 70)]
    labels, classes = labels_of([f"all/{i}.png" for i in range(6)], shapes)
    found = [classes[label] for label in labels]
    assert found == ["321x481", "321x481", "256x256", "256x256", "other sizes", "other sizes"]


@pytest.mark.parametrize("shapes", [[(8, 8)] * 3, [(8, 8), (9, 9), (10, 10)], [(8, 9), (9, 8), (8, 9)]])
def test_else_each_image_is_its_own_class(shapes):
    """Compare with images of one size, and with images of different sizes."""
    labels, classes = labels_of(["a/0.png", "a/1.png", "a/2.png"], shapes)
    assert labels.tolist() == [0, 1, 2] and classes == ("a/0.png", "a/1.png", "a/2.png")


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 3), st.integers(1, 3)), min_size=1, max_size=12))
def test_every_class_has_an_image_and_order_does_not_matter(images):
    names, shapes = [f"{folder}/{i}.png" for i, (folder, *_) in enumerate(images)], [tuple(size) for _, *size in images]
    labels, classes = labels_of(names, shapes)
    assert set(labels.tolist()) == set(range(len(classes)))
    turned, same = labels_of(names[::-1], shapes[::-1])
    assert same == classes and turned.tolist() == labels.tolist()[::-1]


@pytest.mark.parametrize(("names", "shapes"), [([], []), (["a/0.png"], []), (["a/0.png"], [(1, 1), (2, 2)])])
def test_what_has_no_classes(names, shapes):
    with pytest.raises(TrainingFailed, match="at least one"):
        labels_of(names, shapes)
