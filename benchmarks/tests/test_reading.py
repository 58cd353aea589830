"""Files of many layouts: the readers that bayesr is compared with, the comparison, and bayesr itself."""

import dataclasses
import json
import re

import numpy as np
import pytest
import xarray as xr
from click.testing import CliRunner

import bayesr
from bayesr.cli import main
from bayesr.errors import InvalidArgument
from bayesr_bench.reading import LAYOUTS, geotiff, microscopy, pictures
from bayesr_bench.reading.comparison import (
    of_members,
    of_place,
    of_units,
    of_values,
    outcome,
    same_crs,
    squares,
    type_for,
)
from bayesr_bench.reading.layout import BANDS, COLOUR, COUNTS, GREY, HOLE, PALETTE, PIXELS, Expected, Layout
from bayesr_bench.reading.pictures import by_pillow
from bayesr_bench.tables.reading import chosen, counted, fail_if_any_differs, row_of

NAMED = {layout.name: layout for layout in LAYOUTS}
UTM = (500000.0, 5399800.0, 500240.0, 5400000.0)


# -- bayesr --------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
def test_bayesr_reads_what_an_independent_reader_reads_or_refuses(layout, tmp_path):
    if layout.lacking:
        pytest.skip(f"{', '.join(layout.lacking)} is not installed")
    found = outcome(layout, layout.written(tmp_path))
    assert not found.startswith("DIFFERS"), found
    assert found == "equal" or layout.refused


# -- the layouts ---------------------------------------------------------------------------------


def test_layouts_are_many_and_have_names_of_their_own():
    assert len(NAMED) == len(LAYOUTS) >= 60
    assert len(geotiff.STORED) >= 16 and len(microscopy.LAYOUTS) + len(pictures.TIFF) >= 25
    assert all(layout.read or layout.refused for layout in LAYOUTS)
    folders = {"".join(c if c.isalnum() else "-" for c in name).casefold() for name in NAMED}
    assert len(folders) == len(NAMED), "folders of files differ on all systems"


COLOURS = np.array(PALETTE, float)[GREY].transpose(2, 0, 1)
MASKED = np.where(HOLE, np.nan, GREY)


@pytest.mark.parametrize(
    ("name", "values", "bounds"),
    [
        ("GeoTIFF: tiles", GREY, UTM),
        ("GeoTIFF: bands one after the other", BANDS, UTM),
        ("GeoTIFF: scale and offset, in K", COUNTS * 0.001 + 250, UTM),
        ("GeoTIFF: palette", COLOURS, UTM),
        ("GeoTIFF: white is 0, uint16", 65535.0 - COUNTS, UTM),
        ("GeoTIFF: south up", GREY, (500000, 5400200, 500240, 5400000)),
        ("GeoTIFF: nodata 255, uint8", MASKED, UTM),
        ("GeoTIFF: mask inside", MASKED, UTM),
        ("GeoTIFF: mask beside (.msk)", MASKED, UTM),
        ("GeoTIFF: RGB and alpha", np.where(HOLE, np.nan, BANDS), UTM),
        ("GeoTIFF: bands, the last of them alpha", np.where(HOLE, np.nan, np.stack([*BANDS, GREY])), UTM),
        ("TIFF with world file (.tfw)", COUNTS, UTM),
        ("PNG: RGB and alpha", np.where(HOLE, np.nan, BANDS), (0, 20, 24, 0)),
        ("PNG: turned by EXIF", np.rot90(COLOUR, -1).transpose(2, 0, 1), (0, 24, 20, 0)),
        ("TIFF: white is 0, uint8", 255.0 - GREY, (0, 20, 24, 0)),
        ("TIFF: palette", COLOURS, (0, 20, 24, 0)),
        ("TIFF: palette of an old writer", COLOURS, (0, 20, 24, 0)),
        ("TIFF: orientation 2, grey", GREY[:, ::-1], (0, 20, 24, 0)),
        ("TIFF: orientation 5, grey", GREY.T, (0, 24, 20, 0)),
        ("TIFF: orientation 8, uint16, tiles", np.rot90(COUNTS), (0, 24, 20, 0)),
        ("TIFF: a thumbnail before the image", COUNTS, (0, 20, 24, 0)),
        ("OME-TIFF: YX, higher than wide", COUNTS, (0, 10, 6, 0)),
        ("OME-TIFF: YXS", BANDS, (0, 5, 6, 0)),
        ("ImageJ: YX, sizes in micron", COUNTS, (0, 5, 3, 0)),
        ("NetCDF: packed, in K", np.where(HOLE, np.nan, np.round((270 + GREY / 8) * 100) / 100), UTM),
        ("NetCDF: south to north", COUNTS[::-1], (500000, 5400000, 500240, 5399800)),
        ("Zarr 2: zeros, and fill value 0", GREY - 3.0, (0, 20, 24, 0)),
        ("OME-Zarr 0.4: yx, moved", COUNTS, (-20.25, 104.875, -8.25, 99.875)),
    ],
)
def test_independent_readers_return_what_was_written(name, values, bounds, tmp_path):
    layout = NAMED[name]
    if layout.lacking:
        pytest.skip(f"{', '.join(layout.lacking)} is not installed")
    said = layout.said(layout.written(tmp_path))
    np.testing.assert_allclose(said.values, np.asarray(values, float).reshape(said.values.shape), rtol=1e-5)
    assert said.bounds == pytest.approx(bounds, rel=1e-12)


def test_a_value_in_one_band_is_missing_there_and_in_all_for_a_model_of_colours(tmp_path):
    layout = NAMED["GeoTIFF: RGB with nodata in one band, for colours"]
    if layout.lacking:
        pytest.skip("rasterio is not installed")
    said = layout.said(layout.written(tmp_path))
    assert np.isnan(said.values).sum(axis=(1, 2)).tolist() == [21 + 6, 6, 32 + 6]
    everywhere = np.isnan(said.values).all(0)
    assert everywhere.any() and (np.isnan(said.shown) == everywhere).all()


# -- the comparison ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def grey():
    return bayesr.load("fluorescence-x4")


@pytest.fixture
def product(grey):
    return grey.sample(np.where(HOLE, 0, GREY).astype(np.uint8), 2, nodata=0, progress=False)


EXPECTED = Expected(MASKED[None], (0.0, 20.0, 24.0, 0.0), coordinate_units=PIXELS)


def all_of(product, expected, model):
    return [*of_members(product, expected.shown, model), *of_place(product, expected, 4), *of_units(product, expected)]


def test_a_right_product_does_not_differ(product, grey):
    assert all_of(product, EXPECTED, grey) == []


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (MASKED[None] + 0.01, "values by up to 0.01"),
        (np.nan_to_num(MASKED)[None], "0 values are missing instead of 22"),
        (MASKED[None, ::-1], "values are missing|values by"),
        (np.stack([MASKED] * 2), r"shape \(2, 20, 24\)"),
    ],
)
def test_wrong_values_are_found(values, said):
    assert of_values(EXPECTED.values, EXPECTED) == []
    (found,) = of_values(values, EXPECTED)
    assert re.search(said, found)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda ds: ds.assign(samples=ds.samples + 1), "forward operator of members by 0.8"),
        (lambda ds: ds.assign(samples=ds.samples.fillna(0)), "0 values of samples are missing"),
        (lambda ds: ds.assign(mean=ds["mean"].shift(x=1)), "values of mean are missing"),
        (lambda ds: ds.astype(np.float64), "float64 instead of float32"),
        (lambda ds: ds.isel(x=slice(None, -4)), "shape of members"),
        (lambda ds: ds.assign_coords(x=("x", ds.x.data + 0.1, ds.x.attrs)), "bounds"),
        (lambda ds: ds.assign_coords(y=("y", ds.y.data[::-1], ds.y.attrs)), "bounds"),
        (lambda ds: ds.assign_coords(y=("y", ds.y.data, {"units": "m"})), "coordinates named None and"),
        (lambda ds: ds.assign(mean=ds["mean"].assign_attrs(units="K")), "units K and None instead of None"),
        (lambda ds: with_mapping(ds, crs_wkt="EPSG:4326"), "instead of none"),
        (lambda ds: with_mapping(ds, GeoTransform="0 0.25 0 0 0 -0.25"), "contradicts the coordinates"),
    ],
)
def test_wrong_products_are_found(change, said, product, grey):
    assert said in "; ".join(all_of(change(product), EXPECTED, grey))


def with_mapping(ds, **attrs):
    return ds.assign_coords(spatial_ref=xr.DataArray(0, attrs=attrs))


def test_an_upside_down_product_is_found(grey):
    expected = Expected(GREY[None].astype(float), (0.0, 20.0, 24.0, 0.0), coordinate_units=PIXELS)
    ds = grey.sample(GREY[::-1].copy(), 2, progress=False)
    assert "forward operator" in "; ".join(of_members(ds, expected.shown, grey))


def test_rotated_images_and_control_points_are_compared(product):
    rotated = Expected(MASKED[None], None, transform=(8.0, 4.0, 100.0, 4.0, -8.0, 50.0))
    assert of_place(product, rotated, 4) == ["no GeoTransform of the rotated image"]
    assert of_place(with_mapping(product, GeoTransform="100 2 1 50 1 -2"), rotated, 4) == []
    (found,) = of_place(with_mapping(product, GeoTransform="0 0.25 0 0 0 0.25"), rotated, 4)
    assert found.startswith("GeoTransform 0 0.25")
    pytest.importorskip("rioxarray")
    points = Expected(MASKED[None], None, gcps=((0.0, 0.0, 5.0, 6.0), (20.0, 24.0, 7.0, 8.0)))

    def collection(rows):
        features = [
            {"type": "Feature", "properties": {"id": str(i), "info": "", "row": row, "col": col},
             "geometry": {"type": "Point", "coordinates": [x, y]}}
            for i, (row, col, x, y) in enumerate(rows)
        ]  # fmt: skip
        return json.dumps({"type": "FeatureCollection", "features": features})

    right = [(0, 0, 5, 6), (80, 96, 7, 8)]
    assert of_place(with_mapping(product, gcps=collection(right)), points, 4) == []
    assert "ground control points" in of_place(with_mapping(product, gcps=collection(points.gcps)), points, 4)[0]
    invented = with_mapping(product, gcps=collection(right), GeoTransform="0 0.25 0 0 0 0.25")
    assert "invented" in of_place(invented, points, 4)[0]


def test_lengths_are_compared_in_one_unit(product):
    sized = dataclasses.replace(EXPECTED, bounds=(0.0, 5.0, 6.0, 0.0), coordinate_units="micrometer")
    assert "coordinates in 1 instead of micrometer" in of_place(product, sized, 4)[0]
    in_nm = product.assign_coords({dim: (dim, product[dim].data * 250, {"units": "nanometer"}) for dim in ("y", "x")})
    assert of_place(in_nm, sized, 4) == []


def test_units_by_band_have_a_coordinate(product):
    by_band = dataclasses.replace(EXPECTED, units=("K", "m"))
    assert "by band" in of_units(product, by_band)[0]
    two = xr.concat([product, product], "band").assign_coords(band_units=("band", ["K", "m"]))
    assert of_units(two, by_band) == []
    assert squares("K") == ("K2",) and squares("1") == ("1",) and squares(None) == (None,)
    assert squares("m s-1") == ("(m s-1)2", "m2 s-2")


def test_the_type_holds_a_thousandth_of_the_range():
    assert type_for(GREY + 4e9) == np.float64 and type_for(GREY + 1e3) == np.float32
    assert type_for(np.array([np.nan, 5.0])) == np.float32
    assert type_for(GREY * 1e306) == type_for(GREY * 1e-32) == np.float64, "whose squares float32 does not hold"


def test_crs_are_equal_in_any_version_of_text():
    pyproj = pytest.importorskip("pyproj")
    utm = pyproj.CRS("EPSG:32632")
    assert same_crs(utm.to_wkt(), utm.to_wkt("WKT1_GDAL"))
    assert not same_crs(utm.to_wkt(), pyproj.CRS("EPSG:32633").to_wkt())


def broken(path):
    path.write_bytes(b"\x89PNG\r\n\x1a\n")


def test_refusals_are_judged(tmp_path):
    refused = Layout("a", ".png", broken, "hand", refused="it is damaged")
    path = refused.written(tmp_path)
    assert outcome(refused, path).startswith("refused: NotAnImage: ")
    assert outcome(dataclasses.replace(refused, says="bayesr"), path).startswith(
        "DIFFERS: refused without saying what to do"
    )
    must = dataclasses.replace(refused, refused="", read=lambda _: EXPECTED)
    assert must.expected == "equal" and outcome(must, path).startswith("DIFFERS: refused, NotAnImage")
    good = NAMED["PNG: grey"]
    path = good.written(tmp_path)
    assert outcome(good.to_refuse("it is grey"), path) == "DIFFERS: read, though it is grey"
    assert outcome(good.or_refuse("it is grey"), path) == "equal"


# -- the table -----------------------------------------------------------------------------------


def test_rows_are_counted_and_differences_end_in_an_error(tmp_path):
    lacking = Layout("a", ".png", broken, "hand", refused="it is damaged", needs=("no_such_module",))
    assert row_of(lacking, tmp_path)["outcome"] == "skipped: no_such_module is not installed"
    rows = [{"layout": "a", "outcome": each} for each in ("equal", "equal", "refused: x", "DIFFERS: y", "skipped: z")]
    assert counted(rows) == "4 files: 2 equal, 1 refused as they must or may be, 1 differ; layouts skipped: 1"
    with pytest.raises(Exception, match="1 of 5 files differ:\na: DIFFERS: y"):
        fail_if_any_differs(rows)
    fail_if_any_differs(rows[:3])


def test_the_command_records_a_row_per_layout(tmp_path):
    words = ("PNG: grey, 16", "GIF: animated")
    call = ["bench", "reading", "--out", str(tmp_path / "out"), "--files", str(tmp_path / "files")]
    done = CliRunner().invoke(main, [*call, *(part for word in words for part in ("--layout", word))])
    assert done.exit_code == 0, done.output
    assert ": 2 files: 1 equal, 1 refused as they must or may be, 0 differ; layouts skipped: 0\n" in done.output
    rows = json.loads((tmp_path / "out" / "reading.json").read_text())["rows"]
    assert rows[0] == {
        "layout": "PNG: grey, 16 bits", "written by": "Pillow", "read by": "Pillow", "right": "equal",
        "outcome": "equal",
    }  # fmt: skip
    assert rows[1]["outcome"].startswith("refused: ") and str(tmp_path) not in rows[1]["outcome"]
    (file,) = (tmp_path / "files").rglob("*.png")
    assert (by_pillow(file).values == COUNTS).all()
    again = CliRunner().invoke(main, call)
    assert again.exit_code == 1 and "exists" in again.output
    with pytest.raises(InvalidArgument, match="No layout has nothing"):
        chosen(["nothing"])
