"""The variables of a product: names, units and leading axes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from bayesr.errors import InvalidArgument

Arrays = Mapping[str, NDArray[np.float32]]
"""Variables by name, each ``(..., band, y, x)``."""

DIMS = ("band", "y", "x")

# name: (power of the input's unit, long_name, cell_methods)
VARIABLES: dict[str, tuple[int, str, str | None]] = {
    "mean": (1, "posterior mean", "realization: mean"),
    "variance": (2, "calibrated predictive variance", "realization: variance"),
    "std": (1, "calibrated predictive standard deviation", "realization: standard_deviation"),
    "aleatoric": (2, "raw variance between latents: what the input cannot tell", None),
    "epistemic": (2, "raw variance between dropout masks: what the model has not learnt", None),
    "calibration": (0, "factor on the raw standard deviation", None),
    "lower": (1, "lower bound of the calibrated central interval", None),
    "upper": (1, "upper bound of the calibrated central interval", None),
}

MAPS = tuple(VARIABLES)
"""Variables with one map per band: all but the members."""

SAMPLES = "samples"

MASK_MEANS = "mask_means"
"""Deviations of the means of dropout masks from the mean, in network units.

Stores hold them beside the product, because adding members needs them. The last mask is left out:
deviations sum to zero.
"""


def leading_shape(name: str, n: int, masks: int) -> tuple[int, ...]:
    """Return the sizes of a variable's axes before ``(band, y, x)``, for `n` members of `masks` dropout masks.

    These are ``(n,)`` for the members, ``(masks - 1,)`` for the means of masks, ``()`` for maps.
    """
    return {SAMPLES: (n,), MASK_MEANS: (masks - 1,)}.get(name, ())


def bytes_per_pixel(variables: Sequence[str], n: int, masks: int) -> int:
    """Return the bytes of variables for each pixel and band of the product, before compression."""
    return 4 * sum(math.prod(leading_shape(name, n, masks)) for name in variables)


def choose_variables(variables: Sequence[str] | None, keep_samples: bool | None, *, in_memory: bool) -> tuple[str, ...]:
    """Return the variables to compute, from the arguments of `bayesr.sample`.

    Parameters
    ----------
    variables : sequence of str, optional
        Names that were asked for; by default all maps.
    keep_samples : bool, optional
        Whether the members are kept; by default in memory only.
    in_memory : bool
        Whether the product stays in memory.

    Returns
    -------
    tuple of str
        In the order of `MAPS`, the members last.

    Raises
    ------
    InvalidArgument
        When a name is unknown, or both arguments contradict each other.
    """
    if variables is None:
        keep = in_memory if keep_samples is None else keep_samples
        return (*MAPS, *((SAMPLES,) if keep else ()))
    named = [variables] if isinstance(variables, str) else list(variables)
    unknown = [name for name in named if name not in (*MAPS, SAMPLES)]
    if unknown or not named:
        raise InvalidArgument(
            f"variables are some of {', '.join((*MAPS, SAMPLES))}, not {', '.join(map(repr, unknown))}."
        )
    if keep_samples is False and SAMPLES in named:
        raise InvalidArgument("keep_samples=False and 'samples' in variables contradict each other: choose one.")
    keep = SAMPLES in named or bool(keep_samples)
    return (*(name for name in MAPS if name in named), *((SAMPLES,) if keep else ()))
