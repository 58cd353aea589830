"""Files: suffixes of images, atomic replacement, and search by name."""

from __future__ import annotations

import difflib
import os
import secrets
from collections.abc import Iterable
from pathlib import Path

from bayesr.errors import UnknownModel

IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp"}
"""Suffixes of image files that are looked for in folders. They are here so that training needs no xarray for them."""


def write_atomically(path: Path, content: bytes | bytearray | memoryview | str) -> None:
    """Write a file, replacing one that exists. After a failure or a power cut the old file is unchanged.

    The content is written to a temporary file in the same folder, flushed to the disk, and then renamed.

    Parameters
    ----------
    path : Path
        The file. Its folder must exist.
    content : bytes-like or str
        A string is encoded as UTF-8.

    Raises
    ------
    OSError
        When the file cannot be written. The temporary file is removed.
    """
    data = content.encode() if isinstance(content, str) else content
    partial = path.with_name(f"{path.name}.{secrets.token_hex(4)}.partial")
    try:
        with open(partial, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())  # or the new name could reach the disk before the data
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def nearest(name: str, names: Iterable[str], cutoff: float = 0.4) -> list[str]:
    """Return at most three of `names` that resemble `name`, best first; all names where none does."""
    names = list(names)
    return difflib.get_close_matches(name, names, n=3, cutoff=cutoff) or names


def locate(name_or_path: str | Path, folder: Path, kind: str, hint: str = "") -> Path:
    """Return the path of a safetensors file, given its path or the name of one in `folder`.

    Parameters
    ----------
    name_or_path : str or Path
        The name of a file in `folder`, without its suffix, or the path of any file.
    folder : Path
        The folder of the bundled files.
    kind, hint : str
        The kind of file, and a sentence to end with, for the error message.

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
