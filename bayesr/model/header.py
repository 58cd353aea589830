"""Header of a model file: its metadata, read and replaced without loading weights or torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from bayesr.errors import InvalidModel
from bayesr.files import write_atomically

FORMAT = 1
"""Version of the metadata."""


def read_header(path: Path) -> dict[str, Any]:
    """Return the metadata of a model file, after checking its kind and version.

    Raises
    ------
    InvalidModel
        For a pickle, a damaged file, a safetensors file that is not a bayesr model, or another version.
    """
    try:
        with open(path, "rb") as file:
            start = file.read(9)
    except OSError as error:
        raise InvalidModel(f"The model file {path} cannot be read: {error}.") from error
    # A safetensors file begins with eight bytes of length and a brace.
    if start[8:] != b"{" and (start[:2] == b"PK" or start[:1] == b"\x80"):
        raise InvalidModel(
            f"{path} is a pickle (a torch.save file), which can run code when it is opened, so bayesr does not open "
            "it. Train or export the model with bayesr, which writes safetensors."
        )
    try:
        with safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise InvalidModel(f"The model file {path} is damaged ({error}): copy or download it again.") from error
    if "bayesr" not in metadata:
        raise InvalidModel(f"{path} is a safetensors file, but no bayesr model: its metadata lacks 'bayesr'.")
    try:
        header: dict[str, Any] = json.loads(metadata["bayesr"])
        version = header["format"]
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidModel(f"The metadata of {path} cannot be read ({error}): the file is damaged.") from error
    if version != FORMAT:
        raise InvalidModel(
            f"{path} has format version {version}, but this version of bayesr reads {FORMAT}: "
            + ("upgrade bayesr." if version > FORMAT else "train or export the model again.")
        )
    return header


def write_card(path: Path, card: Mapping[str, Any]) -> None:
    """Replace the card in a model file atomically; weights are unchanged.

    Raises
    ------
    InvalidModel
        When the file is not a model file.
    StoreFailed
        When it cannot be written; the old file is unchanged.
    """
    header = read_header(path) | {"card": dict(card)}
    content = path.read_bytes()
    end = 8 + int.from_bytes(content[:8], "little")
    head = json.loads(content[8:end])
    head["__metadata__"]["bayesr"] = json.dumps(header)
    text = json.dumps(head, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # weights begin at a multiple of eight bytes
    write_atomically(path, len(text).to_bytes(8, "little") + text + content[end:])
