"""Data sets by name: what they are, whose, under which licence, where their files come from, and how they are checked.

Files are known by their SHA-256. A set whose files were made from others has no addresses, and its note says how they
were made; a folder of such files can be verified all the same. Sets lie in a folder that has ``bench`` for those
that are measured on, and ``train`` for those that are trained on.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import logging
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pooch

from bayesr.errors import DataDiffers, DataNotFound, UnknownData

PATH = Path(__file__).with_name("registry.json")
_TIMEOUT = 60
"""Seconds without an answer, after which a download is given up."""
_SHOWN = 3
"""Files that a message names."""


@dataclass(frozen=True)
class DataSet:
    """A set of files, and what there is to know of it.

    Attributes
    ----------
    name, title, about : str
    folder : str
        Where it lies, as ``bench/NAME`` or ``train/NAME``.
    licence : str
        As stated by its source.
    citation, source : str
        The work it is from, and a page.
    files : mapping of str to str
        SHA-256 by path in the folder; empty where only `digest` is known.
    addresses : mapping of str to str
        Where files can be had, by path; empty where they were made from others.
    digest : str
        SHA-256 over sorted lines ``NAME SHA-256``, of all files.
    count, bytes : int
        Number of files, and their size together.
    note : str
        How the files were made, where nobody offers them.
    """

    name: str
    title: str
    about: str
    folder: str
    licence: str
    citation: str
    source: str
    digest: str
    count: int
    bytes: int
    files: Mapping[str, str] = field(default_factory=dict)
    addresses: Mapping[str, str] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True)
class State:
    """How a folder compares with a set: paths that are missing, and that differ."""

    missing: tuple[str, ...] = ()
    differing: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "differs" if self.differing else "missing" if self.missing else "here"


# -- what is known -------------------------------------------------------------------------------


def known() -> dict[str, DataSet]:
    """Every registered set, by name."""
    return {name: _read(name, entry) for name, entry in json.loads(PATH.read_text(encoding="utf-8")).items()}


def _read(name: str, entry: Mapping[str, Any]) -> DataSet:
    given = dict(entry)
    base, renamed = given.pop("base", None), given.pop("renamed", {})
    files = given.get("files", {})
    addresses = {} if base is None else {file: base + quote(renamed.get(file, Path(file).name)) for file in files}
    return DataSet(name, addresses=addresses, **given)


def find(name: str, sets: Mapping[str, DataSet] | None = None) -> DataSet:
    """The set of a name.

    Raises
    ------
    UnknownData
        If there is none; the message has the names that are known, and those most like it.
    """
    sets = known() if sets is None else sets
    if name in sets:
        return sets[name]
    like = difflib.get_close_matches(name, sets, cutoff=0.5)
    hint = f"Did you mean {' or '.join(like)}? " if like else ""
    raise UnknownData(f"There is no data set {name!r}. {hint}Known are {', '.join(sets)}.")


# -- what is here --------------------------------------------------------------------------------


def place(data: DataSet, root: Path) -> Path:
    """Where a set lies: in a `root` with ``bench`` and ``train``, in a `root` that is one of these, or beside it."""
    kind, own = data.folder.split("/", 1)
    candidates = [root / data.folder]
    if root.name not in {"bench", "train"} - {kind}:  # where sets of the other kind may have the same name
        candidates.append(root / own)
    candidates.append(root.parent / data.folder)
    return next((folder for folder in candidates if folder.is_dir()), candidates[0])


def verify(data: DataSet, folder: Path) -> State:
    """Compare the files in a folder with a set; files of other names are none of its business.

    Where only the digest of a set is known, a difference cannot be told from a missing file by name: then ``*``
    stands for it.
    """
    if not data.files:
        return _whole(data, folder)
    missing = tuple(name for name in data.files if not (folder / name).is_file())
    there = [name for name in data.files if name not in missing]
    return State(missing, tuple(name for name in there if checksum(folder / name) != data.files[name]))


def _whole(data: DataSet, folder: Path) -> State:
    found = {path.relative_to(folder).as_posix(): checksum(path) for path in folder.rglob("*") if path.is_file()}
    if len(found) < data.count:
        return State(missing=("*",))
    return State() if digest(found) == data.digest else State(differing=("*",))


def check(data: DataSet, folder: Path) -> None:
    """The folder holds the set.

    Raises
    ------
    DataNotFound
        If files are missing.
    DataDiffers
        If files are others.
    """
    state = verify(data, folder)
    if state.differing:
        one = state.differing[0]
        known = "" if one == "*" else f" (of {one} {checksum(folder / one)}, expected {data.files[one]})"
        raise DataDiffers(
            f"{data.name} in {folder} is not the set that is registered: {_some(state.differing, data.count)} have "
            f"another SHA-256{known}. Figures on it are not comparable; {_remedy(data)}."
        )
    if state.missing:
        raise DataNotFound(
            f"{data.name} is not complete in {folder}: {_some(state.missing, data.count)} are missing; {_remedy(data)}."
        )


def _some(names: tuple[str, ...], count: int) -> str:
    if names == ("*",):
        return f"some of its {count} files"
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{len(names)} of {count} files ({', '.join(names[:_SHOWN])}{more})"


def _remedy(data: DataSet) -> str:
    if data.addresses:
        return f"`bayesr data fetch {data.name}` brings it"
    return f"it cannot be fetched: {data.note} (source: {data.source})"


def checksum(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest(files: Mapping[str, str]) -> str:
    """SHA-256 over sorted lines ``NAME SHA-256``."""
    return hashlib.sha256("".join(f"{name} {files[name]}\n" for name in sorted(files)).encode()).hexdigest()


# -- what is fetched -----------------------------------------------------------------------------


def fetch(data: DataSet, root: Path, advance: Callable[[int], object] = lambda files: None) -> Path:
    """Download what is missing of a set, or differs, and return its folder.

    A file is put in its place only once its checksum is right. What was fetched before a failure stays, so that
    the next call goes on from there.

    Parameters
    ----------
    data : DataSet
    root : Path
        The set comes to lie in its own folder in it.
    advance : callable
        Called with a number of files that are there now.

    Raises
    ------
    DataNotFound
        If nobody offers the files, or an address does not answer.
    DataDiffers
        If what came has another checksum.
    """
    folder = root / data.folder
    state = verify(data, folder)
    if str(state) == "here":
        advance(data.count)
        return folder
    if not data.addresses:
        raise DataNotFound(f"{data.name}: {_remedy(data)}. A folder of its files is taken instead: --data.")
    wanted = (*state.missing, *state.differing)
    advance(data.count - len(wanted))
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root) as passing:  # on the same disk, so that files are moved, not copied
        for name in wanted:
            _one(data, name, folder / name, Path(passing))
            advance(1)
    return folder


def _one(data: DataSet, name: str, target: Path, passing: Path) -> None:
    address = data.addresses[name]
    pooch.get_logger().setLevel(logging.WARNING)
    download = pooch.HTTPDownloader(timeout=_TIMEOUT)
    try:
        came = Path(pooch.retrieve(address, None, fname="file", path=passing, downloader=partial(download)))
    except OSError as error:
        raise DataNotFound(
            f"{name} of {data.name} could not be fetched from {address}: {error}. Files that came before it stay, and "
            "the same command goes on from there."
        ) from error
    found = checksum(came)
    if found != data.files[name]:
        came.unlink()
        raise DataDiffers(
            f"{name} of {data.name}, fetched from {address}, has SHA-256 {found}, not {data.files[name]}, and was "
            "thrown away: something on the way answers in its place, or the source has changed. Try another network, "
            "or take the files from elsewhere and name their folder with --data."
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    came.replace(target)
