"""Set the caller's torch settings aside while bayesr computes, and leave them as they were.

torch has settings of the process and of the thread that change what a line computes: the default type and device,
autocast, inference mode, and modes that see every operation. Members must not depend on them, and a model that is
loaded under one of them is kept for later calls. `isolation` therefore sets them aside, for its own thread alone:

- inference mode and ``no_grad`` end, and autocast is off;
- the thread's function modes, such as that of ``torch.set_default_device``, and its dispatch modes are taken off. So
  modes that count or log operations do not see those of bayesr;
- settings of the process are not touched, because other threads would see it. Where the default type is not float32,
  and where products of float32 matrices may be reduced in precision, modes of bayesr's own correct what torch does
  (`bayesr.isolation.modes`).

This module does not import torch: where torch was never imported, there is nothing to set aside.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from typing import ParamSpec, TypeVar

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

_AUTOCAST = ("cpu", "cuda", "mps", "xpu")
"""Kinds of devices whose autocast can change what runs on the devices that bayesr uses."""


@contextmanager
def isolation() -> Iterator[None]:
    """Compute as in a fresh process, whatever torch settings the caller has; afterwards these are as before.

    Contexts may be nested, and settings that bayesr itself makes inside are set aside by the inner context.
    """
    if "torch" not in sys.modules:
        yield
        return
    import torch  # loaded already, but perhaps still being imported by another thread

    with ExitStack() as stack:
        if torch.is_inference_mode_enabled() or not torch.is_grad_enabled():
            stack.enter_context(torch.inference_mode(False))  # which also records gradients again
        for kind in _AUTOCAST:
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        _without_modes(stack)
        yield


def isolated(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Decorate a function that runs in `isolation`."""

    # Not the decorator of contextlib: warnings are issued at the first caller outside of bayesr.
    @wraps(function)
    def run(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        with isolation():
            return function(*args, **kwargs)

    return run


def _without_modes(stack: ExitStack) -> None:
    """Take off the caller's modes, and put on those that settings of the process require."""
    # Loaded with torch, so this costs no time; the interface to the stack of modes is not public.
    from torch._C import _len_torch_dispatch_stack
    from torch.overrides import _get_current_function_mode_stack, _pop_mode_temporarily
    from torch.utils._python_dispatch import _disable_current_modes

    from bayesr.isolation import modes  # imports torch

    if _len_torch_dispatch_stack():
        stack.enter_context(_disable_current_modes())
    while (present := _get_current_function_mode_stack()) and not isinstance(present[-1], modes.OwnMode):
        stack.enter_context(_pop_mode_temporarily())
    for mode in modes.required():
        if not any(isinstance(one, type(mode)) for one in present):
            stack.enter_context(mode)
