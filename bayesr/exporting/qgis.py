"""Layer styles of QGIS: colours for the GeoTIFF of the same variables.

QGIS applies a style by itself where it has the name of the GeoTIFF and the suffix ``.qml``.
"""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as xml

from bayesr.exporting.selection import OF_IMAGE, Selection
from bayesr.files import write_atomically

_HEAD = "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n"
_VERSION = "3.22.16"
"""The QGIS that styles were tried with; later ones read those of earlier ones."""
_VIRIDIS = "440154 472d7b 3b528b 2c728e 21918c 28ae80 5ec962 addc30 fde725"
"""Colours of equal steps, by S. van der Walt and N. Smith, 2015."""
_ORIGIN = {
    "limits": "None", "extent": "WholeRaster", "statAccuracy": "Estimated", "cumulativeCutLower": "0.02",
    "cumulativeCutUpper": "0.98", "stdDevFactor": "2",
}  # fmt: skip
"""The ends of colours are given, so that QGIS does not estimate them again."""


def write(chosen: Selection, path: Path) -> None:
    """Write the style that shows the first variable of a selection in its GeoTIFF.

    Values of the image are grey or coloured, from black to white over the value range. Others have the colours of
    viridis, from 0 to their 99.5th percentile; of three bands the middle one is shown.
    """
    name = str(next(iter(chosen.ds.data_vars)))
    bands = chosen.ds.sizes["band"]
    low, high = chosen.shown(name, chosen.ds[name].to_numpy())
    document = xml.Element("qgis", version=_VERSION, styleCategories="Symbology")
    pipe = xml.SubElement(document, "pipe")
    if name not in OF_IMAGE:
        _ramp(pipe, 1 + bands // 2 if bands == 3 else 1, low, high)
    elif bands == 3:
        _colours(pipe, low, high)
    else:
        _grey(pipe, low, high)
    xml.SubElement(pipe, "brightnesscontrast", brightness="0", gamma="1", contrast="0")
    xml.SubElement(pipe, "rasterresampler", maxOversampling="2")
    xml.SubElement(document, "blendMode").text = "0"
    xml.indent(document)
    write_atomically(path, _HEAD + xml.tostring(document, "unicode") + "\n")


def _renderer(pipe: xml.Element, kind: str, **attributes: str) -> xml.Element:
    """Add a renderer, in which missing pixels are transparent: they are the nodata of the GeoTIFF."""
    always = {"type": kind, "opacity": "1", "alphaBand": "-1", "nodataColor": ""}
    renderer = xml.SubElement(pipe, "rasterrenderer", always | attributes)
    xml.SubElement(renderer, "rasterTransparency")
    origin = xml.SubElement(renderer, "minMaxOrigin")
    for name, value in _ORIGIN.items():
        xml.SubElement(origin, name).text = value
    return renderer


def _enhancement(renderer: xml.Element, name: str, low: float, high: float) -> None:
    part = xml.SubElement(renderer, name)
    for tag, text in (("minValue", f"{low:.9g}"), ("maxValue", f"{high:.9g}")):
        xml.SubElement(part, tag).text = text
    xml.SubElement(part, "algorithm").text = "StretchToMinimumMaximum"


def _grey(pipe: xml.Element, low: float, high: float) -> None:
    renderer = _renderer(pipe, "singlebandgray", grayBand="1", gradient="BlackToWhite")
    _enhancement(renderer, "contrastEnhancement", low, high)


def _colours(pipe: xml.Element, low: float, high: float) -> None:
    renderer = _renderer(pipe, "multibandcolor", redBand="1", greenBand="2", blueBand="3")
    for colour in ("red", "green", "blue"):
        _enhancement(renderer, f"{colour}ContrastEnhancement", low, high)


def _ramp(pipe: xml.Element, band: int, low: float, high: float) -> None:
    ends = {"classificationMin": f"{low:.9g}", "classificationMax": f"{high:.9g}"}
    renderer = _renderer(pipe, "singlebandpseudocolor", band=str(band), **ends)
    shader = xml.SubElement(
        xml.SubElement(renderer, "rastershader"), "colorrampshader", colorRampType="INTERPOLATED",
        classificationMode="1", clip="0", labelPrecision="4", minimumValue=f"{low:.9g}", maximumValue=f"{high:.9g}",
    )  # fmt: skip
    colours = _VIRIDIS.split()
    plain = [",".join(str(int(colour[i : i + 2], 16)) for i in (0, 2, 4)) + ",255" for colour in colours]
    stops = ":".join(f"{i / (len(plain) - 1):g};{plain[i]}" for i in range(1, len(plain) - 1))
    ramp = xml.SubElement(
        xml.SubElement(shader, "colorramp", name="[source]", type="gradient"), "Option", type="Map"
    )  # fmt: skip
    options = {"color1": plain[0], "color2": plain[-1], "discrete": "0", "rampType": "gradient", "stops": stops}
    for name, value in options.items():
        xml.SubElement(ramp, "Option", name=name, type="QString", value=value)
    for i, colour in enumerate(colours):
        at = low + (high - low) * i / (len(colours) - 1)
        xml.SubElement(
            shader, "item", value=f"{at:.9g}", label=f"{at:.4g}", color=f"#{colour}", alpha="255"
        )  # fmt: skip
