"""Checks of arguments that public functions share, before any work. They import neither torch nor dask.

Whole numbers are Python's and NumPy's integers, and no booleans, floats or arrays: ``seed=1.5`` or ``n=True`` is a
mistake. What passes is returned as a plain Python value, so that it can be written as JSON.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np

from bayesr.errors import InvalidArgument

VALUE_RANGES = ("minmax", "unit", "percentiles")
"""Words that `value_range` takes beside a pair of numbers."""


def check(given: Mapping[str, Any], *, optional: Collection[str] = ()) -> dict[str, Any]:
    """Check arguments by their names, and return them as plain values; names without a check are returned as they are.

    `optional` are the names of arguments that may also be None, beside those that may always be.

    Raises
    ------
    InvalidArgument
        When one is of another kind, or outside its range. The message has its name, what is expected, what was given.
    """
    return {
        name: value if name not in _CHECKS or (value is None and name in optional) else _CHECKS[name](name, value)
        for name, value in given.items()
    }


def refused(name: str, expected: str, given: Any) -> InvalidArgument:
    """Return the error for an argument that is not what is expected."""
    return InvalidArgument(f"{name} must be {expected}, not {shown(given)}.")


def shown(value: Any) -> str:
    """Return a value as a message shows it: numbers, texts and short sequences as they are, others by their kind."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, str | bytes | bool | Real | slice | os.PathLike):
        return _short(repr(value))
    if hasattr(value, "shape"):
        return f"an array of shape {tuple(value.shape)} ({type(value).__name__})"
    if isinstance(value, tuple | list | set | dict):
        return _short(repr(value))
    return f"an object of type {type(value).__name__}"


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."


def whole(name: str, value: Any, expected: str, least: int, most: int | None = None) -> int:
    """Check a whole number from `least` to `most`."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, Integral):
        raise refused(name, expected, value)
    number = int(value)
    if number < least or (most is not None and number > most):
        raise refused(name, expected, number)
    return number


def number(name: str, value: Any, expected: str, accept: Callable[[float], bool] = math.isfinite) -> float:
    """Check a real number that `accept` accepts: by default a finite one."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, Real):
        raise refused(name, expected, value)
    try:
        real = float(value)
    except OverflowError:  # a whole number that no float can hold
        raise refused(name, expected, value) from None
    if not accept(real):
        raise refused(name, expected, value)
    return real


def fraction(name: str, value: Any, expected: str = "a number between 0 and 1") -> float:
    """Check a number between 0 and 1, ends excluded."""
    return number(name, value, expected, lambda real: 0 < real < 1)


def choice(name: str, value: Any, options: Collection[str]) -> str:
    """Check a word that is one of a few."""
    if not isinstance(value, str) or value not in options:
        raise refused(name, f"one of {', '.join(map(repr, options))}", value)
    return value


def flag(name: str, value: Any) -> bool:
    """Check that an argument is True or False."""
    if not isinstance(value, bool | np.bool_):
        raise refused(name, "True or False", value)
    return bool(value)


def path(name: str, value: Any) -> Path:
    """Check the path of a local file."""
    given = os.fspath(value) if isinstance(value, str | os.PathLike) else ""
    if not given or isinstance(given, bytes) or "\0" in given:
        raise refused(name, "the path of a file", value)
    return Path(value)


def window(name: str, value: Any) -> tuple[slice, slice] | None:
    """Check a pair of slices of rows and columns, without steps; None is the whole."""
    expected = "a pair of slices, of rows and of columns, such as (slice(0, 32), slice(0, 32))"
    if value is None:
        return None
    if not isinstance(value, tuple | list) or len(value) != 2 or not all(isinstance(part, slice) for part in value):
        raise refused(name, expected, value)
    for part in value:
        ends = [end for end in (part.start, part.stop) if end is not None]
        if part.step not in (None, 1) or not all(isinstance(end, Integral) for end in ends):
            raise refused(name, f"{expected}, of whole numbers and without steps", part)
    return value[0], value[1]


def _optional(check: Callable[[str, Any], Any]) -> Callable[[str, Any], Any]:
    return lambda name, value: None if value is None else check(name, value)


def _levels(name: str, value: Any) -> tuple[float, ...]:
    expected = "numbers between 0 and 1, such as (0.5, 0.9) for 50% and 90% intervals"
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        raise refused(name, f"a sequence of {expected}", value)
    return tuple(fraction(name, level, expected) for level in value)


def _names(name: str, value: Any, expected: str) -> str | tuple[str, ...]:
    if isinstance(value, str):
        return value
    if isinstance(value, bytes | set | dict) or not isinstance(value, Iterable):
        raise refused(name, expected, value)
    names = tuple(value)
    if not all(isinstance(one, str) for one in names):
        raise refused(name, expected, names)
    return names


def _value_range(name: str, value: Any) -> str | tuple[float, float]:
    words = ", ".join(map(repr, VALUE_RANGES))
    expected = f"two finite numbers, the lower one first, or one of {words}"
    if isinstance(value, str):
        if value not in VALUE_RANGES:
            raise refused(name, expected, value)
        return value
    if isinstance(value, bytes | set | dict) or not isinstance(value, Iterable):
        raise refused(name, expected, value)
    ends = tuple(value)
    if len(ends) != 2:
        raise refused(name, expected, ends)
    low, high = (number(name, end, expected) for end in ends)
    if not (low < high and math.isfinite(high - low)):
        raise refused(name, expected, (low, high))
    return low, high


def _device(name: str, value: Any) -> str:
    if _is_a("torch.device", value):
        return str(value)
    if not isinstance(value, str) or not value:
        raise refused(name, "'auto', 'cpu', 'openvino', or a device of torch such as 'cuda:0'", value)
    return value


def place(name: str, value: Any) -> Any:
    """Check the path or the URL of a store."""
    given = os.fspath(value) if isinstance(value, str | os.PathLike) else ""
    if not given or isinstance(given, bytes) or "\0" in given:
        raise refused(name, "a path or a URL", value)
    return value


def _model(name: str, value: Any) -> Any:
    if not isinstance(value, str | os.PathLike) and not _is_a("bayesr.model.model.Model", value):
        raise refused(name, "a name of bayesr.models(), the path of a model file, or a loaded model", value)
    return value


def _noise(name: str, value: Any) -> float | tuple[float, float]:
    expected = "a standard deviation, or the gain and the read noise, 0 or more and not both 0, in units of the image"
    pair = isinstance(value, tuple | list) and len(value) == 2
    values = [number(name, one, expected, lambda real: 0 <= real < math.inf) for one in (value if pair else (value,))]
    if not any(values):
        raise refused(name, expected, value)
    return (values[0], values[1]) if pair else values[0]


def _forward_operator(name: str, value: Any) -> Any:
    operator = "bayesr.observe.base.ForwardOperator"
    if _is_a("xarray.core.dataset.Dataset", value) or _is_a(operator, value):
        return value
    if not isinstance(value, tuple | list) or not value or not all(_is_a(operator, one) for one in value):
        raise refused(
            name, "an operator of bayesr.observe, one for each dropout mask, or the posterior of observe.fit", value
        )
    return tuple(value)


def _cluster(name: str, value: Any) -> Any:
    expected = (
        "a number of processes, the address of a scheduler such as 'tcp://host:8786', a distributed.Client or a dask "
        "cluster"
    )
    if isinstance(value, Integral):
        return whole(name, value, expected, 1)
    if isinstance(value, str) and value:
        return value
    if not _is_a("distributed.client.Client", value) and not _is_a("distributed.deploy.cluster.Cluster", value):
        raise refused(name, expected, value)
    return value


def _is_a(kind: str, value: Any) -> bool:
    """Return whether a value is of a class, or of a subclass, of a package that is slow to import."""
    return any(f"{base.__module__}.{base.__qualname__}" == kind for base in type(value).__mro__)


PRECISIONS = ("float32", "bfloat16")
"""Precisions of networks, the usual one first."""

_CHECKS: dict[str, Callable[[str, Any], Any]] = {
    "n": partial(whole, expected="a whole number of members, at least 1", least=1),
    "model": _model,
    "seed": partial(whole, expected="a whole number in [0, 2**64)", least=0, most=2**64 - 1),
    "masks": _optional(partial(whole, expected="a whole number, at least 1, that divides n", least=1)),
    "level": partial(fraction, expected="a number between 0 and 1 (0.9 for a 90% interval)"),
    "levels": _levels,
    "keep_samples": _optional(flag),
    "store": _optional(place),
    "overwrite": flag,
    "resume": flag,
    "dims": _optional(partial(_names, expected='the names of the axes, such as ("y", "x", "band") or "yxb"')),
    "nodata": _optional(
        partial(number, expected="the value of missing pixels, a number or float('nan')", accept=lambda real: True)
    ),
    "value_range": _optional(_value_range),
    "tile": _optional(partial(whole, expected="a whole number of low-resolution pixels, at least 1", least=1)),
    "device": _device,
    "precision": partial(choice, options=PRECISIONS),
    "cluster": _optional(_cluster),
    "variables": _optional(partial(_names, expected="names of variables, such as ('mean', 'std')")),
    "keepbits": _optional(
        partial(whole, expected="a whole number of bits of a significand, 1 to 23", least=1, most=23)
    ),
    "shards": _optional(flag),
    "progress": _optional(flag),
    "noise": _optional(_noise),
    "forward_operator": _optional(_forward_operator),
}
"""How each argument is checked: a function of its name and value that returns the value or raises."""
