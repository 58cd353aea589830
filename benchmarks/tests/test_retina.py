"""Retinal images of CHASE_DB1."""

import numpy as np

from bayesr.segmentation.cases import Case
from bayesr_bench.retina import downsampled, retina


def test_retina_is_the_downsampled_green_band_and_a_child_is_a_group(retina_data):
    cases = retina(retina_data)
    assert [case.group for case in cases] == ["01", "01", "02", "02", "03", "03"]
    case = cases[0]
    assert case.image.shape == (1, 24, 25) and case.masks.shape == (2, 24, 25)
    assert case.image[0, 10:14].min() >= 100 and case.image[0, :10].max() < 60
    assert case.masks[0, 11:13].all() and case.masks.sum((1, 2)).tolist() == [50, 150]


def test_masks_are_marked_from_half_on_and_values_are_means():
    masks = np.array([[[7, 0, 0, 0, 9], [8, 0, 0, 1, 9]]])
    case = downsampled(Case("x", np.arange(10.0).reshape(1, 2, 5), masks, (0, 9)), 2)
    assert case.masks.tolist() == [[[1, 0]]] and case.image.tolist() == [[[3.0, 5.0]]]
