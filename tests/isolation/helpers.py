"""Settings of torch that change what a line computes, and what a caller can see of them."""

from contextlib import ExitStack, contextmanager

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode


class Rounding(TorchFunctionMode):
    """Round every result to half precision."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        return result.half().to(result) if isinstance(result, torch.Tensor) and result.is_floating_point() else result


class Forbidding(TorchDispatchMode):
    """Refuse every operation."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        raise AssertionError(f"{func} was seen")


@contextmanager
def default_dtype(dtype):
    """Change the default type of the process."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@contextmanager
def default_device(device):
    """Change the default device of the thread."""
    torch.set_default_device(device)
    try:
        yield
    finally:
        torch.set_default_device(None)


SETTINGS = {
    "default type float64": lambda: default_dtype(torch.float64),
    "default type bfloat16": lambda: default_dtype(torch.bfloat16),
    "default type float16": lambda: default_dtype(torch.float16),
    "default device": lambda: default_device("meta"),
    "context of a device": lambda: torch.device("meta"),
    "autocast": lambda: torch.autocast("cpu"),
    "inference mode": torch.inference_mode,
    "no_grad": torch.no_grad,
    "function mode": Rounding,
    "dispatch mode": Forbidding,
}
"""One setting each, as a context."""
if torch.cuda.is_available():
    SETTINGS |= {
        "default device cuda": lambda: default_device("cuda"),
        "autocast cuda": lambda: torch.autocast("cuda"),
    }


@contextmanager
def all_settings():
    """All settings at once."""
    with ExitStack() as stack:
        for name in ("default type bfloat16", "context of a device", "autocast", "inference mode", "function mode"):
            stack.enter_context(SETTINGS[name]())
        stack.enter_context(SETTINGS["dispatch mode"]())
        yield


def visible():
    """Return what the caller can see of torch's settings."""
    return (
        torch.get_default_dtype(),
        torch.get_float32_matmul_precision(),
        torch.get_num_threads(),
        torch.is_grad_enabled(),
        torch.is_inference_mode_enabled(),
        [(torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind)) for kind in ("cpu", "cuda")],
        torch.is_autocast_cache_enabled(),
        torch.overrides._get_current_function_mode_stack(),
        torch.utils._python_dispatch._get_current_dispatch_mode_stack(),
    )
