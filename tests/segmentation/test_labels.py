import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage.measure import label

from bayesr.segmentation.labels import label_objects


def discs(*centres: tuple[int, int], radius: float = 6, shape: tuple[int, int] = (40, 50)) -> np.ndarray:
    y, x = np.indices(shape)
    return np.stack([(y - a) ** 2 + (x - b) ** 2 <= radius**2 for a, b in centres])


@given(arrays(np.float32, (1, 9, 11), elements=st.floats(0, 1, width=32)), st.floats(0.1, 0.9))
def test_one_map_gives_connected_components(maps, threshold):
    expected = label(maps[0] >= threshold, connectivity=2)
    np.testing.assert_array_equal(label_objects(maps, threshold), expected)
    sizes = np.bincount(expected.ravel())[1:]
    assert label_objects(maps, threshold, 4).max() == np.count_nonzero(sizes >= 4)


@given(arrays(np.float32, (2, 9, 11), elements=st.floats(0, 1, width=32)))
def test_every_pixel_of_the_foreground_belongs_to_an_object(maps):
    labels = label_objects(maps)
    np.testing.assert_array_equal(labels > 0, maps[0] >= 0.5)
    assert set(np.unique(labels)) - {0} == set(range(1, labels.max() + 1))
    parts = label(maps[0] >= 0.5, connectivity=2)
    for number in range(1, labels.max() + 1):  # no object lies in two parts
        assert np.unique(parts[labels == number]).size == 1


def test_borders_separate_touching_objects():
    """Two overlapping discs are one component of the foreground, and two objects if a border runs between them."""
    both = discs((20, 15), (20, 26))
    foreground = both.any(0).astype(np.float32)
    border = np.zeros_like(foreground)
    border[:, 20:22] = 0.9
    apart, together = label_objects(np.stack([foreground, border])), label_objects(np.stack([foreground, 0 * border]))
    assert apart.max() == 2 and together.max() == 1
    left, right = apart[20, 12], apart[20, 29]
    assert left != right and (apart[both[0] & ~both[1]] == left).mean() > 0.9


def test_a_component_without_interior_is_an_object():
    small, large = discs((10, 10), radius=1)[0], discs((25, 30), radius=8)[0]
    maps = np.stack([(small | large), small]).astype(np.float32)
    assert label_objects(maps).max() == 2
    assert label_objects(maps, smallest=10).max() == 1
