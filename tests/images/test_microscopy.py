import numpy as np
import pytest
import tifffile
import zarr

import bayesr
from bayesr import images
from bayesr.errors import NotAnImage
from bayesr.images import microscopy

PIXELS = np.random.default_rng(0).integers(0, 900, (8, 6), dtype=np.uint16)


def sizes(image):
    """Return pixel sizes, first centres and units of y and x."""
    return [
        (round(float(image[dim][1] - image[dim][0]), 9), round(float(image[dim][0]), 9), image[dim].attrs.get("units"))
        for dim in ("y", "x")
    ]


@pytest.mark.parametrize(
    ("unit", "name"),
    [("µm", "micrometer"), ("nm", "nanometer"), ("mm", "millimeter"), (None, "micrometer"), ("Å", "angstrom")],
)
def test_ome_tiff(tmp_path, unit, name):
    stated = {"PhysicalSizeX": 0.5, "PhysicalSizeY": 0.25}
    units = {} if unit is None else {"PhysicalSizeXUnit": unit, "PhysicalSizeYUnit": unit}
    tifffile.imwrite(tmp_path / "a.ome.tif", PIXELS, metadata={"axes": "YX", **stated, **units})
    assert sizes(images.source(tmp_path / "a.ome.tif")) == [(0.25, 0.125, name), (0.5, 0.25, name)]


def test_products_have_the_sizes_of_their_pixels(tmp_path):
    tifffile.imwrite(
        tmp_path / "a.ome.tif", PIXELS, metadata={"axes": "YX", "PhysicalSizeX": 0.4, "PhysicalSizeY": 0.8}
    )
    ds = bayesr.sample(tmp_path / "a.ome.tif", 2, model="fluorescence-x4", variables=["mean"])
    assert sizes(ds) == [(0.2, 0.1, "micrometer"), (0.1, 0.05, "micrometer")]


@pytest.mark.parametrize("stated", [{"PhysicalSizeX": 0.5}, {"PhysicalSizeX": 0.0, "PhysicalSizeY": 0.5}, {}])
def test_ome_tiff_without_both_sizes_counts_pixels(tmp_path, stated):
    tifffile.imwrite(tmp_path / "a.ome.tif", PIXELS, metadata={"axes": "YX", **stated})
    assert not {"y", "x"} & {*images.source(tmp_path / "a.ome.tif").coords}


@pytest.mark.parametrize(
    ("unit", "name"), [("um", "micrometer"), ("micron", "micrometer"), ("\\u00B5m", "micrometer"), ("cm", "centimeter")]
)
def test_imagej(tmp_path, unit, name):
    tifffile.imwrite(tmp_path / "a.tif", PIXELS, imagej=True, resolution=(4, 2), metadata={"unit": unit})
    assert sizes(images.source(tmp_path / "a.tif")) == [(0.5, 0.25, name), (0.25, 0.125, name)]


@pytest.mark.parametrize("metadata", [{}, {"unit": "pixel"}])
def test_imagej_without_a_unit_counts_pixels(tmp_path, metadata):
    tifffile.imwrite(tmp_path / "a.tif", PIXELS, imagej=True, resolution=(4, 2), metadata=metadata)
    assert not {"y", "x"} & {*images.source(tmp_path / "a.tif").coords}


def ngff(path, version, axes, transformations, pixels=PIXELS, **more):
    kind = {"zarr_format": 2 if version == "0.4" else 3}
    root = zarr.open_group(path, mode="w", **kind)
    multiscale = {
        "axes": axes,
        "datasets": [{"path": "full", "coordinateTransformations": transformations}, {"path": "half"}],
        **more,
    }
    root.attrs.update({"multiscales": [multiscale]} if version == "0.4" else {"ome": {"multiscales": [multiscale]}})
    root.create_array("full", data=pixels, chunks=(4,) * pixels.ndim)
    root.create_array("half", data=pixels[..., ::2, ::2], chunks=(4,) * pixels.ndim)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_ome_zarr(tmp_path, version):
    axes = [{"name": dim, "type": "space", "unit": "micrometer"} for dim in "yx"]
    steps = [{"type": "scale", "scale": [0.25, 0.5]}, {"type": "translation", "translation": [10, 20]}]
    ngff(tmp_path / "a.zarr", version, axes, steps)
    array = images.source(tmp_path / "a.zarr")
    np.testing.assert_array_equal(images.read(tmp_path / "a.zarr").data[0], PIXELS)
    assert sizes(array) == [(0.25, 10, "micrometer"), (0.5, 20, "micrometer")] and not array.variable._in_memory


def test_transformations_of_all_levels_come_last(tmp_path):
    axes = [{"name": "c", "type": "channel"}, {"name": "y", "type": "space"}, {"name": "x", "type": "space"}]
    whole = [{"type": "scale", "scale": [1, 3, 3]}]
    steps = [{"type": "scale", "scale": [1, 2, 4]}, {"type": "translation", "translation": [0, 1, 1]}]
    pixels = np.stack([PIXELS, PIXELS + 1])
    ngff(tmp_path / "a.zarr", "0.4", axes, steps, pixels, coordinateTransformations=whole)
    array = images.source(tmp_path / "a.zarr")
    assert array.shape == (2, 8, 6) and sizes(array) == [(6, 3, None), (12, 3, None)]


def test_damaged_metadata_is_refused(tmp_path):
    ngff(tmp_path / "a.zarr", "0.5", [{"name": "y"}, {"name": "x"}, {"name": "z"}], [])
    with pytest.raises(NotAnImage, match="3 axes of an array of 2"):
        images.source(tmp_path / "a.zarr")
    root = zarr.open_group(tmp_path / "a.zarr", mode="a")
    root.attrs["ome"] = {"multiscales": [{"axes": ["y", "x"], "datasets": []}]}
    with pytest.raises(NotAnImage, match="resolution level"):
        images.source(tmp_path / "a.zarr")
    root.attrs["ome"] = {"multiscales": [{"axes": ["y", "x"], "datasets": [{"path": "lost"}]}]}
    with pytest.raises(NotAnImage, match="full resolution"):
        images.source(tmp_path / "a.zarr")


def test_plates_and_several_images_are_refused(tmp_path):
    ngff(tmp_path / "a.zarr" / "0", "0.4", ["y", "x"], [])
    zarr.open_group(tmp_path / "a.zarr", mode="a", zarr_format=2)
    np.testing.assert_array_equal(images.read(tmp_path / "a.zarr").data[0], PIXELS)  # as bioformats2raw writes it
    ngff(tmp_path / "a.zarr" / "1", "0.4", ["y", "x"], [])
    with pytest.raises(NotAnImage, match="several images"):
        images.source(tmp_path / "a.zarr")
    plate = zarr.open_group(tmp_path / "b.zarr", mode="w", zarr_format=3)
    plate.attrs["ome"] = {"plate": {}}
    with pytest.raises(NotAnImage, match="a plate"):
        images.source(tmp_path / "b.zarr")


def test_names_of_units():
    assert [microscopy.udunits(unit) for unit in (" micron", "UM", "Furlong", "in")] == [
        "micrometer", "micrometer", "Furlong", "inch",
    ]  # fmt: skip
