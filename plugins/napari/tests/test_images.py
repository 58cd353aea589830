import numpy as np
import pytest
from napari.layers import Image

from bayesr.errors import InvalidArgument
from bayesr_napari.images import image_of


def test_a_plane_and_all_channels_of_a_stack(cells):
    stack = np.stack([np.stack([cells, cells + 1]), np.stack([cells + 2, cells + 3])])
    layer = Image(stack, scale=(1, 2, 0.5, 0.5))
    plane, place, options = image_of(layer, (1.0, 0.0, 0.0, 0.0), False)
    assert plane.dims == ("y", "x") and place.index == (1, 0) and "limits" in options
    np.testing.assert_array_equal(plane, cells + 2)
    assert int(image_of(layer, (0.2, 2.0, 0, 0), False)[0][0, 0]) == cells[0, 0] + 1
    channels, place, _ = image_of(layer, (1.0, 0.0, 0.0, 0.0), True)
    assert channels.dims == ("band", "y", "x") and place.index == (1,) and place.bands
    np.testing.assert_array_equal(channels, stack[1])
    with pytest.raises(InvalidArgument, match="outside"):
        image_of(layer, (5.0, 0.0, 0.0, 0.0), True)


def test_sliders_of_other_layers_do_not_count(cells):
    image, place, _ = image_of(Image(cells), (7.0, 3.0, 0.0, 0.0), True)  # the viewer has more axes than the layer
    np.testing.assert_array_equal(image, cells)
    assert place.index == () and not place.bands


def test_a_pyramid_counts_with_its_finest_level(cells):
    image, *_ = image_of(Image([cells, cells[::2, ::2]], multiscale=True), (0.0, 0.0), False)
    np.testing.assert_array_equal(image, cells)


def test_colours_are_seen_as_napari_shows_them(colours):
    image, _, options = image_of(Image(colours, rgb=True), (0.0, 0.0), False)
    assert image.dims == ("y", "x", "band") and options == {"colours": (0, 255), "value_range": (0, 255)}
    unit = image_of(Image(colours / 255.0, rgb=True), (0.0, 0.0), False)[2]
    assert unit["value_range"] == (0, 1)
    alpha = np.full((*colours.shape[:2], 1), 255, np.uint8)
    np.testing.assert_array_equal(
        image_of(Image(np.concatenate([colours, alpha], -1), rgb=True), (0, 0), False)[0], colours
    )
    alpha[3, 3] = 0
    with pytest.raises(InvalidArgument, match="transparent"):
        image_of(Image(np.concatenate([colours, alpha], -1), rgb=True), (0.0, 0.0), False)
