"""Replace a file atomically, find one by name, and know images by suffixes."""

from __future__ import annotations

import difflib
import os
import secrets
from collections.abc import Iterable
from pathlib import Path

from bayesr.errors import UnknownModel

IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp"}
"""Suffixes of images in folders."""


def write_atomically(path: Path, content: bytes | bytearray | memoryview | str) -> None:
    """Write a file, replacing an existing one. After a failure or a power cut the old file is unchanged.

    The content goes to a temporary file in the same folder, is flushed to the disk, and then renamed. The folder
    must exist. A string is encoded as UTF-8.

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
            os.fsync(file.fileno())  # or the new name may reach the disk before the data
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


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
