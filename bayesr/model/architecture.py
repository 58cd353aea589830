"""The options of a network in a file, checked before anything of their size is made. Needs neither torch nor xarray."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from bayesr.calibration.plain import mapping, whole
from bayesr.errors import InvalidModel

_LARGEST_OPTION, _LARGEST_SCALE, _MOST_OPTIONS = 4096, 64, 64
"""Largest number and largest scale factor in an architecture, and most options of a part."""


def check_architecture(architecture: Any) -> Mapping[str, Any]:
    """Check that the options of a network are of the size of a network's, and return them.

    Loops over them then end. Whether they fit the weights of a file, `bayesr.networks.sketch` finds out.

    Raises
    ------
    InvalidModel
        For others; the message names them.
    """
    options = mapping("architecture", architecture)
    for name, value in options.items():
        if name != "observation":  # which the forward operator checks
            _check_option(f"architecture.{name}", value)
    if "scale" in options:
        whole("architecture.scale", options["scale"], 1, _LARGEST_SCALE)
    for name in ("bands", "width"):
        if type(options.get(name)) is int:
            whole(f"architecture.{name}", options[name], 1, _LARGEST_OPTION)
    return options


def _check_option(name: str, value: Any) -> None:
    if isinstance(value, Mapping | list):
        if len(value) > _MOST_OPTIONS:
            raise InvalidModel(f"{name} has {len(value)} entries, and at most {_MOST_OPTIONS} are read.")
        inner = value.items() if isinstance(value, Mapping) else enumerate(value)
        for key, one in inner:
            if isinstance(one, Mapping):
                raise InvalidModel(f"{name}.{key} must be a value or a list.")
            _check_option(f"{name}.{key}", one)
    elif type(value) is int:
        whole(name, value, 0, _LARGEST_OPTION)
    elif isinstance(value, float) and not (math.isfinite(value) and 0 <= value <= _LARGEST_OPTION):
        raise InvalidModel(f"{name} must be a number from 0 to {_LARGEST_OPTION}, not {value!r}.")
