"""Write a file whole or not at all, find a file by name, and know images by suffixes."""

from __future__ import annotations

import difflib
import errno
import os
import secrets
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from bayesr.errors import BayesrError, StoreFailed, UnknownModel

if sys.platform != "win32":
    import fcntl

IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp"}
"""Suffixes of images in folders."""


_TRIES, _PAUSE = 100, 0.02
"""How often a folder is removed after an interruption, and seconds between."""


def write_atomically(path: Path, content: bytes | bytearray | memoryview | str) -> None:
    """Write a file, replacing an existing one. After a failure or a power cut the old file is unchanged.

    The content goes to a new file in the same folder, whose name no other file has, is flushed to the disk, and is then
    renamed. So a link is replaced, and not what it points to. The folder must exist. A string is encoded as UTF-8.
    Temporary files that killed processes left in the folder are removed.

    Raises
    ------
    StoreFailed
        When the file cannot be written, or something other than a file has its name. Nothing is left behind.
    """
    data = content.encode() if isinstance(content, str) else content
    with failures_of(path):
        before = _regular(path)
        remove_leftovers(path.parent)
        with _temporary(path.parent) as (partial, file):
            file.write(data)
            file.flush()
            if before is not None:
                with suppress(OSError):  # some file systems have no modes
                    partial.chmod(stat.S_IMODE(before.st_mode))
            os.fsync(file.fileno())  # or the new name may reach the disk before the data
            if sys.platform == "win32":  # where open files cannot be renamed
                file.close()
            partial.replace(path)
        _flush_folder(path.parent)


@contextmanager
def _temporary(folder: Path) -> Iterator[tuple[Path, BinaryIO]]:
    """Create a file of a new name, locked until it is closed; remove it in the end, unless it was renamed."""
    while True:
        partial = folder / f".bayesr-{secrets.token_hex(8)}.partial"  # which nobody can guess
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


def append_atomically(path: Path, content: str) -> None:
    """Append text, encoded as UTF-8, to a file. After a failure the file is as it was.

    Raises
    ------
    StoreFailed
        When the file cannot be written, or is no regular file.
    """
    rest = memoryview(content.encode())
    with failures_of(path):
        _regular(path)
        with open(path, "ab", buffering=0) as file:  # a buffer would be written again when the file is closed
            size = file.seek(0, os.SEEK_END)
            try:
                while rest:
                    rest = rest[file.write(rest) :]
                os.fsync(file.fileno())
            except OSError:
                file.truncate(size)
                raise


def make_folder(path: Path) -> None:
    """Make a folder with its parents, unless it exists.

    Raises
    ------
    StoreFailed
        When it cannot be made.
    """
    with failures_of(path):
        path.mkdir(parents=True, exist_ok=True)


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Return a new folder for temporary files, which is removed at the end, also after an interruption."""
    folder = Path(tempfile.mkdtemp(prefix="bayesr-"))
    try:
        yield folder
    finally:
        _remove(folder)


@contextmanager
def failures_of(path: Path) -> Iterator[None]:
    """Raise failures to write to `path`, which leave it as it was, as `StoreFailed`."""
    try:
        yield
    except BayesrError:
        raise
    except OSError as error:
        if error.errno == errno.ENOENT:
            raise StoreFailed(
                f"{path} could not be written: there is no folder {path.absolute().parent}. Make it first."
            ) from error
        raise StoreFailed(
            f"{path} could not be written ({error.strerror or error}), and is as it was before. Free some space, or "
            "choose another place."
        ) from error
    except ValueError as error:  # a null character
        raise StoreFailed(f"{str(path)!r} is no name of a file ({error}): choose another one.") from error


def _regular(path: Path) -> os.stat_result | None:
    """Return the state of the file that is to be replaced; None where there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:  # or a link to nothing, which is replaced
        return None
    if not stat.S_ISREG(found.st_mode):
        raise StoreFailed(f"{path} is no regular file, so it is not replaced: choose another name.")
    return found


def _remove(path: Path) -> None:
    """Remove a folder, or a link, which is not followed.

    After an interruption other threads may still write to the folder, and make it again: it is gone when it has been
    gone for a while.
    """
    if path.is_symlink():
        path.unlink()
    interrupted, gone = sys.exc_info()[0] is not None, 0
    for _ in range(_TRIES):
        gone = 0 if path.exists() else gone + 1
        shutil.rmtree(path, ignore_errors=True)
        if not interrupted or gone > 2:
            return
        time.sleep(_PAUSE)


def _flush_folder(folder: Path) -> None:
    """Flush the names in a folder to the disk, where the system can."""
    if os.name != "posix":
        return
    with suppress(OSError):  # some network file systems cannot; the content itself is flushed
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def zarr_store(place: str | Path) -> Any:
    """Return what Zarr and xarray open for a place: a URL, or the folder as a store of Zarr.

    From version 3.2 on, Zarr takes the path of a folder for a URL, and drops what follows ``#`` or ``?``.
    """
    if "://" in str(place):
        return str(place)
    from zarr.storage import LocalStore  # slow to import

    return LocalStore(place)


def nearest(name: str, names: Iterable[str], cutoff: float = 0.4) -> list[str]:
    """Return up to three `names` that resemble `name`, best first; all if none does."""
    names = list(names)
    return difflib.get_close_matches(name, names, n=3, cutoff=cutoff) or names


def locate(name_or_path: str | Path, folder: Path, kind: str, hint: str = "", more: Iterable[str] = ()) -> Path:
    """Return the path of a safetensors file, given its path or the name of one in `folder`.

    Parameters
    ----------
    name_or_path : str or Path
        The name of a file in `folder`, without suffix, or the path of any file.
    folder : Path
        The folder of the bundled files.
    kind, hint : str
        The kind of file, and a last sentence, for the error message.
    more : iterable of str
        Further names that the message may propose.

    Raises
    ------
    UnknownModel
        When there is no such file. The message lists the nearest names.
    """
    if not isinstance(name_or_path, str | os.PathLike):
        raise UnknownModel(f"A {kind} is a name or a path, not {type(name_or_path).__name__}.")
    path = Path(name_or_path)
    bundled = folder / f"{name_or_path}.safetensors"
    if path.suffix == "" and bundled.is_file():
        return bundled
    with suppress(OSError):  # a name that is too long
        if path.is_file():
            return path
    near = nearest(str(name_or_path), [*(p.stem for p in sorted(folder.glob("*.safetensors"))), *more])
    raise UnknownModel(
        f"No {kind} {str(name_or_path)!r}: neither a bundled name nor a file. "
        f"Nearest: {', '.join(near) or 'none is bundled'}." + (f" {hint}" if hint else "")
    )
