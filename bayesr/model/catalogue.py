"""The models at hand, known by their headers alone: nothing here loads weights or torch."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bayesr.errors import InvalidModel, StoreFailed, UnknownModel

FORMAT = 1
"""Version of the model file's metadata."""

_BUNDLED = Path(__file__).parents[1] / "weights"
SEGMENTERS = _BUNDLED / "segmenters"
"""Where bundled segmenters lie, which `bayesr.segment` knows by name."""


@dataclass(frozen=True)
class ModelInfo:
    """What a model file says of itself.

    Attributes
    ----------
    name, domain, use : str
        Its name, the kind of images it was trained for, and what it is meant for.
    scale, bands : int
        High-resolution pixels per low-resolution pixel along an axis; bands it takes at once.
    parameters, bytes : int
        Number of weights, and size of the file.
    scores : dict
        Recorded scores by data set, each with its number of images, n and seed; `bayesr card` shows them all.
    path : Path
        Where it lies.
    """

    name: str
    domain: str
    scale: int
    bands: int
    parameters: int
    bytes: int
    scores: dict[str, Any]
    path: Path
    use: str = ""


def models() -> list[ModelInfo]:
    """The bundled models.

    Returns
    -------
    list of ModelInfo
        In the order of their names.
    """
    found = []
    for path in sorted(_BUNDLED.glob("*.safetensors")):
        header = read_header(path)
        card, architecture = header["card"], header["architecture"]
        found.append(
            ModelInfo(
                name=path.stem,
                domain=card.get("domain", ""),
                scale=architecture["scale"],
                bands=architecture["bands"],
                parameters=card.get("parameters", 0),
                bytes=path.stat().st_size,
                scores=card.get("scores", {}),
                path=path,
                use=card.get("use", ""),
            )
        )
    return found


def segmenters() -> dict[str, dict[str, Any]]:
    """The headers of bundled segmenters, by name."""
    return {path.stem: read_header(path) for path in sorted(SEGMENTERS.glob("*.safetensors"))}


def locate(name_or_path: str | Path) -> Path:
    """The file of a bundled model's name, or of a path.

    Raises
    ------
    UnknownModel
        When there is no such file; the message names the nearest models.
    """
    path = Path(name_or_path)
    bundled = _BUNDLED / f"{name_or_path}.safetensors"
    if path.suffix == "" and bundled.is_file():
        return bundled
    if path.is_file():
        return path
    names = [p.stem for p in sorted(_BUNDLED.glob("*.safetensors"))]
    near = difflib.get_close_matches(str(name_or_path), names, n=3, cutoff=0.4) or names
    raise UnknownModel(
        f"No model {str(name_or_path)!r}: neither a bundled name nor a file. "
        f"Nearest: {', '.join(near) or 'none is bundled'}. See bayesr.models()."
    )


def read_header(path: Path) -> dict[str, Any]:
    """The metadata of a model file, checked for being one of ours and of a version we know.

    Raises
    ------
    InvalidModel
        For a pickle, a damaged file, a safetensors file that is no model, or another version.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with open(path, "rb") as file:
            start = file.read(9)
    except OSError as error:
        raise InvalidModel(f"The model file {path} cannot be read: {error}.") from error
    # A safetensors file begins with eight bytes of length, which may look like anything, and a brace.
    if start[8:] != b"{" and (start[:2] == b"PK" or start[:1] == b"\x80"):
        raise InvalidModel(
            f"{path} is a pickle (a torch.save file), which can run code when it is opened, so bayesr does not. "
            "Train or export the model with bayesr, which writes safetensors."
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
            f"{path} has format version {version}, this bayesr reads {FORMAT}: "
            + ("upgrade bayesr." if version > FORMAT else "train or export the model again.")
        )
    return header


def write_card(path: Path, card: Mapping[str, Any]) -> None:
    """Replace the card in a model file, whole or not at all; weights and their checksum stay as they are.

    Raises
    ------
    InvalidModel
        When the file is none of ours.
    StoreFailed
        When it cannot be written; the old file stays.
    """
    header = read_header(path) | {"card": dict(card)}
    content = path.read_bytes()
    end = 8 + int.from_bytes(content[:8], "little")
    head = json.loads(content[8:end])
    head["__metadata__"]["bayesr"] = json.dumps(header)
    text = json.dumps(head, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # weights begin at a multiple of eight bytes
    partial = path.with_suffix(".partial")
    try:
        partial.write_bytes(len(text).to_bytes(8, "little") + text + content[end:])
        partial.replace(path)
    except OSError as error:
        raise StoreFailed(f"The card cannot be written to {path} ({error}); the file is as it was.") from error
    finally:
        partial.unlink(missing_ok=True)
