import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bayesr.errors import TrainingFailed
from bayesr.training.labels import labels_of


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
    with pytest.raises(TrainingFailed, match="one at least"):
        labels_of(names, shapes)
