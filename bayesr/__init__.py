"""Super-resolution with calibrated uncertainty: posterior samples of the high-resolution image, and how they differ.

Names are loaded when they are first used, so that ``import bayesr`` stays quick.
"""

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from bayesr.version import __version__ as __version__

_HOMES = {
    "BayesrError": "errors",
    "Model": "model.model",
    "aggregate": "aggregation.workflow",
    "calibrate": "training.calibrating",
    "check": "sampling.repairing",
    "components": "aggregation.variation",
    "export": "exporting.writing",
    "extend": "sampling.extending",
    "load": "model.model",
    "models": "model.catalogue",
    "replay": "sampling.replaying",
    "sample": "sampling.workflow",
    "score": "scoring.scores",
    "segment": "segmentation.workflow",
    "train": "training.workflow",
}
_MODULES = ("errors", "examples", "observe", "recipes", "report")

__all__ = [
    "BayesrError",
    "Model",
    "aggregate",
    "calibrate",
    "check",
    "components",
    "errors",
    "examples",
    "export",
    "extend",
    "load",
    "models",
    "observe",
    "recipes",
    "replay",
    "report",
    "sample",
    "score",
    "segment",
    "train",
]

if TYPE_CHECKING:
    from bayesr import errors, examples, observe, recipes, report
    from bayesr.aggregation.variation import components
    from bayesr.aggregation.workflow import aggregate
    from bayesr.errors import BayesrError
    from bayesr.exporting.writing import export
    from bayesr.model.catalogue import models
    from bayesr.model.model import Model, load
    from bayesr.sampling.extending import extend
    from bayesr.sampling.repairing import check
    from bayesr.sampling.replaying import replay
    from bayesr.sampling.workflow import sample
    from bayesr.scoring.scores import score
    from bayesr.segmentation.workflow import segment
    from bayesr.training.calibrating import calibrate
    from bayesr.training.workflow import train


def __getattr__(name: str) -> Any:
    if name not in _HOMES and name not in _MODULES:
        raise AttributeError(f"module 'bayesr' has no attribute {name!r}")
    home = import_module(f"bayesr.{_HOMES.get(name, name)}")
    _register_accessor()
    return home if name in _MODULES else getattr(home, name)


def _register_accessor() -> None:
    """Register ``ds.bayesr`` where xarray is loaded, and not just being loaded."""
    if hasattr(sys.modules.get("xarray"), "register_dataset_accessor"):
        import_module("bayesr.accessor")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])


_register_accessor()
