"""The attributes of products and of stores: the type and the range of each.

All readers of attributes use `checked`, so that a damaged or foreign attribute is an `InvalidProduct` before any of it
is used.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from bayesr.errors import BayesrError, InvalidProduct
from bayesr.product import arguments

FORMER = {"forward_operator": "observation", "quantisation_step": "quantum"}
"""Former names of attributes, which older products have."""
_LARGEST = 2**31 - 1
"""More members or pixels in a tile than any product has; NumPy's sizes cannot overflow below it."""


def checked(attrs: Mapping[Any, Any], where: str = "the Dataset") -> dict[str, Any]:
    """Return those attributes that a product has, as plain values; others are left out.

    The values of ``forward_operator``, ``engine`` and ``input``, which are stored as JSON, are mappings, and
    ``forward_operators`` is a tuple of them.

    Parameters
    ----------
    attrs : mapping
        Attributes of a product, or of the group beside it in a store.
    where : str
        What has the attributes, for the message.

    Raises
    ------
    InvalidProduct
        When one is of another type or outside its range.
    """
    found: dict[str, Any] = {}
    for name, check in _CHECKS.items():
        recorded = name if name in attrs else FORMER.get(name, name)
        if recorded not in attrs:
            continue
        try:
            found[name] = check(recorded, _plain(attrs[recorded]))
        except (TypeError, ValueError, RecursionError) as error:  # also InvalidArgument
            shown = arguments.shown(attrs[recorded])
            reason = str(error) if isinstance(error, BayesrError) else f"{recorded} is {shown}."
            raise InvalidProduct(
                f"The attributes of {where} are not those that bayesr.sample writes: {reason} "
                "Open the product again from its store, or check(store) where the store has them."
            ) from None
    operators = found.get("forward_operators")
    if operators is not None and len(operators) not in (1, found.get("masks", 1)):
        raise InvalidProduct(
            f"The attributes of {where} are not those that bayesr.sample writes: there are {len(operators)} forward "
            f"operators for {found.get('masks', 1)} dropout masks. Open the product again from its store, or "
            "check(store)."
        )
    if found.get("n", 0) % found.get("masks", 1):
        raise InvalidProduct(
            f"The attributes of {where} are not those that bayesr.sample writes: {found['n']} members cannot be "
            f"divided among {found['masks']} dropout masks. Open the product again from its store, or check(store)."
        )
    return found


def _plain(value: Any) -> Any:
    """Return a value without NumPy's types, which NetCDF files bring."""
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise arguments.refused(name, "a text", value)
    return value


def _pair(name: str, value: Any) -> tuple[float, float]:
    expected = "two finite numbers, the lower one first"
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise arguments.refused(name, expected, value)
    low, high = (arguments.number(name, end, expected) for end in value)
    if not (low < high and math.isfinite(high - low)):
        raise arguments.refused(name, expected, value)
    return low, high


def _any_number(name: str, value: Any) -> float:
    return arguments.number(name, value, "a number", lambda real: True)


def _optional(check: Callable[[str, Any], Any], name: str, value: Any) -> Any:
    return None if value is None else check(name, value)


def _json(name: str, value: Any, check: Callable[[str, Any], Any]) -> Any:
    if not isinstance(value, str):
        raise arguments.refused(name, "a text of JSON", value)
    return check(name, json.loads(value))


def _mapping(name: str, value: Any, **checks: Callable[[str, Any], Any]) -> dict[str, Any]:
    """Check a mapping that may have more keys than `checks`; of these, ``tile`` and ``device`` must be there."""
    if not isinstance(value, dict):
        raise arguments.refused(name, "a mapping", value)
    lacking = {"tile", "device", "dims", "nodata"} & checks.keys() - value.keys()
    if lacking:
        raise arguments.refused(name, f"a mapping with {', '.join(sorted(lacking))}", value)
    return value | {key: check(f"{key} of {name}", value[key]) for key, check in checks.items() if key in value}


def _names(name: str, value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise arguments.refused(name, "a list of names", value)
    return value


def _mappings(name: str, value: Any) -> tuple[dict[str, Any], ...]:
    if not isinstance(value, list) or not value or not all(isinstance(one, dict) for one in value):
        raise arguments.refused(name, "a list of mappings", value)
    return tuple(value)


_count = partial(arguments.whole, expected="a whole number, at least 1", least=1, most=_LARGEST)
_engine = partial(
    _mapping, tile=_count, device=_text, precision=partial(arguments.choice, options=arguments.PRECISIONS)
)
_input = partial(
    _mapping,
    dims=partial(_optional, _names),
    nodata=partial(_optional, _any_number),
    per_band=arguments.flag,
    bounds=partial(_optional, _pair),
)

_CHECKS: dict[str, Callable[[str, Any], Any]] = {
    "model": _text,
    "model_sha256": _text,
    "input_sha256": _text,
    "scale": partial(arguments.whole, expected="a scale factor, a whole number from 1 to 1024", least=1, most=1024),
    "n": _count,
    "masks": _count,
    "seed": partial(arguments.whole, expected="a whole number in [0, 2**64)", least=0, most=2**64 - 1),
    "level": arguments.fraction,
    "value_range": _pair,
    "quantisation_step": partial(arguments.number, expected="0 or more, or NaN", accept=lambda real: not real < 0),
    "forward_operator": partial(_json, check=_mapping),
    "forward_operators": partial(_json, check=_mappings),
    "engine": partial(_json, check=_engine),
    "calibration_source": _text,
    "input": partial(_json, check=_input),
    "input_check": _text,
    "history": _text,
    "bayesr_version": _text,
    # Of the group beside the product in a store.
    "tile": _count,
    "nodata": partial(_json, check=partial(_optional, _any_number)),
    "keepbits": partial(
        _optional, partial(arguments.whole, expected="a whole number of bits, 1 to 52", least=1, most=52)
    ),
    "next": _count,
}
"""How each attribute is checked: a function of its name and plain value that returns the value or raises."""
