"""OME-Zarr, validated by `ome_zarr_models` and read by zarr, by ome-zarr-py and by the reader of bayesr."""

import json

import numpy as np
import pytest
import xarray as xr
import zarr

import bayesr
from bayesr.errors import InvalidArgument

pytest.importorskip("ome_zarr")


@pytest.fixture(scope="module")
def micrograph(grey_model):
    """Return a product with two levels, of pixels of 0.25 x 0.5 micrometres."""
    img = xr.DataArray(
        np.random.default_rng(0).random((40, 90)).astype(np.float32), dims=("y", "x"),
        coords={
            "y": ("y", 10 + 1.0 * np.arange(40), {"units": "micrometer"}),
            "x": ("x", (np.arange(90) + 0.5) * 2.0, {"units": "um"}),
        },
    )  # fmt: skip
    return grey_model.sample(img, 4)


def metadata(path):
    return json.loads((path / "zarr.json").read_text())["attributes"]["ome"]


def test_metadata_are_valid_ngff(micrograph, ds, tmp_path):
    models = pytest.importorskip("ome_zarr_models")
    for product in (micrograph, ds):
        path = bayesr.export(product, tmp_path / f"{id(product)}.ome.zarr")
        image = models.open_ome_zarr(zarr.open_group(path, mode="r"))
        assert type(image).__module__.startswith("ome_zarr_models.v05")
        assert json.loads(image.model_dump_json())["attributes"]["ome"]["version"] == "0.5"


@pytest.fixture(scope="module")
def ds(model, photo):
    return model.sample(photo[:8, :9], 4)


def test_values_bounds_and_units_are_those_of_the_product(micrograph, tmp_path):
    path = bayesr.export(micrograph, tmp_path / "a.ome.zarr", variables=("mean", "std"))
    (image,) = metadata(path)["multiscales"]
    assert [(axis["name"], axis.get("unit")) for axis in image["axes"]] == [
        ("c", None), ("y", "micrometer"), ("x", "micrometer"),
    ]  # fmt: skip
    fine, coarse = (zarr.open_array(path / level["path"], mode="r") for level in image["datasets"])
    expected = np.concatenate([micrograph["mean"], micrograph["std"]])
    np.testing.assert_array_equal(fine[:], expected)
    blocks = expected.reshape(2, 80, 2, 180, 2).mean((2, 4))
    np.testing.assert_allclose(coarse[:], blocks, rtol=1e-5)
    for level, array in zip(image["datasets"], (fine, coarse), strict=True):
        (_, *scale), (_, *start) = (list(step.values())[1] for step in level["coordinateTransformations"])
        for dim, size, first, length in zip(("y", "x"), scale, start, array.shape[1:], strict=True):
            centres = micrograph[dim].to_numpy()
            half = (centres[1] - centres[0]) / 2
            edges = first - size / 2, first + size * (length - 0.5)
            assert edges == pytest.approx((centres[0] - half, centres[-1] + half)), dim


def test_other_readers_open_it(micrograph, tmp_path):
    from ome_zarr.io import parse_url
    from ome_zarr.reader import Reader

    path = bayesr.export(micrograph, tmp_path / "a.ome.zarr", variables=("mean",))
    (node,) = Reader(parse_url(path))()
    assert [level.shape for level in node.data] == [(1, 160, 360), (1, 80, 180)]
    assert node.metadata["channel_names"] == ["mean"]
    np.testing.assert_array_equal(node.data[0], micrograph["mean"])
    again = bayesr.images.source(str(path))
    np.testing.assert_array_equal(again, micrograph["mean"])
    np.testing.assert_allclose(again["y"], micrograph["y"])
    assert again["x"].attrs["units"] == "micrometer"


def test_channels_have_names_colours_and_ranges(ds, tmp_path):
    path = bayesr.export(ds, tmp_path / "a.ome.zarr", variables=("mean", "std"))
    channels = metadata(path)["omero"]["channels"]
    assert [one["label"] for one in channels] == [f"{name} {band}" for name in ("mean", "std") for band in range(3)]
    assert [one["color"] for one in channels[:3]] == ["FF0000", "00FF00", "0000FF"]
    assert [one["active"] for one in channels] == [True] * 3 + [False] * 3
    assert channels[0]["window"] == {"min": 0, "max": 255, "start": 0, "end": 255}
    assert 0 < channels[3]["window"]["end"] <= float(ds["std"].max()) and channels[3]["window"]["start"] == 0
    members = bayesr.export(ds, tmp_path / "m.ome.zarr", variables=("samples",))
    assert metadata(members)["omero"]["channels"][3]["label"] == "member 1 0"
    one = bayesr.export(ds, tmp_path / "one.ome.zarr", member=1)
    np.testing.assert_array_equal(zarr.open_array(one / "s0", mode="r")[:], ds["samples"][1])


def test_images_without_a_size_have_pixels_of_the_input(ds, tmp_path):
    (image,) = metadata(bayesr.export(ds, tmp_path / "a.ome.zarr"))["multiscales"]
    assert not any("unit" in axis for axis in image["axes"]) and len(image["datasets"]) == 1
    assert image["datasets"][0]["coordinateTransformations"][0]["scale"] == [1, 0.25, 0.25]


def test_northings_keep_the_size_of_pixels(map_product, tmp_path):
    (image,) = metadata(bayesr.export(map_product, tmp_path / "a.ome.zarr", variables="mean"))["multiscales"]
    scale, translation = image["datasets"][0]["coordinateTransformations"]
    assert scale["scale"] == [1, 2.5, 2.5] and translation["translation"] == [0, 1.25, 296.25]
    assert [axis.get("unit") for axis in image["axes"]] == [None, "meter", "meter"]


def test_products_from_stores_are_written_lazily(grey_model, tmp_path):
    img = np.random.default_rng(0).random((30, 40)).astype(np.float32)
    stored = grey_model.sample(img, 4, store=tmp_path / "a.zarr", tile=16)
    path = bayesr.export(stored, tmp_path / "a.ome.zarr")
    assert zarr.open_array(path / "s0", mode="r").shape == (8, 120, 160)
    np.testing.assert_array_equal(zarr.open_array(path / "s0", mode="r")[0], stored["mean"][0])


def test_without_ome_zarr_the_error_says_what_to_install(ds, tmp_path, monkeypatch):
    monkeypatch.setattr("bayesr.exporting.microscopy.find_spec", lambda name: None)
    with pytest.raises(InvalidArgument, match=r"pip install 'bayesr\[ome\]'"):
        bayesr.export(ds, tmp_path / "a.ome.zarr")
    assert not list(tmp_path.iterdir())
