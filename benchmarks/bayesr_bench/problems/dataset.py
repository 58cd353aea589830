"""The data set format of problems with a known posterior."""

from __future__ import annotations

import json
from typing import Any

import xarray as xr
from numpy.typing import NDArray

from bayesr.observe import ForwardOperator


def known_answers(
    low: NDArray[Any], high: NDArray[Any], probability: NDArray[Any], operator: ForwardOperator, card: dict[str, Any]
) -> xr.Dataset:
    """Return low-resolution images and their high-resolution candidates as a Dataset, which zarr and netCDF can store.

    Parameters
    ----------
    low : ndarray
        Low-resolution images, `scene x band x h x w`.
    high : ndarray
        Candidates, `scene x candidate x band x sh x sw`.
    probability : ndarray
        Probability of every candidate, `scene x candidate`; rows sum to one.
    operator : ForwardOperator
        Forward operator that makes `low` from `high`.
    card : dict
        Metadata as plain values: title, licence, seed, parameters.

    Returns
    -------
    Dataset
        ``low`` (scene, band, y_low, x_low), ``high`` (scene, candidate, band, y, x) and ``probability``
        (scene, candidate), with the card and the operator as attributes.
    """
    return xr.Dataset(
        {
            "low": (("scene", "band", "y_low", "x_low"), low, {"long_name": "observation"}),
            "high": (("scene", "candidate", "band", "y", "x"), high, {"long_name": "what may have been observed"}),
            "probability": (("scene", "candidate"), probability, {"units": "1", "long_name": "posterior probability"}),
        },
        attrs={"Conventions": "CF-1.11", "observation": json.dumps(operator.describe())} | card,
    )
