"""Write a file or a folder whole or not at all, find a file by name, and know images by suffixes."""

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
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from bayesr.errors import BayesrError, StoreExists, StoreFailed, UnknownModel

IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp"}
"""Suffixes of images in folders."""


_TRIES, _PAUSE = 100, 0.02
"""How often a folder is removed after an interruption, and seconds between."""


def write_atomically(path: Path, content: bytes | bytearray | memoryview | str) -> None:
    """Write a file, replacing an existing one. After a failure or a power cut the old file is unchanged.

    The content goes to a new file in the same folder, whose name no other file has, is flushed to the disk, and is then
    renamed. So a link is replaced, and not what it points to. The folder must exist. A string is encoded as UTF-8.

    Raises
    ------
    StoreFailed
        When the file cannot be written, or something other than a file has its name. Nothing is left behind.
    """
    data = content.encode() if isinstance(content, str) else content
    with failures_of(path), ExitStack() as stack:
        before, partial = _regular(path), _new_name(path.parent)
        file = stack.enter_context(
            open(partial, "xb")
        )  # a file or a link of that name is never followed or overwritten
        stack.callback(partial.unlink, missing_ok=True)
        stack.callback(file.close)
        file.write(data)
        file.flush()
        if before is not None:
            with suppress(OSError):  # some file systems have no modes
                partial.chmod(stat.S_IMODE(before.st_mode))
        os.fsync(file.fileno())  # or the new name may reach the disk before the data
        file.close()
        partial.replace(path)
        _flush_folder(path.parent)


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


def write_folder_atomically(path: Path, write: Callable[[Path], object], *, overwrite: bool = False) -> None:
    """Write a folder, such as a Zarr store, which appears under its name when it is complete.

    Parameters
    ----------
    path : Path
        The folder to make.
    write : callable
        Writes the content of the folder that it is called with, which exists.
    overwrite : bool
        Replace a folder that exists, after the new one is complete.

    Raises
    ------
    StoreExists
        When something is there already, and is not to be replaced.
    StoreFailed
        When the folder cannot be written. Nothing is left behind, and a folder that existed is unchanged.
    """
    if not overwrite and os.path.lexists(path):
        raise StoreExists(f"{path} is already there: choose another name.")
    with failures_of(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        partial, replaced = (_new_name(path.parent) for _ in range(2))
        partial.mkdir()
        try:
            write(partial)
            if os.path.lexists(path):
                path.replace(replaced)
            partial.replace(path)
            _flush_folder(path.parent)
        finally:
            if os.path.lexists(replaced) and not os.path.lexists(path):
                replaced.replace(path)
            for rest in (partial, replaced):
                _remove(rest)


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


def _regular(path: Path) -> os.stat_result | None:
    """Return the state of the file that is to be replaced; None where there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:  # or a link to nothing, which is replaced
        return None
    if not stat.S_ISREG(found.st_mode):
        raise StoreFailed(f"{path} is no regular file, so it is not replaced: choose another name.")
    return found


def _new_name(folder: Path) -> Path:
    """Return a name in a folder that nobody can guess. It is short, whatever the length of the final name."""
    return folder / f".bayesr-{secrets.token_hex(8)}.partial"


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
    with suppress(OSError):  # a name that is too long
        if path.is_file():
            return path
    near = nearest(str(name_or_path), (p.stem for p in sorted(folder.glob("*.safetensors"))))
    raise UnknownModel(
        f"No {kind} {str(name_or_path)!r}: neither a bundled name nor a file. "
        f"Nearest: {', '.join(near) or 'none is bundled'}." + (f" {hint}" if hint else "")
    )
