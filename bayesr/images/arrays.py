"""Readers of arrays in memory and of dask arrays."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import xarray as xr

from bayesr.errors import NotAnImage
from bayesr.images.readers import Reader, by_type, type_name
from bayesr.images.values import from_masked
from bayesr.isolation import isolated


def is_tensor(img: Any) -> bool:
    """Whether an object is a torch tensor, of any subclass; torch is not imported, because it then is already."""
    return isinstance(img, getattr(sys.modules.get("torch"), "Tensor", ()))


@isolated
def from_tensor(tensor: Any) -> xr.DataArray:
    """Make a DataArray of a torch tensor, of the values that it stands for.

    Types that NumPy lacks (bfloat16, float8) become float32, which holds all their values; quantised tensors become
    what `dequantize` returns; sparse ones become dense. Tensors of other devices are copied, all others share their
    memory with the DataArray.

    Raises
    ------
    NotAnImage
        For tensors without values (on the device ``"meta"``), of complex numbers, of several sizes (nested), and those
        whose values torch cannot give to NumPy.
    """
    import torch  # start-up time: it is loaded where there is a tensor

    with torch._C.DisableTorchFunctionSubclass():  # a subclass may change what the next lines do
        for refused, advice in (
            (tensor.is_meta, "it has a shape, but no values: give a tensor on another device"),
            (
                tensor.is_nested,
                "it is nested, with images of several sizes: give one of them, as in tensor.unbind()[0]",
            ),
            (tensor.is_complex(), "its numbers are complex: give tensor.abs(), or tensor.real"),
        ):
            if refused:
                raise NotAnImage(f"A tensor of type {tensor.dtype} on {tensor.device} is no image, because {advice}.")
        try:
            plain = tensor.detach()
            plain = plain.dequantize() if plain.is_quantized else plain
            plain = plain.to_dense() if plain.layout != torch.strided else plain
            if plain.is_floating_point() and plain.dtype not in (torch.float16, torch.float32, torch.float64):
                plain = plain.float()
            return xr.DataArray(plain.numpy(force=True))
        except (RuntimeError, TypeError, ValueError) as error:
            reason = str(error).partition("\n")[0].rstrip(". ")
            raise NotAnImage(
                f"The values of a {type_name(tensor)} of type {tensor.dtype} cannot be read ({reason}): give a plain "
                "torch.Tensor or a NumPy array of them."
            ) from error


def from_ndarray(array: np.ndarray[Any, Any]) -> xr.DataArray:
    """Make a DataArray of a NumPy array; what is masked are missing pixels."""
    return from_masked(array) if isinstance(array, np.ma.MaskedArray) else xr.DataArray(array)


DATA_ARRAY = Reader("DataArray", lambda img: isinstance(img, xr.DataArray), lambda img: img)
NDARRAY = Reader("ndarray", lambda img: isinstance(img, np.ndarray), from_ndarray)
TENSOR = Reader("Tensor", is_tensor, from_tensor)
DASK_ARRAY = Reader("dask array", by_type("dask.array."), xr.DataArray)
