"""Catalogue of bundled models and segmenters, from their headers, without loading weights or torch."""

from __future__ import annotations

import html
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bayesr import files, plugins
from bayesr.errors import BayesrError, PluginNotUsed, warn
from bayesr.model.header import read_header

_BUNDLED = Path(__file__).parent / "weights"
SEGMENTERS = _BUNDLED / "segmenters"
"""Folder of the segmenters that `bayesr.segment` knows by name."""


@dataclass(frozen=True)
class ModelInfo:
    """Metadata of a model file.

    Attributes
    ----------
    name, domain, use : str
        Name, the kind of images it was trained for, and intended use.
    scale, bands : int
        Scale factor, and number of bands that it takes at once.
    parameters, bytes : int
        Number of weights, and size of the file.
    scores : dict
        Recorded scores by data set, each with its number of images, n and seed.
    path : Path
        Path of the file.
    calibrated : bool
        Whether its intervals were calibrated on held-out images.
    """

    name: str
    domain: str
    scale: int
    bands: int
    parameters: int
    bytes: int
    scores: dict[str, Any]
    path: Path
    use: str = ""
    calibrated: bool = False


Row = tuple[str, str, int, int, int, bool]
"""Name, domain, scale, bands, number of parameters, and whether it is calibrated."""
_TITLES = ("name", "domain", "scale", "bands", "parameters", "calibrated")


class ModelList(list[ModelInfo]):
    """A list of models that is shown as a table, in notebooks as HTML."""

    def __repr__(self) -> str:
        return rows_of_text(self._rows())

    def _repr_html_(self) -> str:
        return rows_of_html(self._rows())

    def _rows(self) -> list[Row]:
        return [(one.name, one.domain, one.scale, one.bands, one.parameters, one.calibrated) for one in self]


def row_of(model: Any) -> Row:
    """Return the row of a loaded model."""
    parameters = sum(weight.numel() for weight in model.generator.parameters())
    domain, calibrated = str(model.card.get("domain", "")), bool(model.calibration.missed)
    return model.name, domain, model.scale, model.bands, parameters, calibrated


def _cells(row: Row) -> tuple[str, ...]:
    name, domain, scale, bands, parameters, calibrated = row
    return name, domain, f"x{scale}", str(bands), f"{parameters:,}", "yes" if calibrated else "no"


def rows_of_text(rows: Iterable[Row]) -> str:
    """Return a table in columns, with titles."""
    cells = [_TITLES, *map(_cells, rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in cells)


def rows_of_html(rows: Iterable[Row]) -> str:
    """Return a table of HTML, which takes the colours of the page, light or dark."""
    lines = ["".join(f"<th>{title}</th>" for title in _TITLES)]
    for row in rows:
        lines.append("".join(f"<td style='text-align: left'>{html.escape(cell)}</td>" for cell in _cells(row)))
    return f"<table>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"


def models() -> ModelList:
    """List the bundled models, and those that other distributions add (`bayesr.plugins`).

    Returns
    -------
    list of ModelInfo
        Sorted by name. Notebooks show it as a table.
    """
    infos = ModelList()
    for path in _files():
        header = read_header(path)
        card, architecture = header["card"], header["architecture"]
        infos.append(
            ModelInfo(
                name=path.stem,
                domain=card.get("domain", ""),
                scale=architecture["scale"],
                bands=architecture["bands"],
                parameters=card.get("parameters", 0),
                bytes=path.stat().st_size,
                scores=card.get("scores", {}),
                path=path,
                use=card.get("use", ""),
                calibrated=bool((header.get("calibration") or {}).get("missed")),
            )
        )
    return infos


def _files() -> list[Path]:
    """Return the files of all models that have a name; a distribution that fails is left out with a warning."""
    bundled = {path.stem: path for path in _BUNDLED.glob("*.safetensors")}
    installed: dict[str, Path] = {}
    for point in plugins.found(plugins.MODELS):
        try:
            path = _file_of(point)
            read_header(path)
            installed.setdefault(point.name, path)
        except BayesrError as error:
            warn(str(error), PluginNotUsed)
    return [path for _, path in sorted((installed | bundled).items())]


def _file_of(point: plugins.Point) -> Path:
    """Return the model file that an entry point names.

    Raises
    ------
    PluginFailed
        When it names none of this name: products record the name of the file.
    """
    given = point.load()
    path = Path(given) if isinstance(given, str | os.PathLike) else None
    if path is None or not path.is_file() or path.stem != point.name:
        raise point.failure(f"is no path of a file {point.name}.safetensors")
    return path


def segmenters() -> dict[str, dict[str, Any]]:
    """Return the headers of the bundled segmenters, by name."""
    return {path.stem: read_header(path) for path in sorted(SEGMENTERS.glob("*.safetensors"))}


def recorded(name: str, sha256: str, source: str = "") -> Path | None:
    """Return the file of the bundled model that a product records.

    A later version may bundle other weights under a name, and the earlier ones under another. So the checksum decides,
    and the name only among files with the same weights.

    Parameters
    ----------
    name : str
        The recorded name.
    sha256 : str
        The recorded checksum of the weights.
    source : str
        The recorded images of the calibration. A file of another name must have been calibrated on the same images:
        a model of the user with bundled weights may have another calibration.

    Returns
    -------
    Path or None
        None where no bundled file holds the model.
    """
    headers = {path: read_header(path) for path in _files()}
    same = [path for path, header in headers.items() if header["sha256"] == sha256]
    named = [path for path in same if path.stem == name]
    alike = [path for path in same if (headers[path].get("calibration") or {}).get("source", "") == source]
    return next(iter([*named, *alike]), None)


def locate(name_or_path: str | Path) -> Path:
    """Return the file of a model, given the name of a bundled or installed one, or a path.

    Raises
    ------
    UnknownModel
        When there is no such file; the message lists the nearest names.
    PluginFailed
        When the distribution that adds the name cannot be loaded.
    """
    point = plugins.first(plugins.MODELS, name_or_path) if isinstance(name_or_path, str) else None
    if point is not None and not (_BUNDLED / f"{point.name}.safetensors").is_file():
        return _file_of(point)
    return files.locate(name_or_path, _BUNDLED, "model", "See bayesr.models().", plugins.names(plugins.MODELS))
