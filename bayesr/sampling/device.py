"""Where networks run: devices of torch, and OpenVINO on the CPU."""

from __future__ import annotations

from dataclasses import replace

import torch

from bayesr.errors import InvalidArgument
from bayesr.model.model import Model
from bayesr.sampling.engine import NAME, compiled, openvino


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
        When there is no such device.
    """
    if device == NAME:
        openvino()
        return NAME
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        probe = torch.zeros(1, device=device)
        probe.item()  # the device 'meta' holds no values
        return str(probe.device)
    except (RuntimeError, AssertionError) as error:
        raise InvalidArgument(
            f"The device {device!r} cannot be used ({error}). Use 'auto', 'cpu' or {NAME!r}."
        ) from error


def place(model: Model, device: str) -> tuple[Model, torch.device]:
    """Return the model on a device (see `resolve`), and the torch device for its images."""
    device = resolve(device)
    if device == NAME:
        cpu = torch.device("cpu")
        return replace(model, generator=compiled(model.on(cpu).generator)), cpu
    target = torch.device(device)
    return model.on(target), target


def describe(device: str) -> dict[str, str]:
    """Return the attribute ``engine``: device, and versions of what runs networks on it."""
    if device == NAME:
        return {"device": NAME, "torch": torch.__version__, NAME: openvino().__version__.split("-")[0]}
    return {"device": device.partition(":")[0], "torch": torch.__version__}
