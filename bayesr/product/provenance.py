"""The provenance of a product: what is needed to draw it again, as attributes of the Dataset."""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from bayesr.errors import InvalidProduct
from bayesr.product import schema
from bayesr.product.arguments import PRECISIONS
from bayesr.version import __version__

_OPERATORS = "forward_operators"
"""The attribute of products that were drawn with other forward operators than that of the model."""
_DESCRIPTIVE = ("calibration_source", "input_check", "history", "bayesr_version")
_REQUIRED = (
    "model", "model_sha256", "input_sha256", "scale", "n", "masks", "seed", "level", "value_range",
    "forward_operator", "engine", "input",
)  # fmt: skip


@dataclass(frozen=True)
class Provenance:
    """What a product was drawn from, and how.

    Attributes
    ----------
    model, model_sha256 : str
        The model's name, and checksum of its weights.
    input_sha256 : str
        Checksum of the low-resolution image.
    scale : int
        Scale factor.
    n, masks : int
        Number of members and of dropout masks.
    seed : int
    level : float
        Level of the interval, in (0, 1).
    value_range : (float, float)
        The image's values that the network sees as 0 and 1.
    quantisation_step : float
        1 for integer images, the scale factor for scaled integers, 0 for others, NaN if not recorded.
    forward_operator : mapping
        Description of the forward operator of the model.
    engine : mapping
        ``tile``, a tile's side in low-resolution pixels, ``device``, ``precision`` of the network, and versions of what
        ran it.
    calibration_source : str
        The images that the model was calibrated on.
    input : mapping
        How the image was read: ``dims``, ``nodata``, ``value_range`` (where it comes from), ``per_band``
        (whether each band has missing pixels of its own) and ``bounds`` (of its integer type, if any).
    input_check : str
        The verdict of the check for out-of-distribution images.
    history : str
        One line for each step that changed the product.
    bayesr_version : str
        Version that wrote the product.
    forward_operators : tuple of mapping
        Descriptions of the operators given to `bayesr.sample`: one of each dropout mask, or one of all; else none.
    """

    model: str
    model_sha256: str
    input_sha256: str
    scale: int
    n: int
    masks: int
    seed: int
    level: float
    value_range: tuple[float, float]
    quantisation_step: float
    forward_operator: Mapping[str, Any]
    engine: Mapping[str, Any]
    calibration_source: str
    input: Mapping[str, Any]
    input_check: str
    history: str
    bayesr_version: str = __version__
    forward_operators: tuple[Mapping[str, Any], ...] = ()

    @property
    def tile(self) -> int:
        """A tile's side in low-resolution pixels."""
        return int(self.engine["tile"])

    @property
    def device(self) -> str:
        return str(self.engine["device"])

    @property
    def precision(self) -> str:
        """The precision of the network, which products of before do not record: float32."""
        return str(self.engine.get("precision", PRECISIONS[0]))

    @property
    def nodata(self) -> float | None:
        """The given value of missing pixels, if any."""
        nodata: float | None = self.input["nodata"]
        return nodata

    @property
    def per_band(self) -> bool:
        """Whether each band has missing pixels of its own."""
        return bool(self.input.get("per_band", False))

    def bounds(self, dtype: Any) -> tuple[float, float] | None:
        """Return the bounds of the image's integer type; `dtype` is that of its copy, for products without a record."""
        if "bounds" in self.input:
            given = self.input["bounds"]
            return None if given is None else (float(given[0]), float(given[1]))
        info = np.iinfo(dtype) if np.dtype(dtype).kind in "ui" else None
        return None if info is None else (float(info.min), float(info.max))

    def attrs(self) -> dict[str, Any]:
        """Return the Dataset's attributes: strings, numbers and lists of numbers."""
        return {
            "history": self.history,
            "bayesr_version": self.bayesr_version,
            "model": self.model,
            "model_sha256": self.model_sha256,
            "input_sha256": self.input_sha256,
            "scale": self.scale,
            "n": self.n,
            "masks": self.masks,
            "seed": self.seed,
            "level": self.level,
            "value_range": list(self.value_range),
            "quantisation_step": self.quantisation_step,
            "forward_operator": json.dumps(dict(self.forward_operator)),
            "engine": json.dumps(dict(self.engine)),
            "calibration_source": self.calibration_source,
            "input": json.dumps(dict(self.input)),
            "input_check": self.input_check,
            **({_OPERATORS: json.dumps(list(map(dict, self.forward_operators)))} if self.forward_operators else {}),
        }

    @classmethod
    def from_attrs(cls, attrs: Mapping[Any, Any]) -> Provenance:
        """Read the attributes of a product.

        Attributes that only describe, such as ``history``, may be missing; so may ``quantisation_step``, which is then
        NaN.

        Raises
        ------
        InvalidProduct
            When an attribute is missing or damaged.
        """
        found = schema.checked(attrs)
        lacking = [name for name in _REQUIRED if name not in found]
        if lacking:
            raise InvalidProduct(
                f"The Dataset lacks the attribute {lacking[0]!r}, so it is no (unchanged) product of bayesr.sample. "
                "Keep attributes in computations with xr.set_options(keep_attrs=True)."
            )
        described = {name: found.get(name, "") for name in _DESCRIPTIVE}
        described |= {_OPERATORS: found[_OPERATORS]} if _OPERATORS in found else {}
        step = found.get("quantisation_step", math.nan)
        return cls(quantisation_step=step, **{k: found[k] for k in _REQUIRED}, **described)

    @classmethod
    def from_dataset(cls, ds: xr.Dataset) -> Provenance:
        """Read the attributes of a product; see `from_attrs`."""
        return cls.from_attrs(ds.attrs)


def history_entry(call: str) -> str:
    """Return the line of ``history`` for a call: time in UTC, version, call."""
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return f"{now} bayesr {__version__}: {call}"


def extended_history(attrs: Mapping[Any, Any], call: str) -> str:
    """Return ``history`` with one more line, for a call."""
    return "\n".join(filter(None, [attrs.get("history"), history_entry(call)]))
