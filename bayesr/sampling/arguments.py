"""The arguments of `bayesr.sample`: checked before any work, and completed by defaults."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from bayesr.errors import BandMismatch, InvalidArgument, NotStochastic
from bayesr.model.model import Model
from bayesr.networks.generator import Generator
from bayesr.sampling.plan import default_masks

_UNTILED = 320
"""Low-resolution side up to which an image is one tile."""
_TILE = 256


def check_options(n: int, masks: int | None, seed: int, level: float, tile: int | None) -> None:
    """Check the options that decide what is drawn.

    Raises
    ------
    InvalidArgument
        When an option is outside its range.
    """
    if not isinstance(n, int | np.integer) or n < 1:
        raise InvalidArgument(f"n must be a whole number of members, at least 1, not {n!r}.")
    if masks is not None and (masks < 1 or n % masks):
        raise InvalidArgument(f"masks={masks} must divide n={n}; the default would be {default_masks(n)}.")
    if not 0 < level < 1:
        raise InvalidArgument(f"level must lie between 0 and 1 (0.9 for a 90% interval), not {level!r}.")
    if not 0 <= seed < 2**64:
        raise InvalidArgument(f"seed must lie in [0, 2**64), not {seed!r}.")
    if tile is not None and tile < 1:
        raise InvalidArgument(f"tile must be at least 1 low-resolution pixel, not {tile!r}.")


def check_store_options(store: Any, cluster: Any, keepbits: int | None) -> None:
    """Check the options for stores.

    Raises
    ------
    InvalidArgument
        When an option is outside its range, or given without a store.
    """
    if keepbits is not None and not 1 <= keepbits <= 23:
        raise InvalidArgument(f"keepbits counts bits of a significand, 1 to 23, not {keepbits!r}.")
    if store is None and not (cluster is None and keepbits is None):
        raise InvalidArgument("cluster= and keepbits= are for products in a store: name one with store=.")


def choose_masks(model: Model, n: int, masks: int | None) -> int:
    """Return the number of dropout masks.

    Raises
    ------
    NotStochastic
        When a point estimator is to draw several members.
    InvalidArgument
        When the model has fewer masks.
    """
    network = model.generator
    if n > 1 and not network.stochastic:
        raise NotStochastic(f"{model.name} is a point estimator: n=1 is all it has. Use n=1 or another model.")
    if masks is None:
        masks = _usual_masks(network, n)
    if network.max_masks and masks > network.max_masks:
        raise InvalidArgument(f"{model.name} has {network.max_masks} masks, its networks, not {masks}: ask for fewer.")
    return int(masks)


def _usual_masks(network: Generator, n: int) -> int:
    if not network.masked:
        return 1
    # Members that differ by masks alone have one each.
    return default_masks(n, network.max_masks) if network.latent_channels else n


def check_image(model: Model, array: xr.DataArray, n: int, level: float) -> None:
    """Check that a model takes an image, and reaches the level of the interval.

    Raises
    ------
    BandMismatch
        When the model takes another number of bands.
    InvalidArgument
        When the calibration does not reach the level.
    """
    bands = array.shape[0]
    if model.bands not in (1, bands):
        raise BandMismatch(
            f"{model.name} takes {model.bands} bands at once and the image has {bands}. Give it {model.bands} "
            "bands (repeat a grey image with np.repeat(img[..., None], 3, axis=-1), drop an alpha band), or use a "
            "one-band model, which takes any number one by one."
        )
    if n > 1:
        model.calibration.half_width(level, n)


def choose_tile(array: xr.DataArray, tile: int | None) -> int:
    """Return the side of a tile: as given, all of a small image, or 256 low-resolution pixels."""
    longest = max(array.shape[1:])
    return tile or (longest if longest <= _UNTILED else _TILE)
