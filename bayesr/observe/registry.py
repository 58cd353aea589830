"""The registry of forward operators: the class that reads each kernel's description."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from bayesr.errors import InvalidArgument, InvalidForwardOperator
from bayesr.observe.base import ForwardOperator, Unconstrained

Operator = TypeVar("Operator", bound=type[ForwardOperator])

_OPERATORS: dict[str, type[ForwardOperator]] = {}
_RECORDED = ("blur", "noise", "photon")


def register(*kernels: str) -> Callable[[Operator], Operator]:
    """Register a class of operators under the names that its descriptions give as ``kernel``: a class decorator.

    Its `from_plain` then reads descriptions with these names.

    Raises
    ------
    InvalidArgument
        When another class has one of the names.
    """

    def add(operator: Operator) -> Operator:
        for kernel in kernels:
            if _OPERATORS.setdefault(kernel, operator) is not operator:
                raise InvalidArgument(
                    f"The kernel {kernel!r} belongs to {_OPERATORS[kernel].__name__}: choose another name."
                )
        return operator

    return add


def kernels() -> tuple[str, ...]:
    """Return the names of all registered kernels."""
    return tuple(_OPERATORS)


def from_description(description: Mapping[str, Any]) -> ForwardOperator:
    """Make the operator that `ForwardOperator.describe` described.

    Parameters
    ----------
    description : mapping
        Plain values, as in a model file. With ``noise`` the operator is unconstrained.

    Raises
    ------
    InvalidForwardOperator
        For an unregistered kernel, and for values that its operator refuses or does not have.
    """
    try:
        return _described(dict(description))
    except InvalidForwardOperator:
        raise
    except Exception as error:  # an operator may raise anything for values that it does not understand
        raise InvalidForwardOperator(f"The description of the forward operator cannot be used: {error}.") from error


def _described(plain: dict[str, Any]) -> ForwardOperator:
    kernel = plain.get("kernel", "bicubic")
    if kernel not in _OPERATORS:
        raise InvalidForwardOperator(
            f"Unknown kernel {kernel!r}: use one of {', '.join(_OPERATORS)}, or register the class of your own "
            "operator with bayesr.observe.register before its model is loaded."
        )
    operator = _OPERATORS[kernel]
    if "noise" not in plain or issubclass(operator, Unconstrained):
        return operator.from_plain(plain)
    recorded = {name: plain.pop(name) for name in _RECORDED if name in plain}
    return operator.from_plain(plain).unconstrained(**recorded)
