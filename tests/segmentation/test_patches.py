import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from bayesr.segmentation.cases import Case
from bayesr.segmentation.patches import Patches, borders


@given(st.integers(1, 60), st.integers(0, 2**32 - 1))
def test_patches_keep_image_and_masks_together(side, seed):
    """Patches of an image that equals its mask still agree, also if they are larger than the image."""
    labels = np.random.default_rng(seed).integers(0, 2, (1, 20, 33)).astype(np.int32)
    case = Case("itself", labels.astype(np.float32), labels, (0.0, 1.0), weight=1 + labels[0].astype(np.float32))
    patches, generator = Patches([case], 1, side, "range"), torch.Generator().manual_seed(seed)
    x, targets, weight = patches.batch(3, generator)
    assert x.shape == (3, 1, side, side) and targets.shape == (3, 1, 1, side, side)
    assert torch.equal(weight[:, 0], 1 + targets[:, 0, 0])
    for image, target in zip(x[:, 0], targets[:, 0, 0], strict=True):
        values = [image[target == k] for k in (0, 1)]
        assert all((v == v[0]).all() for v in values if v.numel())  # contrast and level change, places do not
        if all(v.numel() for v in values):
            assert values[1][0] > values[0][0]


def test_borders_and_gaps():
    """Two squares, two pixels apart, and one far away: the gap lies between the two."""
    labels = np.zeros((30, 60), np.int32)
    labels[10:20, 10:20], labels[10:20, 22:32], labels[10:20, 45:55] = 1, 2, 3
    border, gaps = borders(labels)
    assert gaps[10:20, 20:22].all() and not gaps[:, 35:].any() and not gaps[:, :18].any()
    assert border[gaps].all()
    far = border[5:25, 38:58]
    expected = np.zeros((20, 20), bool)
    expected[4:16, 6:18] = True
    expected[6:14, 8:16] = False
    expected[[4, 4, 15, 15], [6, 17, 6, 17]] = far[[4, 4, 15, 15], [6, 17, 6, 17]]  # corners may go either way
    np.testing.assert_array_equal(far, expected)
    assert not borders(np.zeros((5, 5), np.int32))[0].any()
