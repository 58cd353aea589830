"""Data sets by name: their origin, licence, files and checksums.

Files are identified by their SHA-256. A set whose files were derived from others cannot be downloaded, and its note
says how the files were made. Such a folder can still be verified. A folder of data has the subfolders ``bench``, of
sets to measure on, and ``train``, of sets to train on.
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
from bayesr.files import make_folder

PATH = Path(__file__).with_name("registry.json")
_TIMEOUT = 60
"""Seconds without an answer after which a download fails."""
_SHOWN = 3
"""Number of files that a message names."""


@dataclass(frozen=True)
class DataSet:
    """A set of files.

    Attributes
    ----------
    name, title, about : str
    folder : str
        Its place in a folder of data: ``bench/NAME`` or ``train/NAME``.
    licence : str
        As stated by its source.
    citation, source : str
        The work to cite, and a page.
    files : mapping of str to str
        SHA-256 by path in the folder; empty if only `digest` is known.
    addresses : mapping of str to str
        URL by path in the folder; empty if the files cannot be downloaded.
    digest : str
        SHA-256 over the sorted lines ``NAME SHA-256`` of all files.
    count, bytes : int
        Number of files, and their total size.
    note : str
        How the files were made, if they cannot be downloaded.
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
    """Result of the comparison of a folder with a set: paths that are missing, and paths that differ."""

    missing: tuple[str, ...] = ()
    differing: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "differs" if self.differing else "missing" if self.missing else "here"


# -- the registry -------------------------------------------------------------------------------


def known() -> dict[str, DataSet]:
    """Return all registered sets by name."""
    return {name: _read(name, entry) for name, entry in json.loads(PATH.read_text(encoding="utf-8")).items()}


def _read(name: str, entry: Mapping[str, Any]) -> DataSet:
    given = dict(entry)
    base, renamed = given.pop("base", None), given.pop("renamed", {})
    files = given.get("files", {})
    addresses = {} if base is None else {file: base + quote(renamed.get(file, Path(file).name)) for file in files}
    return DataSet(name, addresses=addresses, **given)


def find(name: str, sets: Mapping[str, DataSet] | None = None) -> DataSet:
    """Return the set of a name.

    Raises
    ------
    UnknownData
        If there is none. The message lists all names, and the most similar ones first.
    """
    sets = known() if sets is None else sets
    if name in sets:
        return sets[name]
    like = difflib.get_close_matches(name, sets, cutoff=0.5)
    hint = f"Did you mean {' or '.join(like)}? " if like else ""
    raise UnknownData(f"There is no data set {name!r}. {hint}Known are {', '.join(sets)}.")


# -- verification --------------------------------------------------------------------------------


def place(data: DataSet, root: Path) -> Path:
    """Return the folder of a set.

    `root` is a folder with the subfolders ``bench`` and ``train``, or it is one of these.
    """
    kind, own = data.folder.split("/", 1)
    candidates = [root / data.folder]
    if root.name not in {"bench", "train"} - {kind}:  # it may hold another set of the same name
        candidates.append(root / own)
    candidates.append(root.parent / data.folder)
    return next((folder for folder in candidates if folder.is_dir()), candidates[0])


def verify(data: DataSet, folder: Path) -> State:
    """Compare the files in a folder with a set. Files with other names are ignored.

    If only the digest of the set is known, the files that differ cannot be named: the path is then ``*``.
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
    """Check that a folder holds a set.

    Raises
    ------
    DataNotFound
        If files are missing.
    DataDiffers
        If files differ.
    """
    state = verify(data, folder)
    if state.differing:
        one = state.differing[0]
        known = "" if one == "*" else f" (of {one} {checksum(folder / one)}, expected {data.files[one]})"
        raise DataDiffers(
            f"{data.name} in {folder} is not the registered set: {_some(state.differing, data.count)} have another "
            f"SHA-256{known}. Figures on it are not comparable; {_remedy(data)}."
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
        return f"download it with `bayesr data fetch {data.name}`"
    return f"it cannot be fetched: {data.note} (source: {data.source})"


def checksum(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest(files: Mapping[str, str]) -> str:
    """Return the SHA-256 over the sorted lines ``NAME SHA-256``."""
    return hashlib.sha256("".join(f"{name} {files[name]}\n" for name in sorted(files)).encode()).hexdigest()


# -- download -----------------------------------------------------------------------------


def fetch(data: DataSet, root: Path, advance: Callable[[int], object] = lambda files: None) -> Path:
    """Download the files of a set that are missing or differ, and return its folder.

    A file is moved to its place only if its checksum is correct. After a failure the downloaded files remain, and the
    next call continues from there.

    Parameters
    ----------
    data : DataSet
    root : Path
        The folder of data.
    advance : callable
        Called with the number of files that were completed.

    Raises
    ------
    DataNotFound
        If the files cannot be downloaded.
    DataDiffers
        If a downloaded file has another checksum.
    """
    folder = root / data.folder
    state = verify(data, folder)
    if str(state) == "here":
        advance(data.count)
        return folder
    if not data.addresses:
        raise DataNotFound(f"{data.name}: {_remedy(data)}. If you have its files, name their folder with --data.")
    wanted = (*state.missing, *state.differing)
    advance(data.count - len(wanted))
    make_folder(folder)
    with tempfile.TemporaryDirectory(dir=root) as partial_folder:  # on the same disk, so that moving a file is atomic
        for name in wanted:
            _one(data, name, folder / name, Path(partial_folder))
            advance(1)
    return folder


def _one(data: DataSet, name: str, target: Path, partial_folder: Path) -> None:
    address = data.addresses[name]
    pooch.get_logger().setLevel(logging.WARNING)
    download = pooch.HTTPDownloader(timeout=_TIMEOUT)
    try:
        came = Path(pooch.retrieve(address, None, fname="file", path=partial_folder, downloader=partial(download)))
    except OSError as error:
        raise DataNotFound(
            f"{name} of {data.name} could not be fetched from {address}: {error}. Files that were fetched before "
            "remain, and the same command continues from there."
        ) from error
    found = checksum(came)
    if found != data.files[name]:
        came.unlink()
        raise DataDiffers(
            f"{name} of {data.name}, fetched from {address}, has SHA-256 {found}, not {data.files[name]}, and was "
            "deleted: a proxy answered in place of the source, or the source has changed. Try another network, or "
            "get the files from elsewhere and name their folder with --data."
        )
    make_folder(target.parent)
    came.replace(target)
