"""Read pickles that others published, without running code: NumPy arrays in dictionaries, and nothing else."""

from __future__ import annotations

import pickle
from typing import Any, BinaryIO

import numpy as np

from bayesr.errors import InvalidModel

_ADMITTED = {
    ("numpy.core.multiarray", "_reconstruct"), ("numpy._core.multiarray", "_reconstruct"), ("numpy", "ndarray"),
    ("numpy", "dtype"),
}  # fmt: skip


class _ArraysOnly(pickle.Unpickler):
    """Unpickler of dictionaries of NumPy arrays.

    A pickle runs the functions that it names. Those in `_ADMITTED` make arrays and types of numbers, and nothing else.
    """

    def find_class(self, module: str, name: str, /) -> Any:
        """Return an admitted function."""
        if (module, name) not in _ADMITTED:
            raise pickle.UnpicklingError(f"it names {module}.{name}")
        # NumPy 2 has moved the module, and warns where the old name is imported.
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)

    def persistent_load(self, pid: Any) -> Any:
        """Refuse objects that lie outside the file."""
        raise pickle.UnpicklingError("it refers to another object")


def read_arrays(file: BinaryIO) -> dict[str, Any]:
    """Read a pickle of nested dictionaries of NumPy arrays.

    Raises
    ------
    InvalidModel
        If it holds anything else, or is damaged. Nothing that it names has been run.
    """
    try:
        found = _ArraysOnly(file).load()
        if not isinstance(found, dict):
            raise TypeError(f"it holds {type(found).__name__}")
        _check(found)
    except Exception as error:  # a damaged pickle raises almost anything
        raise InvalidModel(
            f"The file is no pickle of dictionaries of NumPy arrays of real numbers: {error}. Nothing in it was run. "
            "Install the package that it comes from again."
        ) from error
    return found


def _check(found: Any) -> None:
    if isinstance(found, dict):
        for part in found.values():
            _check(part)
    elif not isinstance(found, np.ndarray) or found.dtype.kind != "f":
        raise TypeError(f"it holds {getattr(found, 'dtype', type(found).__name__)}")
