"""The main job: from anything that is an image to a product in memory or in a store, tile by tile."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from bayesr import images, product
from bayesr.errors import BandMismatch, InvalidArgument, NotStochastic, TooLarge
from bayesr.model.model import Model, load
from bayesr.progress import progress as show_progress
from bayesr.sampling import engine, replaying
from bayesr.sampling.job import MASK_MEANS, Job
from bayesr.sampling.members import Plan
from bayesr.sampling.request import Request, wanted
from bayesr.sampling.streaming import in_store
from bayesr.store.places import place_of

if TYPE_CHECKING:
    from distributed import Client
    from distributed.deploy.cluster import Cluster

_UNTILED = 320
"""Low-resolution side up to which an image is one tile."""
_TILE = 256


def default_masks(n: int, most: int | None = None) -> int:
    """The largest divisor of n that is at most 8 and at most n/2, and at most `most`; 1 for n = 1."""
    return max(k for k in range(1, max(1, min(most or 8, 8, n // 2)) + 1) if n % k == 0)


def sample(
    img: Any,
    n: int = 32,
    *,
    model: str | Path | Model = "natural-x4",
    seed: int = 0,
    masks: int | None = None,
    level: float = 0.9,
    keep_samples: bool | None = None,
    store: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    resume: bool = False,
    dims: Sequence[str] | None = None,
    nodata: float | None = None,
    value_range: tuple[float, float] | None = None,
    tile: int | None = None,
    device: str = "auto",
    cluster: int | str | Client | Cluster | None = None,
    variables: Sequence[str] | None = None,
    keepbits: int | None = None,
    progress: bool | None = None,
) -> xr.Dataset:
    r"""Draw n high-resolution members that all explain one low-resolution image, and describe them.

    ``x(z, m) = A+ y + P g(y, z, m)``: the observation's pseudo-inverse plus what a stochastic
    network puts in its null space, so that ``A x = y`` for every member.

    Parameters
    ----------
    img : path, ndarray, Tensor, PIL image or DataArray
        The low-resolution image: `y x x`, `y x x x band` or `band x y x x`. Paths: PNG, JPEG, WebP,
        TIFF (8, 16, 32 bits, float, OME, GeoTIFF), NetCDF, Zarr, also on object stores. With `store`,
        what can be read by window is never read whole: Zarr, NetCDF, tiled and plain TIFF, GeoTIFF, lazy DataArrays.
    n : int
        Members, at least 1.
    model : str, Path or Model
        A bundled name (see `bayesr.models`), a model file, or a loaded model.
    seed : int
        In [0, 2**64). Equal seeds give equal members.
    masks : int, optional
        Dropout masks; divides n. By default the largest divisor of n that is at most 8 and at most
        n/2. Member i uses mask ``i % masks``.
    level : float
        Of the interval [`lower`, `upper`], in (0, 1).
    keep_samples : bool, optional
        Keep the members themselves. By default they are kept in memory and left out of a store.
    store : path or URL, optional
        Write the product to this Zarr store, tile by tile, and return it opened lazily. Memory then does not
        grow with the image. URLs are fsspec's, such as ``"s3://bucket/name.zarr"``. The store holds a copy of the
        image, so that `bayesr.extend` and `bayesr.check` need nothing else.
    overwrite, resume : bool
        Replace a store that is there, or go on with an unfinished one: tiles that are done stay as they are.
    dims : sequence of str, optional
        Names of the axes, such as ``("y", "x", "band")`` or ``"yxb"``, where they are ambiguous.
    nodata : float, optional
        The value of missing pixels, if the image does not declare it itself; they are NaN in the product.
    value_range : (float, float), optional
        Input values that the network sees as 0 and 1. By default 0..255 for uint8 and the image's
        own range else. It scales and never clips.
    tile : int, optional
        Side of a tile in low-resolution pixels, by default 256 where the image is larger than 320. The members do
        not depend on it. A tile is drawn from its pixels and a halo about them that the model declares; in a store it
        is a shard.
    device : str
        ``"auto"`` takes CUDA where there is one, else the CPU. ``"openvino"`` runs the network on the CPU
        in OpenVINO (``pip install 'bayesr[engine]'``): equal members to 1e-4 of the value range.
    cluster : int, str, Client or cluster, optional
        Who draws the tiles of a store: so many local processes of one thread each, or the workers of a
        dask.distributed cluster (``"tcp://host:8786"``, a ``distributed.Client``, a cluster object). They must
        reach `store`.
    variables : sequence of str, optional
        The product's variables that are wanted, all by default. A store that holds all of them can be extended.
    keepbits : int, optional
        Of the 23 explicit bits of a significand, how many a store keeps of all variables but ``samples``, 1 to 23: 10
        keep a relative error of 0.05% and take about half the space. By default all.
    progress : bool, optional
        True shows a bar, or plain lines where there is no terminal; None a bar on a terminal only.

    Returns
    -------
    Dataset
        ``mean``, ``variance``, ``std``, ``aleatoric``, ``epistemic``, ``calibration``, ``lower``, ``upper``
        over ``(band, y, x)`` and ``samples`` over ``(realization, band, y, x)``, float32, in the units of
        the input (``variance``, ``aleatoric``, ``epistemic`` in their square, ``calibration`` without).

        With ``m_k``, ``s_k^2`` the mean and the variance (ddof = 1) over the L latents of
        mask k: aleatoric = mean s_k^2; raw variance = (1 - 1/L) mean s_k^2 + var(m_k), unbiased;
        epistemic = raw variance - aleatoric, unbiased and so perhaps slightly negative; variance =
        calibration^2 * raw variance; lower, upper = mean -+ lambda(level, n) * std, widened by
        half a quantisation step for integer images. With one mask or one latent a mask, aleatoric and
        epistemic are NaN; with n = 1, variance is too.

    Raises
    ------
    BayesrError
        One of its children, before any work, for every input that cannot be handled. The message
        says what to do.

    Warns
    -----
    TilesDiffer
        When a model that sees all of an image, as by attention, has to draw it tile by tile.
    UnfamiliarInput
        When the image is unlike those that the model was calibrated on: blurred, with JPEG blocks,
        noisy, on another scale of intensity, or of unfamiliar texture. Intervals need not hold
        then. The attribute ``input_check`` keeps the verdict, and
        ``warnings.simplefilter("ignore", bayesr.errors.UnfamiliarInput)`` silences it.

    Examples
    --------
    >>> import bayesr, numpy as np
    >>> ds = bayesr.sample(np.zeros((8, 8, 3), np.uint8), n=4)
    >>> ds["mean"].sizes["x"]
    32
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
    if keepbits is not None and not 1 <= keepbits <= 23:
        raise InvalidArgument(f"keepbits counts bits of a significand, 1 to 23, not {keepbits!r}.")
    if store is None and (cluster, keepbits) != (None, None):
        raise InvalidArgument("cluster= and keepbits= are for products in a store: name one with store=.")
    chosen = wanted(variables, keep_samples, in_memory=store is None)
    network = load(model)
    net = network.generator
    device = engine.resolved(device)
    if n > 1 and not net.stochastic:
        raise NotStochastic(f"{network.name} is a point estimator: n=1 is all it has. Use n=1 or another model.")
    if masks is None:  # where masks are all that is random, every member has its own
        masks = (default_masks(n, net.max_masks) if net.latent_channels else n) if net.masked else 1
    if net.max_masks and masks > net.max_masks:
        raise InvalidArgument(f"{network.name} has {net.max_masks} masks, its networks, not {masks}: ask for fewer.")
    array = images.source(img, dims)
    bands, height, width = array.shape
    if network.bands not in (1, bands):
        raise BandMismatch(
            f"{network.name} takes {network.bands} bands at once and the image has {bands}. Give it {network.bands} "
            "bands (repeat a grey image with np.repeat(img[..., None], 3, axis=-1), drop an alpha band), or use a "
            "one-band model, which takes any number one by one."
        )
    if n > 1:
        network.calibration.half_width(level, n)  # a level that it does not reach is refused here
    size = tile or (max(height, width) if max(height, width) <= _UNTILED else _TILE)
    plan = Plan(int(n), int(masks), int(seed), size)
    if masks > 1 and store is not None and variables is None:
        chosen = (*chosen, MASK_MEANS)
    asked = Request(network, array, plan, device, level, chosen, {"nodata": nodata, "value_range": value_range}, dims)
    if store is None:
        return _in_memory(asked, progress)
    return in_store(asked, place_of(store), overwrite, resume, keepbits, cluster, progress)


def replay(ds: xr.Dataset, i: int, img: Any, *, model: str | Path | Model | None = None) -> xr.DataArray:
    """Draw member `i` of a finished product again.

    Bit for bit on the same machine with the same versions, to 1e-5 of the value range elsewhere.

    Parameters
    ----------
    ds : Dataset
        A product of `bayesr.sample`, in memory or opened from its store.
    i : int
        The member, 0 to n - 1.
    img : path, ndarray, Tensor, PIL image or DataArray
        The image that was sampled. Its checksum is compared with the recorded one.
    model : str, Path or Model, optional
        Where the model lies, if not under its recorded name.

    Returns
    -------
    DataArray
        ``(band, y, x)``, float32.

    Raises
    ------
    InvalidProduct
        When the attributes are not a product's, or the image or the model is another one.
    InvalidArgument
        When there is no member `i`.
    EngineUnavailable
        When the product was drawn in OpenVINO, which is not installed here.
    """
    recorded = {name: product.attribute(ds, name) for name in ("n", "masks", "seed", "engine")}
    n = int(recorded["n"])
    if not 0 <= i < n:
        raise InvalidArgument(f"There is no member {i}: the product has members 0 to {n - 1}.")
    ran = json.loads(recorded["engine"])
    network = replaying.network_of(ds, model)
    image = replaying.image_of(ds, img)
    plan = Plan(n, int(recorded["masks"]), int(recorded["seed"]), ran["tile"])
    job = Job(network, image, plan, engine.resolved(ran["device"]), 0.5, ())
    frame = product.frame(image.data, network.scale)
    out = np.empty((frame.bands, frame.y.size, frame.x.size), np.float32)
    for tile in job.tiles():
        out[(slice(None), *tile.high(network.scale))] = job.member(i, tile)
    return xr.DataArray(out, dims=product.DIMS, coords=frame.coords, name="samples").assign_coords(realization=i)


def _in_memory(asked: Request, progress: bool | None) -> xr.Dataset:
    image = images.survey(images.loaded(asked.array), **asked.reading)
    attributes = asked.attributes(image)
    _check_memory(asked.bytes)
    job, plan = asked.job(image), asked.plan
    frame = product.frame(image.data, asked.network.scale)
    regions = list(job.tiles())
    with show_progress("sampling", plan.n * len(regions), progress) as advance:
        if len(regions) == 1:
            return product.dataset(frame, job.draw(regions[0], advance), attributes, plan.n, plan.masks)
        shape = (frame.bands, frame.y.size, frame.x.size)
        lead = {"samples": (plan.n,)}
        whole = {name: np.empty((*lead.get(name, ()), *shape), np.float32) for name in asked.variables}
        for region in regions:
            for name, values in job.draw(region, advance).items():
                whole[name][(..., *region.high(asked.network.scale))] = values
    return product.dataset(frame, whole, attributes, plan.n, plan.masks)


def _check_memory(needed: int) -> None:
    import psutil

    free = psutil.virtual_memory().available
    if needed > free:
        raise TooLarge(
            f"The result takes {needed / 2**30:.1f} GiB and {free / 2**30:.1f} GiB of memory are free: give store= to "
            "write it tile by tile, keep_samples=False, or a smaller n."
        )
