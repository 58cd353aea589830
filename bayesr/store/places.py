"""The places of stores: paths, and URLs that fsspec knows; and whether a store can be written there."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec

from bayesr.errors import InvalidArgument, StoreExists, StoreFailed

PROGRESS = "progress"
"""The progress group beside a product, which holds everything else."""

INCOMPLETE, COMPLETE, MOVING, OLD = ".bayesr-new", ".bayesr-complete", ".bayesr-moving", ".bayesr-old"
"""Folders inside a store, while another product replaces it; see `bayesr.store.replacing`."""

_ATTEMPTS, _PAUSE = 20, 0.05
"""Attempts to remove a folder, and the seconds between them."""
_WRITTEN_TO = (errno.ENOTEMPTY, errno.EEXIST, errno.EISDIR)
"""Errors of removing a folder that somebody writes to."""

_PARTIAL = re.compile(r"\.[0-9a-f]{32}\.partial$")
"""The end of the names of files that zarr is writing, and moves into place whole."""


def place_of(store: Any) -> str:
    """Return a store's place: a URL as it is, a path with ``~`` expanded."""
    text = str(store)
    return text if "://" in text else str(Path(text).expanduser())


def is_same_or_inside(inner: Any, outer: str) -> bool:
    """Whether `inner` is the place `outer`, or lies inside it."""
    if inner is None or "://" in outer or "://" in str(inner):
        return str(inner) == outer
    resolved = Path(inner).resolve()
    return Path(outer).resolve() in (resolved, *resolved.parents)


def check(place: str, needed: int, *, overwrite: bool, resume: bool) -> None:
    """Check, before any work, that a product can be written to a place.

    Parameters
    ----------
    place : str
        A path or a URL that fsspec knows.
    needed : int
        Bytes that the product takes, compared with the free space of local disks.

    Raises
    ------
    StoreExists
        When something exists there, and neither `overwrite` nor `resume` is set.
    StoreFailed
        When there is too little space, what exists there is no store of bayesr, or links lead elsewhere.
    """
    if overwrite and resume:
        raise InvalidArgument("overwrite and resume contradict each other: choose one.")
    system, path = files(place)
    try:
        refuse_links(place)
        present = system.exists(path)
        is_store = present and system.isdir(path) and is_bayesr_store(place)
    except OSError as error:
        if isinstance(error, StoreFailed):
            raise
        raise StoreFailed(f"{place} cannot be reached: {error}.") from error
    if present and not (overwrite or resume):
        raise StoreExists(f"{place} is already there: choose another store, overwrite=True, or resume=True.")
    if present and not is_store:
        raise StoreFailed(f"{place} is no store of bayesr, so bayesr does not touch it: choose another name.")
    if resume and not present:
        raise StoreFailed(f"There is no store {place} to resume: leave resume out.")
    if "://" in place or resume:
        return
    parent = next(p for p in Path(place).absolute().parents if p.exists())
    try:
        free = shutil.disk_usage(parent).free
    except OSError as error:
        raise StoreFailed(f"{parent} cannot be written to: {error}.") from error
    if free < needed:
        raise StoreFailed(
            f"The product takes up to {needed / 2**20:,.0f} MiB and only {free / 2**20:,.0f} MiB are free in {parent}: "
            "free some space, choose another place, fewer variables=, a smaller n, or keep_samples=False."
        )


def is_bayesr_store(place: str) -> bool:
    """Whether a folder holds nothing but what bayesr wrote: a store, the beginning of one, or scores.

    A killed process may have written any part of a store. A process that removes a store removes ``progress`` last.
    """
    system, path = files(place)
    present = names(place)
    if not present:
        return True
    in_progress_group = names(f"{place}/{PROGRESS}") if PROGRESS in present else set()
    if {INCOMPLETE, COMPLETE, MOVING, OLD} & present or {"input", "done"} & in_progress_group:
        return True
    attributes = _attributes(system, f"{path}/zarr.json") if "zarr.json" in present else {}
    if present <= {"zarr.json", PROGRESS} and in_progress_group <= {"zarr.json"}:  # a store that was just begun
        return attributes == {}
    return attributes is not None and {"bayesr_version", "reference_sha256"} <= attributes.keys()


def names(place: str) -> set[str]:
    """Return what is in a folder, but for files that a killed process was writing."""
    system, path = files(place)
    entries = {str(name).rstrip("/").rpartition("/")[2] for name in system.ls(path, detail=False)}
    return {name for name in entries if not _PARTIAL.search(name)}


def _attributes(system: Any, path: str) -> dict[str, Any] | None:
    """Return the attributes of a group, or None for anything else."""
    try:
        metadata = json.loads(system.cat_file(path))
        return dict(metadata.get("attributes", {})) if metadata["node_type"] == "group" else None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def refuse_links(place: str) -> None:
    """Refuse a store that symbolic links lead out of, since files elsewhere would be changed.

    Raises
    ------
    StoreFailed
        The message names the link.
    """
    if "://" in place:
        return
    if Path(place).is_symlink() and not Path(place).exists():
        raise StoreFailed(f"{place} is a link to {Path(place).readlink()}, which does not exist: remove the link.")
    for link in _links(place):
        raise StoreFailed(f"{link} is a symbolic link, and files outside of {place} would be changed: remove it first.")


def _links(folder: str) -> Iterator[str]:
    if not Path(folder).is_dir():
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_symlink():
                yield entry.path
            elif entry.is_dir():
                yield from _links(entry.path)


def remove_partial_files(place: str) -> None:
    """Remove the files that a killed process was writing."""
    if "://" not in place:
        for partial in Path(place).rglob("*.partial"):
            if _PARTIAL.search(partial.name):
                partial.unlink(missing_ok=True)


def remove(place: str) -> None:
    """Remove a file or a folder; nothing happens where there is none.

    After a failed write, other threads of zarr may still write to the folder: it is then tried again.
    """
    system, path = files(place)
    for attempt in range(_ATTEMPTS):
        try:
            system.rm(path, recursive=True)
            return
        except OSError as error:
            missing = isinstance(error, FileNotFoundError)
            if missing and ("://" in place or not system.exists(path)):
                return
            if attempt == _ATTEMPTS - 1 or not (missing or error.errno in _WRITTEN_TO):
                raise
        time.sleep(_PAUSE)


def clear(place: str) -> None:
    """Empty the folder of a store; the folder itself stays, because it may be locked.

    If the process is killed, the rest is recognised as a part of a store (`is_bayesr_store`), but not as a whole one.
    """
    system, path = files(place)
    if not system.exists(path):
        return
    first = [f"{PROGRESS}/zarr.json", f"{PROGRESS}/done"]
    inside = sorted(names(f"{place}/{PROGRESS}") - {"input"}) if PROGRESS in names(place) else []
    remove_partial_files(place)
    for name in [*first, *sorted(names(place) - {PROGRESS}), *(f"{PROGRESS}/{name}" for name in inside)]:
        remove(f"{place}/{name}")
    remove(f"{place}/{PROGRESS}")


def files(place: str) -> tuple[Any, str]:
    """Return a place's file system, and the path on it.

    Raises
    ------
    StoreFailed
        When no installed package knows such URLs.
    """
    try:
        system, path = fsspec.core.url_to_fs(place, use_listings_cache=False)
    except Exception as error:  # some kinds open what they are in at once, as tar:// does, and raise anything
        raise StoreFailed(
            f"{place} cannot be reached ({error}): check the URL, and whether the package for such URLs is installed."
        ) from error
    return system, path
