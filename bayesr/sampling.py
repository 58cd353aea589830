"""The main job: from anything that is an image to a product in memory or in a store, tile by tile."""

from __future__ import annotations

import datetime
import json
import math
import os
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

import bayesr
from bayesr import engine, images, product, redraw
from bayesr import store as stores
from bayesr.errors import BandMismatch, InvalidArgument, NotStochastic, TilesDiffer, TooLarge
from bayesr.grid import Tile, tiles
from bayesr.members import Drawn, Plan, draw, members_of
from bayesr.model import Model, load
from bayesr.progress import progress as show_progress

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
    progress: bool | None = None,
) -> xr.Dataset:
    r"""Draw n high-resolution members that all explain one low-resolution image, and describe them.

    ``x(z, m) = A+ y + P g(y, z, m)``: the observation's pseudo-inverse plus what a stochastic
    network puts in its null space, so that ``A x = y`` for every member.

    Parameters
    ----------
    img : path, ndarray, Tensor, PIL image or DataArray
        The low-resolution image: `y x x`, `y x x x band` or `band x y x x`. Paths: PNG, JPEG, WebP,
        TIFF (8, 16, 32 bits, float, OME, GeoTIFF), NetCDF, Zarr.
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
    store : path, optional
        Write the product to this Zarr store, tile by tile, and return it opened lazily.
    overwrite, resume : bool
        Replace a store that is there, or go on with an unfinished one.
    dims : sequence of str, optional
        Names of the axes, such as ``("y", "x", "band")`` or ``"yxb"``, where they are ambiguous.
    nodata : float, optional
        The value of missing pixels, if the image does not declare it itself; they are NaN in the product.
    value_range : (float, float), optional
        Input values that the network sees as 0 and 1. By default 0..255 for uint8 and the image's
        own range else. It scales and never clips.
    tile : int, optional
        Side of a tile in low-resolution pixels. The members do not depend on it.
    device : str
        ``"auto"`` takes CUDA where there is one, else the CPU. ``"openvino"`` runs the network on the CPU
        in OpenVINO (``pip install 'bayesr[engine]'``): equal members to 1e-4 of the value range.
    progress : bool, optional
        True shows a bar, or plain lines where there is no terminal; None a bar on a terminal only.

    Returns
    -------
    Dataset
        ``mean``, ``variance``, ``std``, ``aleatoric``, ``epistemic``, ``calibration``, ``lower``, ``upper``
        over ``(band, y, x)`` and ``samples`` over ``(realization, band, y, x)``, float32, in the units of
        the input (``variance``, ``aleatoric``, ``epistemic`` in their square, ``calibration`` without).

        With :math:`m_k`, :math:`s_k^2` the mean and the variance (ddof = 1) over the L latents of
        mask k: aleatoric = mean s_k^2; raw variance = (1 - 1/L) mean s_k^2 + var(m_k), unbiased;
        epistemic = raw variance - aleatoric, unbiased and so perhaps slightly negative; variance =
        calibration^2 * raw variance; lower, upper = mean -+ lambda(level, n) * std, widened by
        half a quantum for integer images. With one mask or one latent a mask, aleatoric and
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
    network, where = engine.place(load(model), device)
    net = network.generator
    if n > 1 and not net.stochastic:
        raise NotStochastic(f"{network.name} is a point estimator: n=1 is all it has. Use n=1 or another model.")
    if masks is None:  # where masks are all that is random, every member has its own
        masks = (default_masks(n, net.most_masks) if net.latent_channels else n) if net.masked else 1
    if net.most_masks and masks > net.most_masks:
        raise InvalidArgument(f"{network.name} has {net.most_masks} masks, its networks, not {masks}: ask for fewer.")
    image = images.read(img, dims=dims, nodata=nodata, value_range=value_range)
    bands, height, width = image.data.shape
    if network.bands not in (1, bands):
        raise BandMismatch(
            f"{network.name} takes {network.bands} bands at once and the image has {bands}. Give it {network.bands} "
            "bands (repeat a grey image with np.repeat(img[..., None], 3, axis=-1), drop an alpha band), or use a "
            "one-band model, which takes any number one by one."
        )
    half_width = network.calibration.half_width(level, n) if n > 1 else math.nan
    keep = (store is None) if keep_samples is None else keep_samples
    size = tile or (max(height, width) if max(height, width) <= _UNTILED else _TILE)
    plan = Plan(int(n), int(masks), int(seed), size, where)
    scale = network.scale
    frame = product.frame(image.data, scale)
    how = {"dims": None if dims is None else list(dims), "nodata": nodata}
    pixels = image.scaled()
    verdict = network.check(pixels)
    attributes = _attributes(network, image, plan, level) | {"input": json.dumps(how), "input_check": str(verdict)}
    needed = 4 * scale**2 * bands * height * width * (len(product.VARIABLES) + keep * n)

    verdict.warn(network.name)
    if not network.promises["one_image"] and size < max(height, width):
        warnings.warn(
            f"{network.name} sees all of an image, and {height} x {width} pixels are drawn in tiles of {size}: members "
            f"depend on where tiles lie. Give tile={max(height, width)} if memory allows, or use a model that keeps "
            "the promise 'one_image'.",
            TilesDiffer,
            stacklevel=2,
        )
    low = torch.from_numpy(pixels).to(plan.device)
    regions = list(tiles(height, width, size, network.halo, net.multiple))

    def finished(tile: Tile, advance: Callable[[float], None]) -> dict[str, NDArray[np.float32]]:
        drawn = draw(network, low, image, tile, plan, keep, advance)
        return _describe(drawn, network, image, tile, half_width)

    if store is None:
        _check_memory(needed)
        with show_progress("sampling", n * len(regions), progress) as advance:
            if len(regions) == 1:
                return product.dataset(frame, finished(regions[0], advance), attributes, n, masks)
            whole = {
                name: np.empty(((n,) if name == "samples" else ()) + (bands, scale * height, scale * width), np.float32)
                for name in (*product.VARIABLES, *(("samples",) if keep else ()))
            }
            for region in regions:
                for name, values in finished(region, advance).items():
                    whole[name][(..., *region.high(scale))] = values
        return product.dataset(frame, whole, attributes, n, masks)

    path = Path(store)
    stores.check(path, needed, overwrite=overwrite, resume=resume)
    if resume:
        target = stores.Store.resume(path, attributes)
    else:
        target = stores.Store.create(
            path, _template(frame, attributes, plan, keep), scale * size, (scale * height, scale * width), overwrite
        )
    with show_progress("sampling", n * len(regions), progress) as advance:
        for region in regions:
            if target.is_done(region, size):
                advance(n)
            else:
                target.write(region, size, scale, finished(region, advance))
    return target.finish()


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
    network, device = engine.place(redraw.network_of(ds, model), ran["device"])
    image = redraw.image_of(ds, img)
    plan = Plan(n, int(recorded["masks"]), int(recorded["seed"]), ran["tile"], device)
    bands, height, width = image.data.shape
    low = _on_device(image, plan.device)
    out = np.empty((bands, network.scale * height, network.scale * width), np.float32)
    for region in tiles(height, width, plan.tile, network.halo, network.generator.multiple):
        for band in range(0, bands, network.bands):
            part = slice(band, band + network.bands)
            for members, x in members_of(network, low[part], image, region, plan, only=i):
                where = (slice(None), *region.crop(network.scale))
                out[(part, *region.high(network.scale))] = image.to_units(x[members.index(i)][where].cpu().numpy())
    if image.missing is not None:
        out[:, image.missing.repeat(network.scale, 0).repeat(network.scale, 1)] = np.nan
    frame = product.frame(image.data, network.scale)
    return xr.DataArray(out, dims=product.DIMS, coords=frame.coords, name="samples").assign_coords(realization=i)


# -- describing ------------------------------------------------------------------------------


def _describe(
    drawn: Drawn, network: Model, image: images.Image, tile: Tile, half_width: float
) -> dict[str, NDArray[np.float32]]:
    """The product's variables on a tile, in the units of the input; NaN where the input has no data."""
    width = image.value_range[1] - image.value_range[0]
    square = np.float32(width**2)
    raw_std = np.sqrt(drawn.raw)
    factor = network.calibration.factors(raw_std)
    std = factor * raw_std * np.float32(width)
    mean = image.to_units(drawn.mean)
    reach = np.float32(half_width) * std + np.float32(0 if image.bounds is None else 0.5)
    lower, upper = mean - reach, mean + reach
    if image.bounds is not None:
        np.maximum(lower, np.float32(image.bounds[0]), out=lower)
        np.minimum(upper, np.float32(image.bounds[1]), out=upper)
    arrays = {
        "mean": mean,
        "variance": std * std,
        "std": std,
        "aleatoric": drawn.aleatoric * square,
        "epistemic": (drawn.raw - drawn.aleatoric) * square,
        "calibration": factor,
        "lower": lower,
        "upper": upper,
    }
    if drawn.samples is not None:
        arrays["samples"] = image.to_units(drawn.samples)
    if image.missing is not None:
        top, bottom, left, right = tile.core
        hole = image.missing[top:bottom, left:right].repeat(network.scale, 0).repeat(network.scale, 1)
        for values in arrays.values():
            values[..., hole] = np.nan
    return arrays


def _attributes(network: Model, image: images.Image, plan: Plan, level: float) -> dict[str, Any]:
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    ran = {"tile": plan.tile} | engine.describe(network.generator, plan.device)
    return {
        "history": f"{now} bayesr {bayesr.__version__}: sample(n={plan.n}, model={network.name}, seed={plan.seed})",
        "bayesr_version": bayesr.__version__,
        "model": network.name,
        "model_sha256": network.sha256,
        "input_sha256": image.sha256,
        "scale": network.scale,
        "n": plan.n,
        "masks": plan.masks,
        "seed": plan.seed,
        "level": level,
        "value_range": list(image.value_range),
        "quantum": 0.0 if image.bounds is None else 1.0,
        "observation": json.dumps(network.observation.describe()),
        "engine": json.dumps(ran),
        "calibration_source": network.calibration.source,
    }


def _template(frame: product.Frame, attributes: dict[str, Any], plan: Plan, keep: bool) -> xr.Dataset:
    import dask.array

    shape = (frame.bands, frame.y.size, frame.x.size)
    arrays: dict[str, Any] = {name: dask.array.zeros(shape, dtype=np.float32, chunks=-1) for name in product.VARIABLES}
    if keep:
        arrays["samples"] = dask.array.zeros((plan.n, *shape), dtype=np.float32, chunks=-1)
    return product.dataset(frame, arrays, attributes, plan.n, plan.masks)


# -- machine ---------------------------------------------------------------------------------


def _on_device(image: images.Image, device: torch.device) -> Tensor:
    return torch.from_numpy(image.scaled()).to(device)


def _check_memory(needed: int) -> None:
    import psutil

    free = psutil.virtual_memory().available
    if needed > free:
        raise TooLarge(
            f"The result takes {needed / 2**30:.1f} GiB and {free / 2**30:.1f} GiB of memory are free: give store= to "
            "write it tile by tile, keep_samples=False, or a smaller n."
        )
