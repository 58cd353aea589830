"""Shapes of a network's weights, found without memory for them, and never more than a file holds."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from bayesr.errors import InvalidModel
from bayesr.isolation.modes import INITIALISATIONS, OwnMode, OwnRandomNumbers

_LARGEST = 2**29
"""Most values of all weights of a network, 2 GiB in memory."""
_SPARE_TENSORS, _SPARE_VALUES = 1000, 2**22
"""Further tensors and values that building a network may make, such as tables of indices."""
_FACTOR = 4
"""Tensors that are made for each that is kept."""

_WEIGHTS = frozenset({torch.empty, torch.empty_permuted, torch.empty_strided, torch.rand, torch.randn})
"""Functions that make weights, which are filled later."""
_TABLES = frozenset(
    {
        torch.arange,
        torch.eye,
        torch.full,
        torch.linspace,
        torch.logspace,
        torch.ones,
        torch.randint,
        torch.randperm,
        torch.scalar_tensor,
        torch.tensor,
        torch.zeros,
    }
)
"""Functions that make tensors with values, such as tables of indices, which other parts are built from."""
_COMPILED = frozenset({torch.mv, F.normalize})
"""Functions for which torch loads its compiler where there are no values, which takes a second and leaves traces."""


class Weight(NamedTuple):
    """Shape of a parameter or a buffer, and whether its values are floating-point numbers."""

    shape: tuple[int, ...]
    floating: bool


class _Limited(OwnMode):
    """Make weights on a device, and only so many of them. On the device 'meta' they have no values."""

    def __init__(self, device: str, tensors: int, values: int) -> None:
        super().__init__()
        self._device, self._tensors, self._values = device, tensors, values

    def called(self, func: Callable[..., Any], args: Sequence[Any], given: dict[str, Any]) -> Any:
        if self._device == "meta":
            if func in INITIALISATIONS:
                return next(iter((*args, *given.values())))
            if func in _COMPILED:
                raise NotImplementedError(f"{func.__name__} without values")
        if func not in _WEIGHTS | _TABLES:
            return func(*args, **given)
        if given.get("device") is None:
            given["device"] = self._device if func in _WEIGHTS else "cpu"
        made = func(*args, **given)
        self._tensors -= 1
        self._values -= made.numel()
        if self._tensors < 0 or self._values < 0:
            raise InvalidModel("its architecture describes a larger network than the file holds.")
        return made


def sketch(make: Callable[[], nn.Module], stored: Mapping[str, Weight]) -> dict[str, Weight]:
    """Return shapes and kinds of the weights that a network has, without making them.

    Building ends as soon as the network becomes larger than the weights in a file, so the time does not depend on what
    the file says about the network.

    Parameters
    ----------
    make : callable
        Makes the network.
    stored : mapping of str to Weight
        The weights in the file.

    Raises
    ------
    InvalidModel
        If the network is larger, or cannot be built.
    """
    values = sum(math.prod(weight.shape) for weight in stored.values())
    if values > _LARGEST:
        raise InvalidModel(f"it holds {values:,} weights, and at most {_LARGEST:,} are read.")
    limits = _FACTOR * len(stored) + _SPARE_TENSORS, _FACTOR * values + _SPARE_VALUES
    try:
        weights = _weights(make, _Limited("meta", *limits))
    except InvalidModel:
        raise
    except Exception:  # such as that of a part that needs the values of its tensors while it is built
        try:
            weights = _weights(make, _Limited("cpu", *limits))
        except InvalidModel:
            raise
        except Exception as error:  # a part may raise anything for options that it does not understand
            raise InvalidModel(f"its architecture describes no network ({error}).") from error
    return {name: Weight(tuple(value.shape), value.is_floating_point()) for name, value in weights.items()}


def _weights(make: Callable[[], nn.Module], limited: _Limited) -> dict[str, Any]:
    with OwnRandomNumbers(), limited:
        return make().state_dict()


def compare(needed: Mapping[str, Weight], stored: Mapping[str, Weight]) -> None:
    """Compare the weights that a network needs with those in a file.

    Raises
    ------
    InvalidModel
        For the first that is missing, left over, or of another shape or kind.
    """
    for name, weight in needed.items():
        if name not in stored:
            raise InvalidModel(f"it lacks the weights {name}, which its architecture needs.")
        if stored[name] != weight:
            raise InvalidModel(f"its weights {name} are {_told(stored[name])}, and must be {_told(weight)}.")
    for name in stored:
        if name not in needed:
            raise InvalidModel(f"it holds the weights {name}, which its architecture does not have.")


def _told(weight: Weight) -> str:
    sides = " x ".join(map(str, weight.shape)) or "one value"
    return f"{sides}, {'floating-point' if weight.floating else 'whole'} numbers"
