"""The public function `components`: principal components of the members around their mean."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import psutil
import xarray as xr
from numpy.typing import NDArray

from bayesr import product
from bayesr.errors import InvalidArgument, InvalidProduct, TooLarge
from bayesr.files import temporary_folder
from bayesr.product import arguments
from bayesr.sampling.products import members_of, open_product, require_image

if TYPE_CHECKING:
    from bayesr.model.model import Model

_BLOCK, _SIDE = 2**23, 512
"""Largest number of values in a block of all members, and its longest side."""


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
    r"""Compute the k leading principal components of the members around their mean.

    With d_i the deviation of member i from the mean of all n, all its pixels in one vector, and
    ``sum_i d_i d_i^T / (n - 1) = sum_k s_k^2 u_k u_k^T``, |u_k| = 1:

    ``component_k = s_k u_k``,  ``member_i = mean + sum_k score_ik component_k``.

    A component is the change of the image for one standard deviation along it: show `mean` plus and minus two of it.
    All members reproduce the low-resolution image, so a component vanishes under the forward operator, A component = 0,
    except where members are clipped to the bounds of an integer type.

    Components tell most about a small region with many members, such as the place and shape of a spot, an edge or a
    letter in 16 to 32 pixels, with n = 128 or more. Distant pixels vary independently, so all n - 1 components of a
    large image have a share near 1/(n - 1), which only reflects that n is small. Cut the product,
    ``ds.isel(y=slice(0, 32), x=slice(0, 32))``, or give a `window`.

    Parameters
    ----------
    ds_or_img : Dataset, path, ndarray, Tensor, PIL image or DataArray
        A product of `bayesr.sample`, a part of it, or the path of its store; or a low-resolution image, which is
        sampled first.
    k : int
        Number of components, 1 to n - 1.
    img : path, ndarray, Tensor, PIL image or DataArray, optional
        The complete image that was sampled, to draw members that the product lacks; by default the copy in its store.
    window : (slice, slice), optional
        Rows and columns of high-resolution pixels to analyse.
    model : str, Path or Model, optional
        As in `bayesr.sample`. For a product, the model or its file, if it is neither bundled nor found under its
        recorded name.
    progress : bool, optional
        As in `bayesr.sample`.
    **options
        Further options of `bayesr.sample`, for an image.

    Returns
    -------
    Dataset
        - ``components(component, band, y, x)``, in the units of the image; the largest absolute value of each is
          positive;
        - ``mean(band, y, x)``, of the members;
        - ``share(component)``: share of the members' total variance, decreasing. All n - 1 shares sum to 1;
        - ``standard_deviation(component)``: s_k, in the units of the image, over all pixels;
        - ``score(realization, component)``, with mean 0 and variance 1 (ddof = 1) over members.

        Pixels without data are left out and NaN.

    Raises
    ------
    InvalidArgument
        When k lies outside 1 to n - 1, the window is empty, or for options of `sample` with a product.
    InvalidProduct
        When the product lacks its members and `img` is missing or another image, or all members are equal.
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
    window = arguments.window("window", window)
    arguments.check({"model": model, "progress": progress}, optional=("model",))
    options = arguments.check(options)
    ds = open_product(ds_or_img)
    if ds is None:
        _check_k(k, options.get("n", 32))
        if model is not None:
            options["model"] = model
        from bayesr.sampling.workflow import sample  # slow to import: torch, which a product does not need

        require_image(ds_or_img, options)
        ds = sample(ds_or_img, **({"variables": [product.SAMPLES], "progress": progress} | options))
    elif options:
        raise InvalidArgument(f"{', '.join(options)}: options of sample, but the product is drawn already.")
    if window is not None:
        ds = ds.isel(y=window[0], x=window[1])
    with temporary_folder() as folder:
        k = _check_k(k, ds.sizes.get("realization", ds.attrs.get("n")))
        members = members_of(ds, img, model, folder, progress)
        return _dataset(members, k, ds.attrs)


def _check_k(k: int, n: int | None) -> int:
    if n is None:  # a product that lost its attributes and its members, which `members_of` refuses
        return k
    expected = f"the number of components, a whole number between 1 and n - 1 = {n - 1} (for n members that differ)"
    return arguments.whole("k", k, expected, 1, n - 1)


def _check_size(k: int, shape: tuple[int, ...]) -> None:
    if 0 in shape:
        raise InvalidArgument(f"There are no pixels: (band, y, x) has the sizes {shape}. Choose a larger window.")
    needed, free = 4 * (k + 1) * int(np.prod(shape)), psutil.virtual_memory().available
    if needed > free:
        raise TooLarge(
            f"The components need {needed / 2**30:.1f} GiB of memory, and {free / 2**30:.1f} GiB are free: analyse a "
            "part, with window= or ds.isel(y=..., x=...), or fewer components."
        )


class _Components(NamedTuple):
    images: NDArray[np.floating]  # component x band x y x x
    mean: NDArray[np.floating]  # band x y x x
    share: NDArray[np.float64]  # component
    standard_deviation: NDArray[np.float64]  # component
    score: NDArray[np.float64]  # realization x component


def _compute(members: xr.DataArray, k: int) -> _Components:
    """Compute the components from the n x n matrix of products of deviations, in two passes over the members."""
    n, shape = members.sizes["realization"], tuple(members.sizes[dim] for dim in product.DIMS)
    _check_size(k, shape)
    gram = np.zeros((n, n))
    for _, deviations, _ in _blocks(members):
        gram += deviations @ deviations.T
    total = float(np.trace(gram))
    if not total > 0:
        raise InvalidProduct(
            "The members do not differ here, so there are no components: choose another window or product."
        )
    # Deviations sum to 0, so (1, ..., 1) is an eigenvector. Its eigenvalue becomes the smallest.
    values, vectors = np.linalg.eigh(gram - total / n)
    values, vectors = np.maximum(values[::-1][:k], 0), vectors[:, ::-1][:, :k]
    images: NDArray[np.floating] = np.empty((k, *shape), members.dtype)
    mean: NDArray[np.floating] = np.empty(shape, members.dtype)
    for where, deviations, middle in _blocks(members):
        size = middle.shape
        mean[where] = middle
        images[(slice(None), *where)] = (vectors.T @ deviations).reshape(k, *size) / np.sqrt(n - 1)
        images[(slice(None), *where)][:, np.isnan(middle)] = np.nan
    flat = images.reshape(k, -1)
    sign = np.array([np.sign(row[np.nanargmax(np.abs(row))]) or 1.0 for row in flat])
    flat *= sign[:, None].astype(flat.dtype)
    return _Components(images, mean, values / total, np.sqrt(values / (n - 1)), vectors * sign * np.sqrt(n - 1))


def _dataset(members: xr.DataArray, k: int, attributes: dict[str, Any]) -> xr.Dataset:
    found = _compute(members, k)
    attrs = {key: members.attrs[key] for key in ("units",) if key in members.attrs}
    if "spatial_ref" in members.coords:
        attrs["grid_mapping"] = "spatial_ref"

    def described(long_name: str, **others: str) -> dict[str, Any]:
        return {"long_name": long_name} | (others or attrs)

    variables = {
        "components": (
            ("component", *product.DIMS),
            found.images,
            described("change of the image for one standard deviation along the component"),
        ),
        "mean": (product.DIMS, found.mean, described("mean of the members")),
        "share": (
            "component",
            found.share,
            described(
                "share of the members' variance",
                units="1",
                comment=f"{1 / (members.sizes['realization'] - 1):.3g} if all components are equally important",
            ),
        ),
        "standard_deviation": (
            "component",
            found.standard_deviation,
            described("standard deviation of the members along the component"),
        ),
        "score": (
            ("realization", "component"),
            found.score,
            described("score of the member, in standard deviations", units="1"),
        ),
    }
    coords = {name: values.compute() for name, values in members.coords.items()} | {
        "component": ("component", np.arange(k, dtype=np.int32))
    }
    history = product.extended_history(attributes, f"components(k={k})")
    return xr.Dataset(variables, coords, attributes | {"history": history})


def _blocks(
    members: xr.DataArray,
) -> Iterator[tuple[tuple[int, slice, slice], NDArray[np.float64], NDArray[np.float64]]]:
    """Yield the position, the deviations ``n x pixels``, 0 where the mean is NaN, and the mean of each block."""
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


def _slices(size: int, chunks: tuple[int, ...] | None, longest: int) -> list[slice]:
    """Return slices of at most `longest` along an axis that cross no chunk boundary."""
    chunks = chunks or (size,)
    starts = [i for end, chunk in zip(np.cumsum(chunks), chunks, strict=True) for i in range(end - chunk, end, longest)]
    return [slice(int(a), int(b)) for a, b in pairwise([*starts, size])]
