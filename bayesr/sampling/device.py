"""Where networks run, and in which precision: devices of torch, and OpenVINO on the CPU."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

import torch

from bayesr.errors import InvalidArgument
from bayesr.model.model import Model
from bayesr.sampling.engine import NAME, compiled, openvino

_BYTES_OF_PIXEL = 2**13
"""Memory of a member per low-resolution pixel while it is drawn, at most: latents, features, sixteen pixels."""
_MOST_PIXELS = 2**21
"""Pixels of members in a batch, at most, so that progress is reported now and then."""


def resolve(device: str) -> str:
    """Return a device's name that means the same on other machines.

    Parameters
    ----------
    device : str
        ``"auto"``, ``"openvino"``, or a torch device.

    Raises
    ------
    EngineUnavailable
        When OpenVINO is not installed.
    InvalidArgument
        When there is no such device here, or none on which values are computed, such as ``"meta"``.
    """
    if not isinstance(device, str | torch.device):
        raise InvalidArgument(f"The device must be a name such as 'auto' or 'cpu', not {device!r}.")
    if device == NAME:
        openvino()
        return NAME
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        if torch.device(device).type == "meta":  # whose operations would load torch's compiler
            raise RuntimeError("nothing is computed there")
        two = torch.ones(1, dtype=torch.float32, device=device).add(1)
        two.item()
        return str(two.device)
    except (RuntimeError, AssertionError, ImportError) as error:  # torch raises each of them for kinds it lacks
        usable = ["auto", "cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
        raise InvalidArgument(
            f"The device {str(device)!r} cannot be used ({_reason(error)}). Use {', '.join(map(repr, usable))} or "
            f"{NAME!r}."
        ) from error


def _reason(error: Exception) -> str:
    """Return the first sentence of an error of torch, which may go on for pages."""
    return str(error).partition("\n")[0].partition(". ")[0].rstrip(".")


def place(model: Model, device: str) -> tuple[Model, torch.device]:
    """Return the model on a device (see `resolve`), and the torch device for its images."""
    device = resolve(device)
    if device == NAME:
        cpu = torch.device("cpu")
        return replace(model, generator=compiled(model.on(cpu).generator)), cpu
    target = torch.device(device)
    return model.on(target), target


def check_precision(device: str, precision: str) -> None:
    """Refuse a precision that would only be slower on a device.

    Raises
    ------
    InvalidArgument
        For bfloat16 in OpenVINO, and on hardware without products of bfloat16 numbers.
    """
    if precision == "float32":
        return
    if device == NAME:
        raise InvalidArgument("precision='bfloat16' is for networks in PyTorch: use device='cpu', or 'cuda'.")
    if not _multiplies_bfloat16(torch.device(device)):
        raise InvalidArgument(
            f"precision='bfloat16' would be slower than 'float32' on the device {device!r}, which has no instructions "
            "for it (on a CPU AMX or AVX-512 BF16, on a GPU compute capability 8.0 or higher): use 'float32'."
        )


def _multiplies_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    # Not public, but the only way to ask; older versions of torch have one of them.
    queries = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    return device.type == "cpu" and any(getattr(torch.cpu, name, bool)() for name in queries)


def autocast(device: torch.device, precision: str) -> AbstractContextManager[object]:
    """Return the context in which a network runs in a precision; its tensors may then be bfloat16."""
    return nullcontext() if precision == "float32" else torch.autocast(device.type, torch.bfloat16)


def capacity(device: torch.device) -> int | None:
    """Return how many low-resolution pixels of members to draw at once; None where a CPU's caches decide."""
    if device.type != "cuda":
        return None
    free, _ = torch.cuda.mem_get_info(device)
    reserved = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return max(1, min(_MOST_PIXELS, (free + reserved) // (2 * _BYTES_OF_PIXEL)))


def describe(device: str, precision: str = "float32") -> dict[str, str]:
    """Return the attribute ``engine``: device, precision if reduced, and versions of what runs networks there."""
    if device == NAME:
        return {"device": NAME, "torch": torch.__version__, NAME: openvino().__version__.split("-")[0]}
    reduced = {} if precision == "float32" else {"precision": precision}
    return {"device": device.partition(":")[0], "torch": torch.__version__} | reduced
