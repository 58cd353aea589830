"""Checks of a TIFF file before its pages are read: their number must be finite, and metadata must fit them.

tifffile follows all references from page to page, and believes the sizes that metadata state.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import numpy as np

from bayesr.errors import NotAnImage, TooLarge
from bayesr.images import limits

if TYPE_CHECKING:
    import tifffile

MOST_PAGES = 10_000
"""Largest number of pages, of planes that metadata state, and of files of one image."""
_MOST_TAGS, _MOST_VALUES = 50 * MOST_PAGES, 2 * 10**7
_TAGS_OF_A_PAGE = 4096
"""More are damage; tifffile reads no such page."""
_SUB_IFDS = 330


def check_pages(path: Path, file: tifffile.TiffFile) -> None:
    """Refuse a file whose pages form a ring, or with more pages or tags than are read.

    Raises
    ------
    NotAnImage, TooLarge
    """
    pages, tags, values = 0, 0, 0.0
    for number, counts in _directories(path, file):
        pages, tags, values = pages + 1, tags + number, values + counts
        if pages > MOST_PAGES or tags > _MOST_TAGS or values > _MOST_VALUES:
            raise TooLarge(
                f"{path} has more than {MOST_PAGES} pages, or pages with very long tables: give the image you mean, as "
                "in tifffile.imread(path, key=0)."
            )


def _directories(path: Path, file: tifffile.TiffFile) -> Iterator[tuple[int, float]]:
    """Yield the number of tags of each page, sub-pages included, and the number of their values."""
    handle, tiff = file.filehandle, file.tiff
    order, wide = file.byteorder, "u8" if tiff.tagsize == 20 else "u4"
    entry = np.dtype([("code", order + "u2"), ("type", order + "u2"), ("count", order + wide), ("value", order + wide)])
    offset, seen, below = file.pages.first.offset, set[int](), list[int]()
    while offset or below:
        if offset in seen:
            raise NotAnImage(f"{path} is damaged: its pages refer to each other in a ring. Save it again.")
        chained = bool(offset)
        offset = offset or below.pop()
        if chained:
            seen.add(offset)
        try:
            handle.seek(offset)
            (number,) = struct.unpack(tiff.tagnoformat, handle.read(tiff.tagnosize))
            if number > _TAGS_OF_A_PAGE:
                raise ValueError
            block = handle.read(number * tiff.tagsize)
            (after,) = struct.unpack(tiff.offsetformat, handle.read(tiff.offsetsize))
            table = np.frombuffer(block, entry, number)
        except (struct.error, ValueError, OSError):  # the end of the file: tifffile stops here, too
            offset = 0
            continue
        yield number, float(table["count"].astype(float).clip(0, handle.size).sum())
        if chained:
            for place in np.flatnonzero(table["code"] == _SUB_IFDS):
                below += _sub_pages(file, table[place], offset + tiff.tagnosize + int(place) * tiff.tagsize)
        offset = int(after) if chained and after < handle.size else 0


def _sub_pages(file: tifffile.TiffFile, tag: np.void, at: int) -> list[int]:
    """Return the offsets of the sub-pages that a tag, which lies at `at`, lists."""
    threshold = file.tiff.tagoffsetthreshold
    kind = np.dtype(file.byteorder + ("u8" if int(tag["type"]) in (16, 18) else "u4"))
    count = min(int(tag["count"]), MOST_PAGES + 1)
    inline = count * kind.itemsize <= threshold
    file.filehandle.seek(at + file.tiff.tagsize - threshold if inline else int(tag["value"]))
    data = file.filehandle.read(count * kind.itemsize)
    offsets = np.frombuffer(data, kind, len(data) // kind.itemsize)
    return [int(offset) for offset in offsets if 8 <= offset < file.filehandle.size]


def check_metadata(path: Path, file: tifffile.TiffFile) -> None:
    """Refuse OME-XML that states more planes than are read, defines entities, or refers to files elsewhere.

    Raises
    ------
    NotAnImage, TooLarge
    """
    if not file.is_ome:
        return
    text = file.ome_metadata or ""
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise NotAnImage(f"{path} has OME-XML with definitions of its own, which are not read: save it again.")
    try:
        elements = list(ElementTree.fromstring(text).iter())
    except ElementTree.ParseError as error:
        raise NotAnImage(f"{path} has damaged OME-XML ({error}): save it again.") from error
    page = max(1, math.prod(file.pages.first.shape))
    others = set()
    for element in elements:
        stated = element.attrib
        name = element.tag.rpartition("}")[2]
        if name == "Pixels":
            planes = math.prod(_number(stated.get(f"Size{axis}", 1)) for axis in "XYZCT") / page
        elif name == "TiffData":
            planes = max(_number(stated.get(key, 0)) for key in ("NumPlanes", "PlaneCount", "IFD"))
        elif name.startswith("ModuloAlong"):
            step = abs(_number(stated.get("Step", 1))) or math.inf
            planes = abs(_number(stated.get("End", 0)) - _number(stated.get("Start", 0))) / step
        else:
            planes = 0
            if name == "UUID" and "FileName" in stated:
                others.add(stated["FileName"])
        if planes > MOST_PAGES or len(others) > MOST_PAGES:
            raise TooLarge(
                f"{path} states more than {MOST_PAGES} planes in its OME-XML: give the image you mean, as in "
                "tifffile.imread(path, key=0)."
            )
    _check_others(path, others)


def _check_others(path: Path, names: set[str]) -> None:
    import tifffile  # start-up time

    for name in sorted(names):
        if name.lower() == path.name.lower():
            continue
        other = path.parent / name
        if Path(name).name != name or not other.is_file():
            raise NotAnImage(f"{path} is a part of an image whose part {name!r} is not beside it: copy all files.")
        with tifffile.TiffFile(limits.existing(other)) as file:
            check_pages(other, file)


def _number(text: object) -> float:
    try:
        return float(str(text))
    except ValueError:
        return math.inf


def check_series(path: Path, series: tifffile.TiffPageSeries) -> None:
    """Refuse a series with missing planes, strips or tiles, for which tifffile would return zeros.

    Raises
    ------
    NotAnImage
    """
    if series.dataoffset is not None:
        return
    parts, stated = len(series.keyframe.dataoffsets), math.prod(series.keyframe.chunked)
    if parts < stated:
        raise NotAnImage(f"{path} is damaged: it states {stated} strips or tiles, and lists {parts}. Save it again.")
    present = sum(0 if page is None else math.prod(series.keyframe.shape) for page in series.pages)
    if present != math.prod(series.shape):
        raise NotAnImage(
            f"{path} is damaged, or a part of an image: it states {' x '.join(map(str, series.shape))} pixels "
            f"({series.axes}) and holds {present}. Save it again, or copy all its files."
        )
