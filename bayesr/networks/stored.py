"""Names of tensors and options in model files and checkpoints, the same in all versions.

In files the backbone is called ``trunk`` and the head ``tail``. Checksums are of the stored names. Networks without a
backbone keep their names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeVar

Value = TypeVar("Value")

_PARTS = {"backbone": "trunk", "head": "tail"}
_OPTIONS = {
    "backbone": "trunk",
    "backbone_options": "trunk_options",
    "head": "tail",
    "head_width": "tail_width",
    "head_blocks": "tail_blocks",
}
_READ_PARTS = {stored: name for name, stored in _PARTS.items()}
_READ_OPTIONS = {stored: name for name, stored in _OPTIONS.items()}

# Only the outermost part of a name changes: the first layer of a backbone is called head in files, too.
_OUTERMOST = re.compile(r"^((?:networks\.\d+\.)?)(\w+)(?=\.)")


def stored_architecture(architecture: Mapping[str, Any]) -> dict[str, Any]:
    """Return an architecture with the names in files, in the same order."""
    return {_OPTIONS.get(name, name): value for name, value in architecture.items()}


def read_architecture(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Return the inverse of `stored_architecture`.

    Raises
    ------
    TypeError
        For a description in a damaged file that is no mapping.
    """
    if not isinstance(stored, Mapping):
        raise TypeError(f"an architecture is a mapping, not {stored!r}")
    return {_READ_OPTIONS.get(name, name): value for name, value in stored.items()}


def stored_names(weights: Mapping[str, Value]) -> dict[str, Value]:
    """Return parameters and buffers with the names in files, in the same order."""
    return _renamed(weights, _PARTS, "backbone")


def read_names(weights: Mapping[str, Value]) -> dict[str, Value]:
    """Return the inverse of `stored_names`."""
    return _renamed(weights, _READ_PARTS, "trunk")


def _renamed(weights: Mapping[str, Value], parts: Mapping[str, str], backbone: str) -> dict[str, Value]:
    outermost = {name: _OUTERMOST.match(name) for name in weights}
    if not any(found and found[2] == backbone for found in outermost.values()):
        return dict(weights)
    return {
        found[1] + parts.get(found[2], found[2]) + name[found.end() :] if found else name: weights[name]
        for name, found in outermost.items()
    }
