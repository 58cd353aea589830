from xml.etree import ElementTree

import numpy as np
import pytest

import bayesr

rasterio = pytest.importorskip("rasterio")


@pytest.fixture(scope="module")
def ds(model, photo):
    return model.sample(photo, 4)


@pytest.fixture(scope="module")
def grey(grey_model, photo):
    return grey_model.sample(photo[..., 0].astype(np.uint16) * 40, 4)


def style(path):
    """The renderer of a style, which is well-formed."""
    assert path.read_text().startswith("<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n<qgis ")
    (renderer,) = ElementTree.parse(path).getroot().iterfind("pipe/rasterrenderer")
    return renderer


def both(ds, folder, **options):
    """The renderer, and the names of the bands of the GeoTIFF with the same variables."""
    tif = bayesr.export(ds, folder / "a.tif", overwrite=True, **options)
    renderer = style(bayesr.export(ds, folder / "a.qml", overwrite=True, **options))
    with pytest.warns(rasterio.errors.NotGeoreferencedWarning), rasterio.open(tif) as file:
        return renderer, dict(enumerate(file.descriptions, 1))


def test_colours_are_those_of_the_mean(ds, tmp_path):
    renderer, names = both(ds, tmp_path)
    assert renderer.get("type") == "multibandcolor"
    found = [names[int(renderer.get(f"{colour}Band"))] for colour in ("red", "green", "blue")]
    assert found == ["mean 0", "mean 1", "mean 2"]
    for colour in ("red", "green", "blue"):
        part = renderer.find(f"{colour}ContrastEnhancement")
        assert (float(part.findtext("minValue")), float(part.findtext("maxValue"))) == (0, 255)


def test_one_band_is_grey_over_the_value_range(grey, tmp_path):
    renderer, names = both(grey, tmp_path)
    assert renderer.get("type") == "singlebandgray" and names[int(renderer.get("grayBand"))] == "mean"
    part = renderer.find("contrastEnhancement")
    ends = float(part.findtext("minValue")), float(part.findtext("maxValue"))
    assert ends == pytest.approx(tuple(grey.attrs["value_range"]))


@pytest.mark.parametrize(("colours", "name"), [(False, "std"), (True, "std 1")])
def test_uncertainty_has_a_ramp_from_nothing(ds, grey, tmp_path, colours, name):
    product = ds if colours else grey
    renderer, names = both(product, tmp_path, variables=("std", "lower", "upper"))
    assert renderer.get("type") == "singlebandpseudocolor" and names[int(renderer.get("band"))] == name
    shader = renderer.find("rastershader/colorrampshader")
    values = [float(item.get("value")) for item in shader.iterfind("item")]
    brightest = np.percentile(product["std"], 99.5)
    assert values[0] == 0 and values[-1] == pytest.approx(brightest, rel=1e-6)
    np.testing.assert_allclose(np.diff(values), brightest / (len(values) - 1), rtol=1e-6)
    assert float(renderer.get("classificationMax")) == float(shader.get("maximumValue")) == values[-1]
    ends = [item.get("color") for item in shader.iterfind("item")]
    assert (ends[0], ends[-1]) == ("#440154", "#fde725")  # of viridis
    stops = {one.get("name"): one.get("value") for one in shader.iterfind("colorramp/Option/Option")}
    assert stops["color1"] == "68,1,84,255" and len(stops["stops"].split(":")) == len(values) - 2


def test_a_member_is_an_image_and_missing_pixels_make_no_colours(ds, grey, tmp_path):
    assert both(ds, tmp_path, member=1)[0].get("type") == "multibandcolor"
    empty = grey.copy(deep=True)
    empty["std"][:] = np.nan
    assert float(both(empty, tmp_path, variables="std")[0].get("classificationMax")) == 1
