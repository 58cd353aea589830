"""Import of torchvision that also works with a CPU build of torch.

Package indexes serve the CUDA build of torchvision. A CPU build of torch cannot load its compiled operators, and the
import fails (``operator torchvision::nms does not exist``), because torchvision registers fake kernels for undeclared
operators. Only detection needs them. This module declares their schemas where they are missing: networks and transforms
then work, calls of these operators fail, and image codecs stay unavailable.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

import torch

_SCHEMAS = {
    "nms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}
_declared: list[torch.library.Library] = []
"""Declarations, which end with these objects; empty if the compiled operators could be loaded."""


def torchvision() -> ModuleType:
    """Import torchvision and return the module.

    Raises
    ------
    ImportError
        If torchvision is not installed.
    RuntimeError
        If it does not fit torch for another reason than missing operators.
    """
    try:
        return importlib.import_module("torchvision")  # slow to import
    except RuntimeError as error:
        if _declared or "torchvision::" not in str(error):
            raise
    # Modules that were imported in part would not be executed again.
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]
    library = torch.library.Library("torchvision", "FRAGMENT")
    for name, schema in _SCHEMAS.items():
        library.define(name + schema)
    _declared.append(library)
    return importlib.import_module("torchvision")  # once more, now that its operators are declared
