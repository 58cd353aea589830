"""The few ways in which the answer can vary: principal components of the members around their mean."""

from __future__ import annotations

import datetime
import tempfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
import xarray as xr
from numpy.typing import NDArray

from bayesr import product
from bayesr.errors import InvalidArgument, InvalidProduct, TooLarge
from bayesr.sampling import replaying
from bayesr.version import __version__

if TYPE_CHECKING:
    from bayesr.model.model import Model

_BLOCK, _SIDE = 2**23, 512
"""Values of all members that are in memory at once, and the longest side of a block."""


def components(
    ds_or_img: Any,
    k: int = 4,
    *,
    img: Any = None,
    window: tuple[slice, slice] | None = None,
    model: str | Path | Model | None = None,
    progress: bool | None = None,
    **options: Any,
) -> xr.Dataset:
    r"""Find the k leading principal components of the members around their mean.

    With d_i the deviation of member i from the mean of all n, all its pixels in one vector, and
    ``sum_i d_i d_i^T / (n - 1) = sum_k s_k^2 u_k u_k^T``, |u_k| = 1:

    ``component_k = s_k u_k``,  ``member_i = mean + sum_k score_ik component_k``.

    So a component is the change of the image for one standard deviation along it: look at `mean`
    plus and minus two of it. Members share what the low-resolution image tells, so that the
    observation does not see a component: A component = 0 (but for members held inside an integer
    type's bounds).

    Components of a small region and many members say most: the place and shape of a spot, an edge, a
    letter in 16 to 32 pixels, from n = 128 or more. Distant pixels vary independently, so that over a
    big image all n - 1 directions have much the same share, 1/(n - 1), which only says that n is
    small. Cut the product, ``ds.isel(y=slice(0, 32), x=slice(0, 32))``, or give a `window`.

    Parameters
    ----------
    ds_or_img : Dataset, path, ndarray, Tensor, PIL image or DataArray
        A product of `bayesr.sample`, or a part of it, or the path of its store; or a low-resolution
        image, which is sampled first.
    k : int
        Components, 1 to n - 1.
    img : path, ndarray, Tensor, PIL image or DataArray, optional
        The image that was sampled, whole, from which members that the product does not hold are
        drawn again.
    window : (slice, slice), optional
        The part to look at: rows and columns of high-resolution pixels.
    model, progress
        As in `bayesr.sample`; with a product, where the model lies if not under its recorded name.
    **options
        Others of `bayesr.sample`, for an image.

    Returns
    -------
    Dataset
        - ``components(component, band, y, x)``, float32, in the units of the image; its largest
          absolute value is positive;
        - ``mean(band, y, x)``, float32: the mean of the members;
        - ``share(component)``: of the members' total variance, decreasing; k = n - 1 sum to 1;
        - ``standard_deviation(component)``: s_k, in the units of the image, over all pixels;
        - ``score(realization, component)``: where each member stands, of mean 0 and variance 1 (ddof = 1).

        Pixels without data are left out and NaN.

    Raises
    ------
    InvalidArgument
        For k outside 1 to n - 1, an empty window, or options of `sample` with a product.
    InvalidProduct
        When the product lacks its members and `img` is not given or another one, or members do
        not differ.
    TooLarge
        When the components do not fit in memory.

    Examples
    --------
    >>> import bayesr, numpy as np
    >>> low = np.random.default_rng(0).integers(0, 255, (8, 8, 3), dtype=np.uint8)
    >>> found = bayesr.components(low, k=2, n=4)
    >>> found["components"].sizes["component"]
    2
    """
    ds = replaying.product_in(ds_or_img)
    if ds is None:
        _check_k(k, options.get("n", 32))
        if model is not None:
            options["model"] = model
        from bayesr.sampling.workflow import sample  # slow to import: torch, which a product does not need

        ds = sample(ds_or_img, **({"keep_samples": True, "progress": progress} | options))
    elif options:
        raise InvalidArgument(f"{', '.join(options)}: options of sample, and the product is drawn already.")
    if window is not None:
        ds = ds.isel(y=window[0], x=window[1])
    with tempfile.TemporaryDirectory() as folder:
        _check_k(k, ds.sizes.get("realization", ds.attrs.get("n", k + 1)))
        members = replaying.members(ds, img, model, Path(folder), progress)
        return _dataset(members, k, ds.attrs)


def _check_k(k: int, n: int) -> None:
    if not isinstance(k, int | np.integer) or not 1 <= k < n:
        raise InvalidArgument(
            f"k must be a whole number of components, 1 to n - 1 = {n - 1} (of members that differ), not {k!r}."
        )


def _dataset(members: xr.DataArray, k: int, attributes: dict[str, Any]) -> xr.Dataset:
    n, shape = members.sizes["realization"], tuple(members.sizes[dim] for dim in product.DIMS)
    if 0 in shape:
        raise InvalidArgument(f"There are no pixels: (band, y, x) has the sizes {shape}. Choose a larger window.")
    needed, free = 4 * (k + 1) * int(np.prod(shape)), psutil.virtual_memory().available
    if needed > free:
        raise TooLarge(
            f"The components take {needed / 2**30:.1f} GiB and {free / 2**30:.1f} GiB of memory are free: look at a "
            "part, with window= or ds.isel(y=..., x=...), or at fewer components."
        )
    gram = np.zeros((n, n))
    for _, deviations, _ in _blocks(members):
        gram += deviations @ deviations.T
    total = float(np.trace(gram))
    if not total > 0:
        raise InvalidProduct("The members do not differ here, so there is no way in which the answer varies.")
    # Deviations sum to 0, so that (1, ..., 1) is an eigenvector; it is put behind all others.
    values, vectors = np.linalg.eigh(gram - total / n)
    values, vectors = np.maximum(values[::-1][:k], 0), vectors[:, ::-1][:, :k]
    images = np.empty((k, *shape), np.float32)
    mean = np.empty(shape, np.float32)
    for where, deviations, middle in _blocks(members):
        size = middle.shape
        mean[where] = middle
        images[(slice(None), *where)] = (vectors.T @ deviations).reshape(k, *size) / np.sqrt(n - 1)
        images[(slice(None), *where)][:, np.isnan(middle)] = np.nan
    flat = images.reshape(k, -1)
    sign = np.array([np.sign(row[np.nanargmax(np.abs(row))]) or 1.0 for row in flat])
    flat *= sign[:, None].astype(np.float32)
    attrs = {key: members.attrs[key] for key in ("units",) if key in members.attrs}
    if "spatial_ref" in members.coords:
        attrs["grid_mapping"] = "spatial_ref"

    def described(long_name: str, **others: str) -> dict[str, Any]:
        return {"long_name": long_name} | (others or attrs)

    variables = {
        "components": (("component", *product.DIMS), images, described("change for one standard deviation along it")),
        "mean": (product.DIMS, mean, described("mean of the members")),
        "share": (
            "component",
            values / total,
            described("share of the members' variance", units="1", comment=f"{1 / (n - 1):.3g} where none stands out"),
        ),
        "standard_deviation": (
            "component",
            np.sqrt(values / (n - 1)),
            described("standard deviation of the members along it"),
        ),
        "score": (
            ("realization", "component"),
            vectors * sign * np.sqrt(n - 1),
            described("place of the member along it, in standard deviations", units="1"),
        ),
    }
    coords = {name: values.compute() for name, values in members.coords.items()} | {
        "component": ("component", np.arange(k, dtype=np.int32))
    }
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    history = [attributes.get("history"), f"{now} bayesr {__version__}: components(k={k})"]
    return xr.Dataset(variables, coords, attributes | {"history": "\n".join(filter(None, history))})


def _blocks(
    members: xr.DataArray,
) -> Iterator[tuple[tuple[int, slice, slice], NDArray[np.float64], NDArray[np.float64]]]:
    """(where, deviations, mean) of blocks, each read once: deviations `n x pixels`, 0 where the mean is NaN."""
    n, chunks = members.sizes["realization"], members.variable.chunksizes
    rows = max(1, _BLOCK // (n * _SIDE))
    for band in range(members.sizes["band"]):
        for y in _slices(members.sizes["y"], chunks.get("y"), rows):
            for x in _slices(members.sizes["x"], chunks.get("x"), _SIDE):
                block = members.isel(band=band, y=y, x=x).to_numpy().astype(np.float64)
                mean: NDArray[np.float64] = block.mean(0)
                block -= mean
                block[:, np.isnan(mean)] = 0
                yield (band, y, x), block.reshape(n, -1), mean


def _slices(size: int, chunks: tuple[int, ...] | None, most: int) -> list[slice]:
    """Slices along an axis, no longer than `most`, none across two chunks."""
    chunks = chunks or (size,)
    starts = [i for end, chunk in zip(np.cumsum(chunks), chunks, strict=True) for i in range(end - chunk, end, most)]
    return [slice(int(a), int(b)) for a, b in pairwise([*starts, size])]
