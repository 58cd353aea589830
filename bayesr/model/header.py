"""Header of a model file: its metadata, read and replaced without loading weights or torch."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError, safe_open

from bayesr.calibration.plain import mapping
from bayesr.errors import InvalidModel
from bayesr.files import write_atomically
from bayesr.model.card_entries import check_card

FORMAT = 1
"""Version of the metadata."""
_CHECKSUM = "header_sha256"
_LARGEST, _DEEPEST = 2**24, 64
"""Largest header in bytes, and deepest nesting of its values."""
_MOST_TENSORS = 20_000
"""Largest number of tensors in a file, far beyond that of any network here."""


class StoredTensor(NamedTuple):
    """Shape and type of a tensor in a file."""

    shape: tuple[int, ...]
    dtype: str


def read_header(path: Path) -> dict[str, Any]:
    """Return the metadata of a model file, after checking its kind, version, checksum and card.

    Raises
    ------
    InvalidModel
        For a pickle, a damaged file, a safetensors file that is not a bayesr model, or another version.
    """
    _check_start(path)
    try:
        with safe_open(path, framework="np") as file:  # compares the sizes of all tensors with the size of the file
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise InvalidModel(f"The model file {path} is damaged ({error}): copy or download it again.") from error
    if "bayesr" not in metadata:
        raise InvalidModel(f"{path} is a safetensors file, but no bayesr model: its metadata lacks 'bayesr'.")
    try:
        header = json.loads(metadata["bayesr"])
    except (ValueError, RecursionError) as error:
        raise InvalidModel(f"The metadata of {path} cannot be read ({error}): the file is damaged.") from error
    _check_version(path, header)
    try:
        _check_values(header)
    except InvalidModel as error:
        raise InvalidModel(f"The metadata of {path} cannot be used: {error}") from error
    return dict(header)


def read_tensors(path: Path) -> dict[str, StoredTensor]:
    """Return shape and type of every tensor in a model file, by its stored name.

    Raises
    ------
    InvalidModel
        When there are more than any network has.
    """
    with safe_open(path, framework="np") as file:
        names = list(file.keys())
        if len(names) > _MOST_TENSORS:
            raise InvalidModel(f"The model file {path} has {len(names)} tensors, and at most {_MOST_TENSORS} are read.")
        parts = {name: file.get_slice(name) for name in names}
        return {name: StoredTensor(tuple(part.get_shape()), part.get_dtype()) for name, part in parts.items()}


def sealed(header: Mapping[str, Any]) -> dict[str, Any]:
    """Return metadata with their checksum."""
    plain = json.loads(json.dumps({name: value for name, value in header.items() if name != _CHECKSUM}))
    return dict(plain) | {_CHECKSUM: _checksum(plain)}


def write_card(path: Path, card: Mapping[str, Any]) -> None:
    """Replace the card in a model file atomically; weights are unchanged.

    Raises
    ------
    InvalidModel
        When the file is not a model file, or the card cannot be read again.
    StoreFailed
        When it cannot be written; the old file is unchanged.
    """
    check_card(card)
    header = sealed(read_header(path) | {"card": dict(card)})
    content = path.read_bytes()
    end = 8 + int.from_bytes(content[:8], "little")
    head = json.loads(content[8:end])
    head["__metadata__"]["bayesr"] = json.dumps(header)
    text = json.dumps(head, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # weights begin at a multiple of eight bytes
    write_atomically(path, len(text).to_bytes(8, "little") + text + content[end:])


def _check_start(path: Path) -> None:
    """Check the first bytes, before anything is read that they announce."""
    try:
        # A pipe would block here, and is refused below.
        with open(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb") as file:
            found, start = os.fstat(file.fileno()), b""
            if stat.S_ISREG(found.st_mode):
                start = file.read(9)
    except OSError as error:
        raise InvalidModel(f"The model file {path} cannot be read: {error}.") from error
    if not stat.S_ISREG(found.st_mode):
        raise InvalidModel(f"{path} is no regular file: give the file of a model.")
    # A safetensors file begins with eight bytes of length and a brace.
    if start[8:] != b"{" and (start[:2] == b"PK" or start[:1] == b"\x80"):
        raise InvalidModel(
            f"{path} is a pickle (a torch.save file), which can run code when it is opened, so bayesr does not open "
            "it. Train or export the model with bayesr, which writes safetensors."
        )
    if (length := int.from_bytes(start[:8], "little")) > min(_LARGEST, found.st_size):
        raise InvalidModel(
            f"The model file {path} is damaged: it announces a header of {length:,} bytes. Copy or download it again."
        )


def _check_version(path: Path, header: Any) -> None:
    version = header.get("format") if isinstance(header, dict) else None
    if type(version) is not int:
        raise InvalidModel(f"The metadata of {path} cannot be read (no format version): the file is damaged.")
    if version != FORMAT:
        raise InvalidModel(
            f"{path} has format version {version}, but this version of bayesr reads {FORMAT}: "
            + ("upgrade bayesr." if version > FORMAT else "train or export the model again.")
        )


def _check_values(header: dict[str, Any]) -> None:
    """Check the checksum, which files of before lack, the depth, and what all kinds of files have."""
    _check_depth(header)
    plain = {name: value for name, value in header.items() if name != _CHECKSUM}
    if _CHECKSUM in header and header[_CHECKSUM] != _checksum(plain):
        raise InvalidModel("it does not have its recorded checksum. Copy the file again.")
    if not isinstance(header.get("sha256"), str):
        raise InvalidModel("sha256, the checksum of the weights, is missing.")
    check_card(mapping("card", header.get("card")))


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(_DEEPEST):
        inner = [one.values() if isinstance(one, dict) else one for one in level if isinstance(one, dict | list)]
        level = [part for one in inner for part in one]
        if not level:
            return
    raise InvalidModel(f"its values are nested more than {_DEEPEST} levels deep.")


def _checksum(plain: Mapping[str, Any]) -> str:
    """Return the SHA-256 of metadata in the canonical form of JSON."""
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
