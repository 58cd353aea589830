"""The places of stores: paths, and URLs that fsspec knows; and whether a store can be written there."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import fsspec

from bayesr.errors import InvalidArgument, StoreExists, StoreFailed


def place_of(store: Any) -> str:
    """Return a store's place: a URL as it is, a path with ``~`` expanded."""
    text = str(store)
    return text if "://" in text else str(Path(text).expanduser())


def same(one: Any, other: str) -> bool:
    """Whether two places are the same, or `one` lies inside `other`."""
    if one is None or "://" in other or "://" in str(one):
        return str(one) == other
    return Path(other).resolve() in (Path(one).resolve(), *Path(one).resolve().parents)


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
        When there is too little space, or what exists there is no Zarr store.
    """
    if overwrite and resume:
        raise InvalidArgument("overwrite and resume contradict each other: choose one.")
    system, path = files(place)
    try:
        present = system.exists(path)
        inside = system.ls(path, detail=False) if present and system.isdir(path) else []
        ours = present and system.isdir(path) and (not inside or system.exists(f"{path}/zarr.json"))
    except OSError as error:
        raise StoreFailed(f"{place} cannot be reached: {error}.") from error
    if present and not (overwrite or resume):
        raise StoreExists(f"{place} is already there: choose another store, overwrite=True, or resume=True.")
    if present and not ours:
        raise StoreFailed(f"{place} is no Zarr store, so bayesr does not touch it: choose another name.")
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


def files(place: str) -> tuple[Any, str]:
    """Return a place's file system, and the path on it.

    Raises
    ------
    StoreFailed
        When no installed package knows such URLs.
    """
    try:
        system, path = fsspec.core.url_to_fs(place, use_listings_cache=False)
    except (ImportError, ValueError) as error:
        raise StoreFailed(f"{place} cannot be reached ({error}): is the package for such URLs installed?") from error
    return system, path
