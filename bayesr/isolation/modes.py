"""Modes of a thread that correct what torch computes under settings of the process, and what it draws."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn import init
from torch.overrides import TorchFunctionMode

_FLOATING = frozenset(
    {
        torch.empty,
        torch.empty_permuted,
        torch.empty_strided,
        torch.eye,
        torch.linspace,
        torch.logspace,
        torch.ones,
        torch.rand,
        torch.randn,
        torch.zeros,
        torch.bartlett_window,
        torch.blackman_window,
        torch.hamming_window,
        torch.hann_window,
        torch.kaiser_window,
        torch.fft.fftfreq,
        torch.fft.rfftfreq,
    }
)
"""Functions that make tensors of the default type, unless a type is given."""

_OF_VALUES = frozenset(
    {torch.arange, torch.as_tensor, torch.asarray, torch.full, torch.range, torch.scalar_tensor, torch.tensor}
)
"""Functions that make tensors of the default type of Python's floating-point numbers."""

_PRODUCTS = frozenset(
    {
        torch.addbmm,
        torch.addmm,
        torch.baddbmm,
        torch.bmm,
        torch.chain_matmul,
        torch.einsum,
        torch.linalg.multi_dot,
        torch.matmul,
        torch.mm,
        torch.tensordot,
        Tensor.__matmul__,
        Tensor.__rmatmul__,
        Tensor.addbmm,
        Tensor.addmm,
        Tensor.baddbmm,
        Tensor.bmm,
        Tensor.matmul,
        Tensor.mm,
        F.bilinear,
        F.linear,
        F.scaled_dot_product_attention,
    }
)
"""Products of matrices."""

INITIALISATIONS = frozenset(
    {
        Tensor.bernoulli_,
        Tensor.exponential_,
        Tensor.normal_,
        Tensor.random_,
        Tensor.uniform_,
        init.kaiming_normal_,
        init.kaiming_uniform_,
        init.normal_,
        init.orthogonal_,
        init.trunc_normal_,
        init.uniform_,
        init.xavier_normal_,
        init.xavier_uniform_,
    }
)
"""Functions that fill a tensor, their first argument, with random numbers, and take a generator of them."""

_CONVOLUTIONS: Mapping[Any, tuple[bool, int]] = {
    F.conv1d: (False, 1),
    F.conv2d: (False, 2),
    F.conv3d: (False, 3),
    F.conv_transpose1d: (True, 1),
    F.conv_transpose2d: (True, 2),
    F.conv_transpose3d: (True, 3),
}
"""Convolutions: whether they are transposed, and the number of their spatial axes."""

_RANDOM = INITIALISATIONS | {
    torch.bernoulli,
    torch.multinomial,
    torch.normal,
    torch.rand,
    torch.randint,
    torch.randn,
    torch.randperm,
}
"""Functions that draw random numbers and take a generator of them."""


class OwnMode(TorchFunctionMode):
    """A mode that `bayesr.isolation.isolation` leaves on."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        return self.called(func, args, dict(kwargs or {}))

    def called(self, func: Callable[..., Any], args: Sequence[Any], given: dict[str, Any]) -> Any:
        """Return what a function of torch returns in this mode; `given` are its arguments by name."""
        raise NotImplementedError


class Float32Defaults(OwnMode):
    """Make float32 where torch would make the default type of the process."""

    def called(self, func: Callable[..., Any], args: Sequence[Any], given: dict[str, Any]) -> Any:
        if "out" in given or given.get("dtype") is not None:
            return func(*args, **given)
        if func in _FLOATING:
            return func(*args, **given | {"dtype": torch.float32})
        made = func(*args, **given)
        if func in _OF_VALUES and made.dtype == torch.get_default_dtype() and not any(map(_has_type, args)):
            return func(*args, **given | {"dtype": torch.float32})
        return made


class Float32Products(OwnMode):
    """Compute products of float32 matrices in double precision, where torch may reduce theirs."""

    def called(self, func: Callable[..., Any], args: Sequence[Any], given: dict[str, Any]) -> Any:
        operands = [value for value in _flat((*args, *given.values())) if isinstance(value, Tensor)]
        types_found = {value.dtype for value in operands if value.is_floating_point()}
        if func not in _PRODUCTS or types_found != {torch.float32}:
            return func(*args, **given)
        # Autocast reduces precision on purpose. A network that is traced is computed elsewhere.
        if torch.is_autocast_enabled(operands[0].device.type) or torch._C._get_tracing_state() is not None:
            return func(*args, **given)
        out = given.pop("out", None)
        result = func(*map(_double, args), **{name: _double(value) for name, value in given.items()}).float()
        return result if out is None else out.copy_(result)


class Float32Convolutions(OwnMode):
    """Compute convolutions of float32 tensors on CUDA devices without TF32, which is torch's default there.

    TF32 rounds factors to 10 bits, so members would differ from those of a CPU by a thousandth of the value range. The
    setting belongs to the process, but the operator below all convolutions takes it as an argument.
    """

    def called(self, func: Callable[..., Any], args: Sequence[Any], given: dict[str, Any]) -> Any:
        if func not in _CONVOLUTIONS:
            return func(*args, **given)
        x = args[0] if args else given["input"]
        if x.dtype != torch.float32 or not self.applies_to(x.device) or torch.is_autocast_enabled(x.device.type):
            return func(*args, **given)
        transposed, axes = _CONVOLUTIONS[func]
        return _convolution(transposed, axes, *args, **given)

    @staticmethod
    def applies_to(device: torch.device) -> bool:
        """Whether torch may compute convolutions in TF32 on a device."""
        return device.type == "cuda"


def _convolution(
    transposed: bool,
    axes: int,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    *further: Any,
    **given: Any,
) -> Tensor:
    """Compute a convolution without TF32; arguments as in `torch.nn.functional`."""
    names = ("output_padding", "groups", "dilation") if transposed else ("dilation", "groups")
    given |= dict(zip(names, further, strict=False))

    def each(value: Any) -> list[int]:
        return list(value) if isinstance(value, list | tuple) else [value] * axes

    one = input.dim() == axes + 1  # an image without a batch axis
    if isinstance(padding, str):
        input, padding = _padded(input, weight, padding, each(given.get("dilation", 1)))
    out: Tensor = torch._convolution(
        input[None] if one else input, weight, bias, each(stride), each(padding), each(given.get("dilation", 1)),
        transposed, each(given.get("output_padding", 0)), given.get("groups", 1),
        torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic, torch.backends.cudnn.enabled, False,
    )  # fmt: skip
    return out[0] if one else out


def _padded(x: Tensor, weight: Tensor, padding: str, dilation: list[int]) -> tuple[Tensor, int]:
    """Pad an image as ``"same"`` or ``"valid"`` asks for; a convolution then pads by the returned number."""
    if padding == "valid":
        return x, 0
    totals = [d * (size - 1) for d, size in zip(dilation, weight.shape[2:], strict=True)]
    return F.pad(x, [part for total in reversed(totals) for part in (total // 2, total - total // 2)]), 0


class OwnRandomNumbers(OwnMode):
    """Draw random numbers from a generator of its own, so that torch's, which is the caller's, stays as it is.

    Parameters
    ----------
    seed : int
        Seed of the generator.
    """

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self._generator = torch.Generator().manual_seed(seed)

    def called(self, func: Callable[..., Any], args: Sequence[Any], given: dict[str, Any]) -> Any:
        if func in _RANDOM and given.get("generator") is None:
            given["generator"] = self._generator
        return func(*args, **given)


def required() -> list[OwnMode]:
    """Return the modes that the present settings of the process require; none for torch's defaults."""
    modes: list[OwnMode] = []
    if torch.get_default_dtype() != torch.float32:
        modes.append(Float32Defaults())
    if _reduced_products():
        modes.append(Float32Products())
    if torch.cuda.is_available() and _tf32_convolutions():
        modes.append(Float32Convolutions())
    return modes


def _reduced_products() -> bool:
    try:
        return torch.get_float32_matmul_precision() != "highest"
    except RuntimeError:  # set for single backends, by torch's newer interface, which this function does not tell
        return True


def _tf32_convolutions() -> bool:
    try:
        return bool(torch.backends.cudnn.allow_tf32)
    except RuntimeError:  # set by torch's newer interface, which this attribute does not tell
        return True


def _has_type(value: Any) -> bool:
    """Whether a value has a type of its own: a tensor, an array, or a sequence of such."""
    while isinstance(value, list | tuple) and value:
        value = value[0]
    return hasattr(value, "dtype")


def _flat(values: Sequence[Any]) -> list[Any]:
    return [part for value in values for part in (_flat(value) if isinstance(value, list | tuple) else [value])]


def _double(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return type(value)(map(_double, value))
    return value.double() if isinstance(value, Tensor) and value.is_floating_point() else value
