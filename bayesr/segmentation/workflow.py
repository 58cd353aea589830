"""The public function ``segment``."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayesr import images, product
from bayesr.errors import BandMismatch, InvalidArgument, InvalidProduct, SegmenterFailed
from bayesr.files import temporary_folder
from bayesr.model.model import Model
from bayesr.product import arguments
from bayesr.progress import progress as show_progress
from bayesr.sampling.products import members_of, open_product, product_of
from bayesr.segmentation.adapters import Segment, adapt
from bayesr.segmentation.cache import SegmentationCache
from bayesr.segmentation.description import dataset
from bayesr.segmentation.objects import Objects
from bayesr.segmentation.reduction import Agreement
from bayesr.segmentation.segmenter import Segmentation
from bayesr.store import places
from bayesr.store.places import place_of

Frame = Callable[[int], NDArray[np.float32]]
"""Returns the i-th image to segment, `band x y x x`."""


def segment(
    ds_or_img: Any,
    segmenter: Any = "nuclei",
    *,
    img: Any = None,
    level: float = 0.9,
    threshold: float = 0.5,
    overlap: float = 0.5,
    smallest: int = 0,
    logits: bool = False,
    keep_members: bool = False,
    store: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    resume: bool = False,
    model: str | Path | Model | None = None,
    progress: bool | None = None,
    **options: Any,
) -> xr.Dataset:
    r"""Segment every member of a product and measure the uncertainty of masks and objects.

    With p_i the foreground probability of a pixel in member i of n, and H(p) = -p log p - (1 - p) log(1 - p):

    ``probability = mean_i p_i``, ``entropy = H(probability)``, ``mutual_information = entropy - mean_i H(p_i)``.

    The mutual information measures the disagreement of members, which a higher resolution would resolve; the rest of
    the entropy is the uncertainty of the segmenter. Objects are matched across members by overlap. Members are read
    from the store or drawn again one at a time, and are never all in memory.

    Parameters
    ----------
    ds_or_img : Dataset, path, ndarray, Tensor, PIL image or DataArray
        A product of `bayesr.sample`, a part of it, or the path of its store; or an image to sample first.
    segmenter : str, Path, Segmenter, torch.nn.Module or callable
        - ``"nuclei"``, which is bundled, or the file of a segmenter from `bayesr.segmentation.fit.fit`;
        - ``"otsu"`` or ``"watershed"``, which need no training (`bayesr.segmentation.classical`);
        - a torch module of ``1 x band x y x x``, scaled to [0, 1] by `value_range`. A copy runs in evaluation mode;
        - a function of ``band x y x x``, in the units and of the type of the product.

        It returns an array of the size ``y x x`` of its input: probabilities in [0, 1], a boolean mask, or integer
        labels of objects with 0 as background; the pair (probabilities, labels); or probabilities ``class x y x x``
        that sum to 1, without objects. A segmenter with the inputs ("mean", "std") gets these variables once, instead
        of members.
    img : path, ndarray, Tensor, PIL image or DataArray, optional
        The image that was sampled, from which missing members are drawn again; by default the copy in its store.
    level : float
        Level of intervals, in (0, 1).
    threshold : float
        Probability from which a pixel belongs to `mask` and, without labels, to an object.
    overlap : float
        Intersection over union, in (0, 1), above which a region of a member is matched with an object.
    smallest : int
        Regions with fewer pixels are not objects.
    logits : bool
        Whether the segmenter returns logits.
    keep_members : bool
        Whether to keep ``member_probability`` and ``member_labels``.
    store : path, optional
        Zarr store of the result. Members are written one by one; after a failure, `resume` continues from there.
    overwrite, resume : bool
        Replace an existing store, or resume it.
    model, progress
        See `bayesr.sample`. For a product, `model` is needed only if it is neither bundled nor found under its
        recorded name.
    **options
        Options of `bayesr.sample` for an image: ``n``, ``seed``, ``dims``, ...

    Returns
    -------
    Dataset
        Maps ``(y, x)``, or ``(class, y, x)`` for a segmenter of classes:

        - ``probability``, float32 in [0, 1]; NaN in pixels without data, as for the next two;
        - ``entropy``, ``mutual_information``: in nats, 0 to log 2 (or log of the number of classes);
        - ``mask``, uint8: 1 if the probability reaches `threshold`; for classes, the most probable one;
        - ``labels``, int32: number of the object, for objects that at least half of the members detect.

        Variables over ``object``, numbered from 1: every object that any member detects:

        - ``existence``: fraction of members that detect it, in [0, 1];
        - ``area``, ``area_lower``, ``area_upper``: in high-resolution pixels, over these members;
        - ``intensity(object, band)`` and its bounds: mean of the member over the object, in the image's units;
        - ``centre_y``, ``centre_x``: coordinates of its centre;
        - ``member_area(realization, object)``, ``member_intensity(realization, object, band)``: NaN where not detected.

        ``count``, ``count_lower``, ``count_upper`` and ``member_count(realization)``: the number of objects. An
        interval contains one more member with probability `level`. Images of known truth can conformalise intervals
        (`bayesr.segmentation.conformal`).

    Warns
    -----
    ObjectsNotSeparated
        If the segmenter returns integers with a single label, such as 0 and 255, for several regions: they are one
        object. Once for a call.

    Raises
    ------
    InvalidArgument
        If level, threshold or overlap are out of range, or the segmenter or an argument is of another kind.
    SegmenterFailed
        If the segmenter fails, or returns another size, NaN, or no probabilities. The message names the member.
    InvalidProduct
        If members are missing and `img` is not given or not the image that was sampled.
    BandMismatch
        If a trained segmenter takes another number of bands.
    StoreExists, StoreFailed
        If the store cannot be used.

    References
    ----------
    N. Houlsby et al., "Bayesian active learning for classification and preference learning", 2011, arXiv:1112.5745.

    Examples
    --------
    >>> import bayesr, numpy as np
    >>> y, x = np.mgrid[:16, :16]
    >>> spot = (200 * np.exp(-((y - 8) ** 2 + (x - 8) ** 2) / 18)).astype(np.uint8)
    >>> result = bayesr.segment(spot, "otsu", model="fluorescence-x4", n=4)
    >>> result["probability"].sizes["x"], int(result["count"])
    (64, 1)
    """
    options = arguments.check(options)
    level, threshold, overlap = (
        arguments.fraction(argument, value)
        for argument, value in (("level", level), ("threshold", threshold), ("overlap", overlap))
    )
    smallest = arguments.whole("smallest", smallest, "a whole number of pixels, 0 or more", 0)
    logits, keep_members = arguments.flag("logits", logits), arguments.flag("keep_members", keep_members)
    given = {"store": store, "overwrite": overwrite, "resume": resume, "model": model, "progress": progress}
    arguments.check(given, optional=("model",))
    call, name, inputs, bands = adapt(segmenter, threshold=threshold, smallest=smallest, logits=logits)
    if bands is not None:
        _check_bands(name, bands, ds_or_img, options)
    if store is not None:
        places.check(place_of(store), 0, overwrite=overwrite, resume=resume)
        if isinstance(ds_or_img, str | os.PathLike) and places.is_same_or_inside(ds_or_img, place_of(store)):
            raise InvalidArgument(f"{store} is the product to segment: write the result to another store.")
    settings: dict[str, Any] = dict(level=level, threshold=threshold, overlap=overlap, smallest=smallest, logits=logits)
    settings["inputs"] = list(inputs)
    with ExitStack() as stack:
        folder = stack.enter_context(temporary_folder())
        ds = product_of(ds_or_img, folder, model, progress, options)
        frame, members = _frames(ds, inputs, img, model, folder, progress)
        product.require(ds, "mean")
        n = 1 if members is None else members.size
        cache = None
        if store is not None:
            identity = {key: ds.attrs.get(key) for key in ("model_sha256", "input_sha256", "seed", "masks")}
            identity |= dict(segmenter=name, n=n, sizes=[ds.sizes[dim] for dim in product.DIMS], **settings)
            how: dict[str, Any] = dict(overwrite=overwrite, resume=resume, public=keep_members)
            cache = stack.enter_context(SegmentationCache(place_of(store), n, identity, **how))
            if cache.finished:
                return cache.close()
        low, high = product.value_range_of(ds)
        variables = _reduce(frame, n, ds.sizes["band"], call, (low, high), cache, keep_members, settings, progress)
        result = dataset(ds, variables, members, name, settings)
        return result if cache is None else cache.finish(result)


def _check_bands(name: str, takes: int, given: Any, options: dict[str, Any]) -> None:
    """Raise BandMismatch, before anything is drawn, if a segmenter takes another number of bands."""
    ds = open_product(given)
    bands = (images.source(given, options.get("dims")) if ds is None else ds).sizes["band"]
    if bands != takes:
        raise BandMismatch(
            f"The segmenter {name} takes {takes} band(s), and there are {bands}: select them, as in "
            "ds.isel(band=[0]), or write a function that selects from (band, y, x)."
        )


def _frames(
    ds: xr.Dataset, inputs: tuple[str, ...], img: Any, model: Any, folder: Path, progress: bool | None
) -> tuple[Frame, xr.DataArray | None]:
    """Return the images to segment, and the coordinate of members, or None for a single image."""
    if inputs == ("member",):
        members = members_of(ds, img, model, folder, progress)
        return lambda i: members.isel(realization=i).to_numpy(), members["realization"]
    missing = [name for name in inputs if name not in ds]
    if missing:
        raise InvalidProduct(f"The segmenter needs {', '.join(missing)}, which the product does not hold.")
    maps = [ds[name] for name in inputs]
    return lambda i: np.concatenate([one.to_numpy() for one in maps]), None


def _reduce(
    frame: Frame,
    n: int,
    bands: int,
    call: Segment,
    value_range: tuple[float, float],
    cache: SegmentationCache | None,
    keep: bool,
    settings: dict[str, Any],
    progress: bool | None,
) -> dict[str, Any]:
    """Segment the images one by one; return the maps and the table of objects."""
    agreement, objects = Agreement(), Objects(settings["overlap"])
    kept: dict[str, list[NDArray[Any]]] = {"member_probability": [], "member_labels": []}

    def add(i: int) -> tuple[int, ...]:
        """Segment and accumulate one image; return the shape of its labels."""
        image = np.ascontiguousarray(frame(i))
        stored = cache.get(i) if cache else None
        segmentation = stored or _segment_member(call, image, value_range, i, cache)
        if cache and stored is None:
            cache.put(i, segmentation)
        agreement.add(segmentation.probability)
        if keep and not cache:
            kept["member_probability"].append(segmentation.probability)
            kept["member_labels"] += [] if segmentation.labels is None else [segmentation.labels]
        if segmentation.labels is None:
            return ()
        objects.add(i, segmentation.labels, image[:bands])
        return segmentation.labels.shape

    with show_progress("segmenting", n, progress) as advance:
        for i in range(n):
            size = add(i)
            advance(1)
    variables: dict[str, Any] = agreement.variables(settings["threshold"])
    variables |= {name: np.stack(values) for name, values in kept.items() if values}
    return variables | (objects.table(n, bands, (size[0], size[1])) if size else {})


def _segment_member(
    call: Segment,
    image: NDArray[np.float32],
    value_range: tuple[float, float],
    i: int,
    cache: SegmentationCache | None,
) -> Segmentation:
    """Segment a member, with NaN in pixels without data. Errors name it and say what has been stored."""
    advice = "Give store= to keep finished members."
    if cache is not None:
        advice = f"Finished members are in {cache.place}: resume=True." if cache.begun else "Nothing was written yet."
    nodata = np.isnan(image).any(0)
    filled = np.where(nodata, image.dtype.type(value_range[0]), image) if nodata.any() else image.view()
    filled.flags.writeable = False
    try:
        segmentation = call(filled, value_range)
    except SegmenterFailed as error:
        raise SegmenterFailed(f"Member {i}: {error} {advice}") from error
    except Exception as error:  # the caller's own function may raise anything
        raise SegmenterFailed(f"Member {i}: the segmenter raised {type(error).__name__}: {error}. {advice}") from error
    if not nodata.any():
        return segmentation
    probability = segmentation.probability.copy()
    probability[..., nodata] = np.nan
    return Segmentation(probability, None if segmentation.labels is None else np.where(nodata, 0, segmentation.labels))
