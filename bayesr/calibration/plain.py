"""Checks of plain values, as JSON gives them, by the name that a file has for them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesr.errors import InvalidModel

Array = NDArray[np.floating]

LARGEST = 10**12
"""Largest count that a file can hold."""


def mapping(name: str, value: Any) -> Mapping[str, Any]:
    """Return a mapping."""
    if not isinstance(value, Mapping):
        raise _wrong(name, value, "a mapping")
    return value


def text(name: str, value: Any) -> str:
    """Return a text."""
    if not isinstance(value, str):
        raise _wrong(name, value, "a text")
    return value


def whole(name: str, value: Any, low: int = 0, high: int = LARGEST) -> int:
    """Return a whole number from `low` to `high`; a truth value is none."""
    if type(value) is not int or not low <= value <= high:
        raise _wrong(name, value, f"a whole number from {low:,} to {high:,}")
    return value


def number(name: str, value: Any, low: float = -math.inf, high: float = math.inf) -> float:
    """Return a finite number from `low` to `high`."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not low <= value <= high:
        raise _wrong(name, value, f"a number from {low:g} to {high:g}")
    if (isinstance(value, int) and abs(value) > LARGEST) or not math.isfinite(value):
        raise _wrong(name, value, "a finite number")
    return float(value)


def numbers(name: str, values: Any, length: int | None = None, low: float = -math.inf, high: float = math.inf) -> Array:
    """Return a list of finite numbers, of the given length, as an array."""
    if not isinstance(values, list | tuple):
        raise _wrong(name, values, "a list of numbers")
    if length is not None and len(values) != length:
        raise InvalidModel(f"{name} must have {length} values, and has {len(values)}.")
    return np.array([number(f"{name}[{i}]", value, low, high) for i, value in enumerate(values)], float)


def known(name: str, values: Any, length: int, low: float) -> None:
    """Check a list of finite numbers, `low` or more, where None stands for an unknown one."""
    if not isinstance(values, list | tuple):
        raise _wrong(name, values, "a list of numbers")
    numbers(name, [low if value is None else value for value in values], length, low)


def _wrong(name: str, value: Any, expected: str) -> InvalidModel:
    shown = repr(value)
    return InvalidModel(f"{name} must be {expected}, not {shown if len(shown) <= 60 else shown[:60] + '...'}.")
