import numpy as np

from bayesr.segmentation.classical import otsu, watershed


def test_an_image_of_one_value_has_no_foreground():
    flat = np.full((2, 8, 9), 5, np.float32)
    assert not otsu(flat).any() and not watershed(flat).any()


def test_watershed_splits_touching_objects():
    rows, columns = np.mgrid[:40, :60]
    touching = ((rows - 20) ** 2 + (columns - 20) ** 2 < 121) | ((rows - 20) ** 2 + (columns - 39) ** 2 < 121)
    assert len(np.unique(watershed(touching[None].astype(np.float32)))) == 3
