import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from bayesr.segmentation.scaling import scaled
from bayesr.segmentation.windowing import probability_maps, windows
from tests.segmentation.helpers import noise, unet


def test_maps_do_not_depend_on_windows():
    network = unet(outputs=2)
    x = scaled(noise(), (0, 255), "percentiles")
    assert len(list(windows(x.shape[1:], network, 64))) > 4
    np.testing.assert_allclose(probability_maps(network, x, 64), probability_maps(network, x), atol=1e-5)


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
