import numpy as np
import pytest
from napari.layers import Image

import bayesr
from bayesr_napari.layers import METADATA, Place, add_layers, labels_of, layers_of, products_in


def corners(layer, shape):
    """The world coordinates of the outer corners of an image, along its last two axes."""
    lead = (0,) * (layer.ndim - 2)
    return np.array([layer.data_to_world((*lead, y - 0.5, x - 0.5))[-2:] for y in (0, shape[0]) for x in (0, shape[1])])


def low_and_layers(viewer, data, ds, **where):
    low = viewer.add_image(data, **where)
    bands = data.ndim > 2
    return low, add_layers(viewer, layers_of(ds, Place.of(low, (), bands), "a"))


@pytest.mark.parametrize(
    "where",
    [
        {},
        {"scale": (0.5, 2.0), "translate": (10.0, -3.0)},
        {"scale": (0.5, 2.0), "translate": (10.0, -3.0), "rotate": 30, "shear": [0.2]},
        {"scale": (2.0, 2.0), "affine": [[0, 1.5, 4], [-1, 0, 2], [0, 0, 1]], "units": "um"},
    ],
)
def test_all_layers_cover_the_image(viewer, cells, product, where):
    low, added = low_and_layers(viewer, cells, product, **where)
    assert [layer.name for layer in added] == ["a: interval width", "a: std", "a: mean", "a: members"]
    for layer in added:
        assert layer.data.shape[-2:] == (96, 128)
        np.testing.assert_allclose(corners(layer, (96, 128)), corners(low, cells.shape), atol=1e-6)
        np.testing.assert_allclose(layer.scale[-2:], low.scale / 4)
        assert layer.units[-2:] == low.units
    assert [layer.name for layer in products_in(viewer)] == ["a: mean"]


def test_members_have_a_slider_and_the_values_of_the_product(viewer, cells, product):
    _, added = low_and_layers(viewer, cells, product)
    mean, members = added[-2:]
    assert viewer.dims.ndim == 3 and viewer.dims.axis_labels[0] == "realization" and viewer.dims.nsteps[0] == 4
    np.testing.assert_array_equal(mean.data, product["mean"][0])
    for i in range(4):
        viewer.dims.set_current_step(0, i)
        np.testing.assert_array_equal(members._slice.image.raw, product["samples"][i, 0])
    np.testing.assert_array_equal(added[0].data, (product["upper"] - product["lower"])[0])


def test_channels_stay_channels(viewer, cells):
    stack = np.stack([cells, cells[::-1]])
    ds = bayesr.sample(stack, n=2, model="fluorescence-x4", dims=("band", "y", "x"), progress=False)
    low, added = low_and_layers(viewer, stack, ds, scale=(3.0, 0.5, 0.5), translate=(1.0, 0.0, 0.0))
    mean, members = added[-2:]
    assert mean.data.shape == (2, 96, 128) and members.data.shape == (2, 2, 96, 128)
    np.testing.assert_allclose(mean.data_to_world((1, 0, 0))[0], low.data_to_world((1, 0, 0))[0])
    assert viewer.dims.nsteps[:2] == (2, 2)


def test_a_plane_of_a_stack_stays_in_its_plane(viewer, cells, product):
    low = viewer.add_image(np.stack([cells] * 3), scale=(3.0, 0.5, 0.5))
    for data, options, _ in layers_of(product, Place.of(low, (2,)), "a"):
        layer = Image(data, **options)
        assert layer.ndim == low.ndim + ("members" in layer.name)
        assert layer.data_to_world((0,) * layer.ndim)[-3] == 6.0


def test_colours_are_shown_as_colours_and_missing_pixels_are_transparent(viewer, colours):
    ds = bayesr.sample(colours, n=2, progress=False)
    low = viewer.add_image(colours, rgb=True)
    _, std, mean, members = add_layers(viewer, layers_of(ds, Place.of(low), "a", colours=(0, 255)))
    assert mean.rgb and members.rgb and not std.rgb
    np.testing.assert_array_equal(mean.data, np.rint(ds["mean"].transpose("y", "x", "band")))
    assert members.data.shape == (2, 80, 112, 3) and std.data.shape == (80, 112)
    np.testing.assert_allclose(std.data, ds["std"].mean("band"))
    np.testing.assert_allclose(corners(mean, (80, 112)), corners(low, (20, 28)))
    holed = ds.copy(deep=True)
    holed["mean"][:, :8] = np.nan
    shown = layers_of(holed, Place.of(low), "a", colours=(0, 255))[2][0]
    assert shown.shape == (80, 112, 4) and not shown[:8, :, 3].any() and (shown[8:, :, 3] == 255).all()


def test_objects_have_a_table(viewer, cells, product):
    low = viewer.add_image(cells)
    found = bayesr.segment(product, "watershed", progress=False)
    (_, _, mean, _) = added = add_layers(viewer, layers_of(product, Place.of(low), "a"))
    assert len(added) == 4
    (labels,) = add_layers(viewer, [labels_of(found, mean.metadata[METADATA], "objects")])
    np.testing.assert_array_equal(labels.data, found["labels"])
    np.testing.assert_array_equal(labels.features["index"], found["object"])
    np.testing.assert_allclose(labels.features["area_lower"], found["area_lower"])
    np.testing.assert_allclose(corners(labels, (96, 128)), corners(low, cells.shape))
