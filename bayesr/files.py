"""Replace a file atomically, find one by name, and know images by suffixes."""

from __future__ import annotations

import difflib
import os
import secrets
import stat
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from bayesr.errors import UnknownModel

if sys.platform != "win32":
    import fcntl

IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp"}
"""Suffixes of images in folders."""


def write_atomically(path: Path, content: bytes | bytearray | memoryview | str) -> None:
    """Write a file, replacing an existing one. After a failure or a power cut the old file is unchanged.

    The content goes to a temporary file in the same folder, is flushed to the disk, and then renamed. The folder
    must exist. A string is encoded as UTF-8. Temporary files that killed processes left in the folder are removed.

    Raises
    ------
    OSError
        When the file cannot be written. The temporary file is removed.
    """
    data = content.encode() if isinstance(content, str) else content
    remove_leftovers(path.parent)
    with _temporary(path.parent) as (partial, file):
        file.write(data)
        file.flush()
        os.fsync(file.fileno())  # or the new name may reach the disk before the data
        if sys.platform == "win32":  # where open files cannot be renamed
            file.close()
        partial.replace(path)


@contextmanager
def _temporary(folder: Path) -> Iterator[tuple[Path, BinaryIO]]:
    """Create a file of a new name, locked until it is closed; remove it in the end, unless it was renamed."""
    while True:
        partial = folder / f".bayesr-{secrets.token_hex(8)}.partial"
        with open(partial, "xb") as file:
            with suppress(OSError):  # some file systems have no locks
                if not _locked(file.fileno()) or not partial.exists():
                    continue  # another process removed it before it was locked
            try:
                yield partial, file
            finally:
                partial.unlink(missing_ok=True)
            return


def remove_leftovers(folder: Path) -> None:
    """Remove temporary files that killed processes left in a folder. Those of running processes are locked."""
    if sys.platform == "win32":
        return
    for partial in folder.glob(".bayesr-*.partial"):
        with suppress(OSError):  # another process may remove it too
            descriptor = os.open(partial, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                if stat.S_ISREG(os.fstat(descriptor).st_mode) and _locked(descriptor):
                    partial.unlink()
            finally:
                os.close(descriptor)


def _locked(descriptor: int) -> bool:
    """Lock an open file until it is closed; return False if another process has locked it.

    Raises
    ------
    OSError
        If the file system has no locks.
    """
    if sys.platform != "win32":
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def nearest(name: str, names: Iterable[str], cutoff: float = 0.4) -> list[str]:
    """Return up to three `names` that resemble `name`, best first; all if none does."""
    names = list(names)
    return difflib.get_close_matches(name, names, n=3, cutoff=cutoff) or names


def locate(name_or_path: str | Path, folder: Path, kind: str, hint: str = "") -> Path:
    """Return the path of a safetensors file, given its path or the name of one in `folder`.

    Parameters
    ----------
    name_or_path : str or Path
        The name of a file in `folder`, without suffix, or the path of any file.
    folder : Path
        The folder of the bundled files.
    kind, hint : str
        The kind of file, and a last sentence, for the error message.

    Raises
    ------
    UnknownModel
        When there is no such file. The message lists the nearest names.
    """
    path = Path(name_or_path)
    bundled = folder / f"{name_or_path}.safetensors"
    if path.suffix == "" and bundled.is_file():
        return bundled
    if path.is_file():
        return path
    near = nearest(str(name_or_path), (p.stem for p in sorted(folder.glob("*.safetensors"))))
    raise UnknownModel(
        f"No {kind} {str(name_or_path)!r}: neither a bundled name nor a file. "
        f"Nearest: {', '.join(near) or 'none is bundled'}." + (f" {hint}" if hint else "")
    )
