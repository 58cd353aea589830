"""The arguments of `bayesr.sample`: checked before any work, and completed by defaults.

`bayesr.product.arguments` checks each of them by itself.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import xarray as xr

from bayesr.errors import AmbiguousDimensions, BandMismatch, InvalidArgument, NotStochastic, VarianceNotSplit, warn
from bayesr.model.model import Model
from bayesr.networks.generator import Generator
from bayesr.product import DIMS, MASK_MEANS
from bayesr.product.arguments import check
from bayesr.product.stacks import RESERVED
from bayesr.sampling.plan import default_masks

_UNTILED = 320
"""Low-resolution side up to which an image is one tile."""
_TILE = 256


def check_options(**given: Any) -> dict[str, Any]:
    """Check the arguments of `bayesr.sample`, one by one and together, and return them as plain values.

    Raises
    ------
    InvalidArgument
        When one is of another kind or outside its range, contradicts another, or is given without a store.
    """
    checked = check(given)
    n, masks = checked["n"], checked["masks"]
    if masks is not None and n % masks:
        raise InvalidArgument(f"masks={masks} must divide n={n}; the default would be {default_masks(n)}.")
    if checked["store"] is None and any(checked[name] is not None for name in ("cluster", "keepbits", "shards")):
        raise InvalidArgument("cluster=, keepbits= and shards= are for products in a store: name one with store=.")
    return checked


def choose_masks(model: Model, n: int, masks: int | None, kernels: int = 1) -> int:
    """Return the number of dropout masks, each of which draws one of the kernels of a posterior.

    Raises
    ------
    NotStochastic
        When a point estimator is to draw several members.
    InvalidArgument
        When the model has fewer masks, or all members would have one of several kernels.
    """
    network = model.generator
    if n > 1 and not network.stochastic:
        raise NotStochastic(f"{model.name} is a point estimator, which has a single member: use n=1, or another model.")
    if masks is None:
        masks = _usual_masks(network, n, kernels)
    if network.max_masks and masks > network.max_masks:
        raise InvalidArgument(
            f"{model.name} has {network.max_masks} masks, one for each network, not {masks}: ask for fewer."
        )
    if masks == 1 < min(n, kernels):
        raise InvalidArgument(
            f"All {n} members would have one mask, so one kernel of the posterior of the forward operator, whose "
            f"uncertainty would not show: use masks={default_masks(n) if default_masks(n) > 1 else n}, or another n."
        )
    return masks


def warn_unsplit(model: Model, n: int, masks: int | None, variables: Collection[str]) -> None:
    """Warn where the default masks cannot split the variance that was asked for; `masks` are those given by the user.

    Two or three members cannot be split by any number of masks, so there is no advice to give.
    """
    network = model.generator
    splits = network.masked and network.latent_channels and network.max_masks != 1
    if masks is not None or n < 4 or not splits or {"aleatoric", "epistemic"}.isdisjoint(variables):
        return
    if default_masks(n, network.max_masks) == 1:  # n is odd then: the even numbers beside it work
        warn(
            f"{n} members cannot be divided among several dropout masks of several latents, so aleatoric and "
            f"epistemic are NaN. Draw n={n - 1} or n={n + 1} members, or leave both out with variables=.",
            VarianceNotSplit,
        )


def _usual_masks(network: Generator, n: int, kernels: int) -> int:
    if not network.masked and kernels == 1:
        return 1
    # Members that differ by masks alone have one each.
    return default_masks(n, network.max_masks) if network.latent_channels else n


def with_mask_means(variables: tuple[str, ...], masks: int, *, extendable: bool) -> tuple[str, ...]:
    """Return the variables to compute, with the means of several masks if `bayesr.extend` is to add members later."""
    return (*variables, MASK_MEANS) if extendable and masks > 1 else variables


def check_image(model: Model, array: xr.DataArray, n: int, level: float) -> None:
    """Check that a model takes an image, and reaches the level of the interval.

    Raises
    ------
    BandMismatch
        When the model takes another number of bands.
    AmbiguousDimensions
        When a leading axis has a name that a product uses.
    InvalidArgument
        When the calibration does not reach the level.
    """
    reserved = [dim for dim in array.dims[: -len(DIMS)] if dim in RESERVED]
    if reserved:
        raise AmbiguousDimensions(
            f"An axis of the image has the name {reserved[0]!r}, which a product uses: give it another one, as in "
            f"img.rename({reserved[0]}='scene')."
        )
    bands = array.sizes["band"]
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
    longest = int(max(array.shape[-2:]))
    return tile or (longest if longest <= _UNTILED else _TILE)


def choose_shards(array: xr.DataArray, tile: int, shards: bool | None) -> bool:
    """Return whether the files of a store are shards: as given, else where an image has several tiles."""
    return bool(max(array.shape[-2:]) > tile) if shards is None else shards
