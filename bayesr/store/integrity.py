"""The integrity of a store: its checksums, written after the data, reveal damage."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from bayesr import images
from bayesr.errors import BayesrError, InvalidProduct, StoreFailed
from bayesr.progress import progress as show_progress
from bayesr.store import structure
from bayesr.store.groups import NEXT
from bayesr.store.journal import Journal
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
        What is wrong with every damaged variable, by row and column of its tile (in a stack, after the place of its
        slice) and by name.
    image : str
        What is wrong with the store's copy of the image; empty where nothing is.
    repaired : int
        Number of tiles drawn again.
    metadata : str
        What is wrong with attributes, or with the shapes of arrays; empty where nothing is. Nothing else is read then.
    """

    place: str
    tiles: int
    unfinished: int
    damaged: Mapping[tuple[int, ...], Mapping[str, str]] = field(default_factory=dict)
    image: str = ""
    repaired: int = 0
    metadata: str = ""

    @property
    def sound(self) -> bool:
        """Whether all tiles are present and unchanged since they were written."""
        return not (self.unfinished or self.damaged or self.image or self.metadata)

    def __str__(self) -> str:
        lines = [f"{self.place}: {self.tiles} tiles, {len(self.damaged)} damaged, {self.unfinished} not drawn yet"]
        lines += [
            f"tile {', '.join(map(str, index))}: {name} (file {_file(name, index)}) {reason}"
            for index, variables in self.damaged.items()
            for name, reason in variables.items()
        ]
        lines += [f"the copy of the image: {self.image}"] if self.image else []
        lines += [f"the metadata: {self.metadata}"] if self.metadata else []
        lines += [f"{self.repaired} tiles were drawn again"] if self.repaired else []
        return "\n".join(lines)


def _file(name: str, index: tuple[int, ...]) -> str:
    return "/".join([name, "c", *map(str, index[:-2]), "...", *map(str, index[-2:])])


def inspect(store: Store, progress: bool | None) -> IntegrityReport:
    """Compare all finished tiles and the copy of the image with their checksums.

    Raises
    ------
    StoreFailed
        When the disk or the network fails.
    """
    if broken := structure.damage(store):
        return IntegrityReport(store.place, 0, 0, metadata=broken)
    finished = store.finished()
    tiles = [tuple(map(int, index)) for index in np.argwhere(finished)]
    damaged = {}
    inspect_tile = partial(damage, store, counts=Counts.of(store))
    with show_progress("checking", len(tiles), progress) as advance, ThreadPoolExecutor() as threads:
        for tile, reasons in zip(tiles, threads.map(inspect_tile, tiles), strict=True):
            if reasons:
                damaged[tile] = reasons
            advance(1)
    return IntegrityReport(store.place, finished.size, int((~finished).sum()), damaged, image_damage(store))


def require_sound(store: Store, progress: bool | None) -> None:
    """Check that nothing of a store is damaged, before anything is computed from it.

    Raises
    ------
    InvalidProduct
        When something is; the message says what, and how to repair it.
    """
    report = inspect(store, progress)
    if report.metadata:
        raise InvalidProduct(report.metadata)
    if report.damaged or report.image:
        raise InvalidProduct(
            f"The store is damaged, and nothing was changed: bayesr.check({store.place!r}, repair=True) draws damaged "
            f"tiles again. {report}"
        )


@dataclass(frozen=True)
class Counts:
    """Numbers of members that a finished tile may have: `n`, and `more` while members are added."""

    n: int
    more: int | None

    @classmethod
    def of(cls, store: Store) -> Counts:
        return cls(store.provenance.n, store.settings.get(NEXT))


def damage(store: Store, index: tuple[int, ...], counts: Counts) -> dict[str, str]:
    """Return the damaged variables of a finished tile, and what is wrong with each."""
    reasons: dict[str, str] = {}
    try:
        members = store.members(index)
        if members not in (counts.n, counts.more):
            return {"done": f"holds {members} members, where the product has {counts.more or counts.n}"}
        if counts.more and members != counts.more and Journal(store).pending(index, counts.more):
            return Journal(store).damage(index, counts.more)
        checksums = store.checksums(index)
    except InvalidProduct as error:
        return {"done": f"cannot be read ({error})"}
    for name, checksum in checksums.items():
        try:
            if store.checksum_of(name, index, members) != checksum:
                reasons[name] = "does not have its recorded checksum"
            elif store.has_wrong_size(name, index):
                reasons[name] = "has another size than its header states"
        except InvalidProduct as error:
            reasons[name] = f"cannot be read ({error})"
    return reasons


def image_damage(store: Store) -> str:
    """Return what is wrong with the copy of the image, if anything."""
    provenance, nodata = store.provenance, store.settings["nodata"]
    try:
        image = images.survey(store.input(), nodata=nodata, value_range=provenance.value_range)
    except StoreFailed:
        raise
    except InvalidProduct as error:
        return f"cannot be read ({error})"
    except BayesrError:
        return "holds other values than it did"
    return "" if image.sha256 == provenance.input_sha256 else "does not have its recorded checksum"
