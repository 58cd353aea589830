"""torchvision, imported so that it works beside a torch that was built for CPUs alone.

Registries hold torchvision's wheel for CUDA. Beside a CPU build of torch its compiled operators cannot be loaded, and
the import fails (``operator torchvision::nms does not exist``), because torchvision describes operators that nobody
has declared. Only detection needs them. Where they are missing their schemas, and nothing more, are declared here:
then networks and transforms work, and an operator that is called says that it has no implementation. Image codecs
stay unavailable.
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
"""Declarations live as long as their libraries do; empty where the compiled operators loaded."""


def torchvision() -> ModuleType:
    """The module ``torchvision``, imported.

    Raises
    ------
    ImportError
        When torchvision is not installed.
    RuntimeError
        When it does not go with the version of torch, for another reason than missing operators.
    """
    try:
        return importlib.import_module("torchvision")
    except RuntimeError as error:
        if _declared or "torchvision::" not in str(error):
            raise
    # What was imported in part would not be run again.
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]
    library = torch.library.Library("torchvision", "FRAGMENT")
    for name, schema in _SCHEMAS.items():
        library.define(name + schema)
    _declared.append(library)
    return importlib.import_module("torchvision")
