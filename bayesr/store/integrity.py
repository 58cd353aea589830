"""The integrity of a store: its checksums, written after the data, reveal damage."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from bayesr import images
from bayesr.errors import BayesrError
from bayesr.product import SAMPLES, Provenance
from bayesr.progress import progress as show_progress
from bayesr.store.layout import Store


@dataclass(frozen=True)
class IntegrityReport:
    """The result of `bayesr.check`.

    Attributes
    ----------
    place : str
        The store.
    tiles, unfinished : int
        Number of tiles, and of tiles not drawn yet.
    damaged : mapping
        What is wrong with every damaged variable, by row and column of its tile and by name.
    image : str
        What is wrong with the store's copy of the image; empty where nothing is.
    repaired : int
        Number of tiles drawn again.
    """

    place: str
    tiles: int
    unfinished: int
    damaged: Mapping[tuple[int, int], Mapping[str, str]] = field(default_factory=dict)
    image: str = ""
    repaired: int = 0

    @property
    def sound(self) -> bool:
        """Whether all tiles are present and unchanged since they were written."""
        return not (self.unfinished or self.damaged or self.image)

    def __str__(self) -> str:
        lines = [f"{self.place}: {self.tiles} tiles, {len(self.damaged)} damaged, {self.unfinished} not drawn yet"]
        lines += [
            f"tile {row}, {column}: {name} (shard {name}/c/.../{row}/{column}) {reason}"
            for (row, column), variables in self.damaged.items()
            for name, reason in variables.items()
        ]
        lines += [f"the copy of the image: {self.image}"] if self.image else []
        lines += [f"{self.repaired} tiles were drawn again"] if self.repaired else []
        return "\n".join(lines)


def inspect(store: Store, progress: bool | None) -> IntegrityReport:
    """Compare all finished tiles and the copy of the image with their checksums."""
    finished = store.finished()
    tiles = [(int(row), int(column)) for row, column in np.argwhere(finished)]
    damaged = {}
    with show_progress("checking", len(tiles), progress) as advance, ThreadPoolExecutor() as threads:
        for tile, found in zip(tiles, threads.map(lambda at: damage(store, at), tiles), strict=True):
            if found:
                damaged[tile] = found
            advance(1)
    return IntegrityReport(store.place, finished.size, int((~finished).sum()), damaged, _image_damage(store))


def damage(store: Store, at: tuple[int, int]) -> dict[str, str]:
    """Return the damaged variables of a finished tile, and what is wrong with each."""
    found = {}
    for name, checksum in store.checksums(at).items():
        try:
            if stored_checksum(store, name, at) != checksum:
                found[name] = "does not have its recorded checksum"
        except Exception as error:  # codecs raise nearly anything on damaged bytes
            found[name] = f"cannot be read ({type(error).__name__}: {error})"
    return found


def stored_checksum(store: Store, name: str, at: tuple[int, int]) -> int:
    """Return the CRC-32 of a variable's stored values on a tile."""
    array, crc = store.array(name), 0
    rows, columns = (slice(store.side * place, store.side * (place + 1)) for place in at)
    leading = range(array.shape[0]) if name == SAMPLES else [slice(None)]
    for lead in leading:  # one by one, because all may fill the memory
        values = np.array(array[lead, ..., rows, columns], array.dtype.newbyteorder("<"), order="C")
        crc = zlib.crc32(values.data, crc)
    return crc


def _image_damage(store: Store) -> str:
    """Return what is wrong with the copy of the image, if anything."""
    provenance, nodata = Provenance.from_attrs(store.attributes), json.loads(store.metadata["nodata"])
    try:
        image = images.survey(store.input(), nodata=nodata, value_range=provenance.value_range)
    except BayesrError:
        return "holds other values than it did"
    except Exception as error:  # as in `damage`
        return f"cannot be read ({type(error).__name__}: {error})"
    return "" if image.sha256 == provenance.input_sha256 else "does not have its recorded checksum"
