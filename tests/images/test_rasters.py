import warnings

import numpy as np
import PIL.Image
import pytest
import rasterio
from rasterio.control import GroundControlPoint
from rasterio.rpc import RPC
from rasterio.transform import Affine

import bayesr
from bayesr import images
from bayesr.errors import InvalidPixels, NotAnImage, NotUsed
from bayesr.images import rasters
from bayesr.product.georeference import counts_pixels

GREY = np.random.default_rng(0).integers(1, 256, (1, 8, 10), dtype=np.uint8)
UTM = {"crs": "EPSG:32611", "transform": Affine(10, 0, 500_000, 0, -10, 4_000_000)}


def write(path, pixels=GREY, driver="GTiff", then=None, **options):
    bands, height, width = pixels.shape
    profile = {"count": bands, "height": height, "width": width, "dtype": pixels.dtype, "driver": driver}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it is not georeferenced, if so
        with rasterio.open(path, "w", **(profile | options)) as file:
            file.write(pixels)
            if then is not None:
                then(file)
    return path


def sampled(path, **options):
    return bayesr.sample(path, 2, **({"model": "fluorescence-x4", "variables": ["mean", "variance"]} | options))


def test_scale_offset_and_units(tmp_path):
    def describe(file):
        file.scales, file.offsets, file.units = (0.01,), (200.0,), ("K",)

    path = write(tmp_path / "a.tif", GREY.astype(np.int16), then=describe, nodata=int(GREY[0, 2, 3]), **UTM)
    image = images.read(path)
    with rasterio.open(path) as file:
        expected = np.where(file.read_masks() == 0, np.nan, file.read() * 0.01 + 200.0)
    np.testing.assert_allclose(image.values(), expected, rtol=1e-12)
    ds = sampled(path)
    assert (ds["mean"].attrs["units"], ds["variance"].attrs["units"]) == ("K", "K2")
    assert abs(float(ds["mean"].mean()) - np.nanmean(expected)) < 0.01 and ds.attrs["quantisation_step"] == 0.01


def test_units_of_bands(tmp_path):
    def describe(file):
        file.units = ("K", "m")

    ds = sampled(write(tmp_path / "a.tif", np.concatenate([GREY, GREY]), then=describe, **UTM))
    assert "units" not in ds["mean"].attrs and "units" not in ds["variance"].attrs
    assert ds["band_units"].dims == ("band",) and list(ds["band_units"].values) == ["K", "m"]


ROTATED = Affine.translation(500_000, 4_000_000) @ Affine.rotation(30) @ Affine.scale(10, -20)


def test_rotated_rasters_keep_their_place(tmp_path):
    ds = sampled(write(tmp_path / "a.tif", crs="EPSG:32611", transform=ROTATED))
    assert ds["mean"].rio.transform().almost_equals(ROTATED @ Affine.scale(0.25))
    assert ds.rio.crs.to_epsg() == 32611 and counts_pixels(ds["x"])
    np.testing.assert_allclose(ds["mean"].rio.transform() @ (40, 32), ROTATED @ (10, 8))


def test_control_points_are_those_of_the_larger_grid(tmp_path):
    points = [GroundControlPoint(0, 0, 1, 2), GroundControlPoint(8, 0.5, 3, 4, 5), GroundControlPoint(8, 10, 6, 7)]
    ds = sampled(write(tmp_path / "a.tif", crs="EPSG:4326", gcps=points))
    found = [(p.row, p.col, p.x, p.y) for p in ds["mean"].rio.get_gcps()]
    assert found == [(0, 0, 1, 2), (32, 2, 3, 4), (32, 40, 6, 7)]
    assert "GeoTransform" not in ds["spatial_ref"].attrs and ds.rio.crs.to_epsg() == 4326


def test_rasters_placed_by_rational_polynomials_are_refused(tmp_path):
    one = [1.0] + [0.0] * 19
    rpcs = RPC(0, 1, 0, 1, one, one, 0, 1, 0, 1, one, one, 0, 1)
    with pytest.raises(NotAnImage, match="gdalwarp -rpc"):
        images.source(write(tmp_path / "a.tif", rpcs=rpcs))
    assert images.source(write(tmp_path / "b.tif", rpcs=rpcs, **UTM)).rio.transform() == UTM["transform"]


@pytest.mark.parametrize("shape", [(1, 1, 9), (1, 9, 1), (1, 1, 1)])
def test_single_rows_and_columns_keep_the_size_of_their_pixels(tmp_path, shape):
    path = write(tmp_path / "a.tif", np.ones(shape, np.uint8), **(UTM | {"transform": Affine(30, 0, 5, 0, -10, 9)}))
    with rasterio.open(path) as file:
        assert sampled(path)["mean"].rio.bounds() == file.bounds


def test_a_world_file_places_a_picture(tmp_path):
    PIL.Image.fromarray(GREY[0]).save(tmp_path / "a.png")
    plain = images.read(tmp_path / "a.png")
    (tmp_path / "a.pgw").write_text("2\n0\n0\n-3\n101\n198.5\n")
    ds = sampled(tmp_path / "a.png")
    assert ds["mean"].rio.bounds() == (100, 200 - 24, 120, 200)
    assert images.read(tmp_path / "a.png").sha256 == plain.sha256


@pytest.mark.parametrize("name", ["a.tfw", "a.tifw", "a.wld"])
def test_world_files_of_tiffs(tmp_path, name):
    path = write(tmp_path / "a.tif")
    (tmp_path / name).write_text("2\n0\n0\n-3\n101\n198.5\n")
    assert sampled(path)["mean"].rio.bounds() == (100, 176, 120, 200)


def test_a_world_file_that_gdal_does_not_read_is_said(tmp_path):
    PIL.Image.fromarray(GREY[0]).save(tmp_path / "a.webp", lossless=True)
    (tmp_path / "a.wpw").write_text("2\n0\n0\n-3\n101\n198.5\n")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", NotUsed)
        placed = not counts_pixels(sampled(tmp_path / "a.webp")["x"])
    # GDAL 3.12 reads the world file of a WebP, and GDAL 3.10 does not.
    assert placed is not any("world file" in str(one.message) for one in caught if one.category is NotUsed)


def test_notes_of_gdal_place_a_picture(tmp_path):
    path = write(tmp_path / "a.png", driver="PNG", nodata=int(GREY[0, 0, 0]), **UTM)
    assert [found.name for found in rasters.sidecars(path)] == ["a.png.aux.xml"]
    image = images.read(path)
    assert image.data.rio.crs.to_epsg() == 32611 and image.missing[0, 0, 0]


def test_notes_without_a_place_change_nothing(tmp_path):
    PIL.Image.fromarray(GREY[0]).save(tmp_path / "a.png")
    (tmp_path / "a.png.aux.xml").write_text("<PAMDataset><PAMRasterBand><Metadata/></PAMRasterBand></PAMDataset>")
    assert rasters.sidecars(tmp_path / "a.png") == []


def test_names_with_wildcards_have_their_own_sidecars(tmp_path):
    path = write(tmp_path / "a[1].png", driver="PNG")
    (tmp_path / "a1.pgw").write_text("2\n0\n0\n-3\n101\n198.5\n")
    assert rasters.sidecars(path) == []


def test_jpeg_2000(tmp_path):
    deep = np.random.default_rng(0).integers(0, 65536, (3, 8, 10), dtype=np.uint16)
    path = write(tmp_path / "a.jp2", deep, "JP2OpenJPEG", QUALITY=100, REVERSIBLE="YES", **UTM)
    ds = sampled(path)
    np.testing.assert_array_equal(images.read(path).values(), deep)
    assert ds.rio.crs.to_epsg() == 32611 and ds["mean"].rio.transform() == UTM["transform"] @ Affine.scale(0.25)


@pytest.mark.parametrize("inside", [True, False])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_masks_are_missing_pixels(tmp_path, inside, dtype):
    valid = np.ones((8, 10), bool)
    valid[2:4, 3:7] = False
    pixels = np.concatenate([GREY, GREY[:, ::-1]]).astype(dtype)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=inside):
        path = write(tmp_path / "a.tif", pixels, then=lambda file: file.write_mask(valid), **UTM)
    image = images.read(path)
    np.testing.assert_array_equal(image.missing, np.broadcast_to(~valid, (2, 8, 10)))
    np.testing.assert_array_equal(image.values()[:, valid], pixels[:, valid])
    ds = sampled(path, store=tmp_path / "a.zarr")
    np.testing.assert_array_equal(np.isnan(ds["mean"][0]), np.kron(~valid, np.ones((4, 4), bool)))
    assert (ds.attrs["quantisation_step"] == 1) == (dtype != np.float32)


def test_masked_rasters_are_replayed_extended_and_repaired(tmp_path):
    valid = np.ones((8, 10), bool)
    valid[2:4, 3:7] = False
    path = write(tmp_path / "a.tif", then=lambda file: file.write_mask(valid), **UTM)
    ds = bayesr.sample(path, 4, model="fluorescence-x4", store=tmp_path / "a.zarr", keep_samples=True)
    np.testing.assert_allclose(bayesr.replay(ds, 3, path), ds["samples"][3], atol=1e-3)
    more = bayesr.extend(tmp_path / "a.zarr", 8)
    whole = bayesr.sample(path, 8, masks=int(ds.attrs["masks"]), model="fluorescence-x4")
    for name in ("mean", "upper", "lower", "samples"):
        np.testing.assert_allclose(more[name], whole[name], atol=3e-3, err_msg=name)
    assert bayesr.check(tmp_path / "a.zarr").sound


def test_alpha_bands_are_missing_pixels(tmp_path):
    alpha = np.full((1, 8, 10), 255, np.uint8)
    alpha[0, 5] = 0
    rgb = np.concatenate([GREY, GREY[:, ::-1], GREY[:, :, ::-1]])
    path = write(tmp_path / "a.tif", np.concatenate([rgb, alpha]), photometric="rgb", alpha="yes", **UTM)
    image = images.read(path)
    assert image.data.shape == (3, 8, 10) and image.missing[:, 5].all() and image.missing.sum() == 30
    np.testing.assert_array_equal(image.values()[:, :5], rgb[:, :5])
    alpha[0, 5] = 100
    weak = write(tmp_path / "b.tif", np.concatenate([rgb, alpha]), photometric="rgb", alpha="yes", **UTM)
    with pytest.raises(InvalidPixels, match="partly transparent"):
        images.read(weak)


def test_palettes_are_colours(tmp_path):
    table = {i: (i, 255 - i, i // 2, 255) for i in range(256)}
    path = write(tmp_path / "a.tif", photometric="palette", then=lambda f: f.write_colormap(1, table), **UTM)
    expected = np.array([table[i][:3] for i in range(256)])[GREY[0]].transpose(2, 0, 1)
    image = images.read(path)
    np.testing.assert_array_equal(image.values(), expected)
    assert image.data.rio.crs.to_epsg() == 32611
    nodata = int(GREY[0, 0, 0])
    holed = write(
        tmp_path / "b.tif", photometric="palette", nodata=nodata, then=lambda f: f.write_colormap(1, table), **UTM
    )
    np.testing.assert_array_equal(images.read(holed).missing[1], GREY[0] == nodata)


def test_white_at_zero(tmp_path):
    path = write(tmp_path / "a.tif", photometric="miniswhite", nodata=7, **UTM)
    image = images.read(path)
    np.testing.assert_array_equal(image.values(), np.where(GREY == 7, np.nan, 255.0 - GREY))


def test_a_transform_without_coordinates_counts(tmp_path):
    import rioxarray

    path = write(tmp_path / "a.tif", **UTM)
    array = rioxarray.open_rasterio(path, parse_coordinates=False)
    assert sampled(array)["mean"].rio.bounds() == sampled(path)["mean"].rio.bounds() == (5e5, 4e6 - 80, 5e5 + 100, 4e6)


@pytest.mark.parametrize("how", [{"masked": True}, {"mask_and_scale": True}, {"chunks": 4}, {}])
def test_rasters_that_rioxarray_opened_are_read_as_their_paths(tmp_path, how):
    import rioxarray

    path = write(tmp_path / "a.tif", nodata=int(GREY[0, 0, 0]), **UTM)
    array = rioxarray.open_rasterio(path, **how)
    one, other = images.read(path), images.survey(images.loaded(images.source(array)), value_range=(0, 255))
    np.testing.assert_array_equal(one.values(), other.values())
    assert np.isnan(one.values()).sum() == (GREY[0, 0, 0] == GREY).sum()
    assert sampled(array)["mean"].rio.bounds() == (5e5, 4e6 - 80, 5e5 + 100, 4e6)
