"""The public ``segment``: every member through a segmenter, and what they say together."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayesr import images, product
from bayesr.errors import BandMismatch, InvalidArgument, InvalidProduct, SegmenterFailed
from bayesr.model.model import Model
from bayesr.progress import progress as show_progress
from bayesr.sampling import replaying
from bayesr.segmentation.adapters import Segment, adapt
from bayesr.segmentation.cache import SegmentationCache
from bayesr.segmentation.description import dataset
from bayesr.segmentation.objects import Objects
from bayesr.segmentation.reduction import Agreement
from bayesr.segmentation.segmenter import Segmentation
from bayesr.store import places

Frame = Callable[[int], NDArray[np.float32]]
"""The i-th image that is segmented, `band x y x x`."""


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
    r"""Segment every member of a product, and say what stays sure and what does not.

    With p_i the foreground probability that the segmenter gives a pixel in member i of n, and
    H(p) = -p log p - (1 - p) log(1 - p):

    ``probability = mean_i p_i``, ``entropy = H(probability)``,
    ``mutual_information = entropy - mean_i H(p_i)``.

    The mutual information is what the members disagree about, which a better image would tell; the rest
    of the entropy is the segmenter's own doubt. Objects are matched across members by the overlap of
    their masks; each has the share of members that see it, and an interval for its area and intensity.

    Members are segmented one at a time, from the store or as they are drawn again; they are never all in
    memory.

    Parameters
    ----------
    ds_or_img : Dataset, path, ndarray, Tensor, PIL image or DataArray
        A product of `bayesr.sample`, or a part of it, or the path of its store; or a low-resolution
        image, which is sampled first.
    segmenter : str, Path, Segmenter, torch.nn.Module or callable
        - ``"nuclei"``, which is bundled, or the file of one that `bayesr.segmentation.fit` trained;
        - ``"otsu"`` or ``"watershed"``, which learn nothing (`bayesr.segmentation.adapters`);
        - a torch module on ``1 x band x y x x``, values scaled to [0, 1] by `value_range`. A copy of it runs in
          evaluation mode;
        - a function of an array ``band x y x x``, float32, in the units of the product.

        What it returns, of the size ``y x x`` of what it is given: probabilities in [0, 1] or a boolean mask;
        integers, which are labels of objects, 0 the background; the pair (probabilities, labels); or
        probabilities ``class x y x x`` that sum to 1, of which there are no objects.
        A trained segmenter whose inputs are ("mean", "std") sees these once instead of the members.
    img : path, ndarray, Tensor, PIL image or DataArray, optional
        The image that was sampled, from which members that the product does not hold are drawn again.
    level : float
        Of the intervals of areas, intensities and counts, in (0, 1).
    threshold : float
        Probability from which a pixel belongs to `mask`, and to an object where the segmenter labels none.
    overlap : float
        A region of a member is a known object if their intersection over union is more than this; in (0, 1).
    smallest : int
        Pixels below which a region is no object.
    logits : bool
        Whether the segmenter returns logits, of which probabilities are then made.
    keep_members : bool
        Keep ``member_probability`` and ``member_labels`` too.
    store : path, optional
        Write the result to this Zarr store. What the segmenter said of each member is on disk as soon as it is
        said: after a failure, `resume` goes on there.
    overwrite, resume : bool
        Replace a store that is there, or go on with it.
    model, progress
        As in `bayesr.sample`; with a product, where the model lies if not under its recorded name.
    **options
        Others of `bayesr.sample`, for an image: ``n``, ``seed``, ``dims``, ...

    Returns
    -------
    Dataset
        Maps ``(y, x)``, with ``class`` before them where there are classes:

        - ``probability``, float32 in [0, 1]; NaN without data, as the next two;
        - ``entropy``, ``mutual_information``: in nats, 0 to log 2 (or log of the number of classes);
        - ``mask``, uint8: 1 from `threshold` on; the likeliest class where there are classes;
        - ``labels``, int32: the objects that at least half of the members see, by their number.

        Over ``object``, numbered from 1, every object that any member sees:

        - ``existence``: the share of members that see it, in [0, 1];
        - ``area``, ``area_lower``, ``area_upper``: in high-resolution pixels, over the members that see it;
        - ``intensity(object, band)`` and its bounds, in the units of the image: the mean over the object, in the
          member itself;
        - ``centre_y``, ``centre_x``: coordinates of its centre;
        - ``member_area(realization, object)``, ``member_intensity(realization, object, band)``: NaN
          in members that do not see it.

        ``count``, ``count_lower``, ``count_upper`` and ``member_count(realization)``: the number of objects.
        Intervals are those that one more member falls into with probability `level`, as far as n members
        can tell; they are those of the members, to be conformalised on images whose truth is known
        (`bayesr.segmentation.conformal`).

    Raises
    ------
    InvalidArgument
        For a level, threshold or overlap out of range, and for what is no segmenter.
    SegmenterFailed
        When the segmenter raises, or returns another size, NaN, or no probability; the message names the member.
    InvalidProduct
        When members are missing and there is no `img`, or another one than was sampled.
    BandMismatch
        When a trained segmenter takes another number of bands.
    StoreExists, StoreFailed
        When the store cannot be used.

    References
    ----------
    N. Houlsby et al., "Bayesian active learning for classification and preference learning", 2011,
    arXiv:1112.5745.

    Examples
    --------
    >>> import bayesr, numpy as np
    >>> y, x = np.mgrid[:16, :16]
    >>> spot = (200 * np.exp(-((y - 8) ** 2 + (x - 8) ** 2) / 18)).astype(np.uint8)
    >>> found = bayesr.segment(spot, "otsu", model="fluorescence-x4", n=4)
    >>> found["probability"].sizes["x"], int(found["count"])
    (64, 1)
    """
    for what, value in (("level", level), ("threshold", threshold), ("overlap", overlap)):
        if not 0 < value < 1:
            raise InvalidArgument(f"{what} must lie between 0 and 1, not {value!r}.")
    call, name, inputs, bands = adapt(segmenter, threshold=threshold, smallest=smallest, logits=logits)
    if bands is not None:
        _check_bands(name, bands, ds_or_img, options)
    if store is not None:
        places.check(str(store), 0, overwrite=overwrite, resume=resume)
        if isinstance(ds_or_img, str | os.PathLike) and places.same(ds_or_img, str(store)):
            raise InvalidArgument(f"{store} is what is segmented: write the result to another store.")
    settings: dict[str, Any] = dict(level=level, threshold=threshold, overlap=overlap, smallest=smallest, logits=logits)
    settings["inputs"] = list(inputs)
    with tempfile.TemporaryDirectory() as folder:
        ds = replaying.drawn_from(ds_or_img, Path(folder), model, progress, options)
        frame, members = _frames(ds, inputs, img, model, Path(folder), progress)
        product.require(ds, "mean")
        n = 1 if members is None else members.size
        kept = None
        if store is not None:
            identity = {key: ds.attrs.get(key) for key in ("model_sha256", "input_sha256", "seed", "masks")}
            identity |= dict(segmenter=name, n=n, sizes=[ds.sizes[dim] for dim in product.DIMS], **settings)
            kept = SegmentationCache(Path(store), n, identity, overwrite=overwrite, resume=resume, public=keep_members)
            if kept.finished:
                return kept.read()
        low, high = (float(v) for v in product.attribute(ds, "value_range"))
        variables = _reduce(frame, n, ds.sizes["band"], call, (low, high), kept, keep_members, settings, progress)
        found = dataset(ds, variables, members, name, settings)
    return found if kept is None else kept.finish(found)


def _check_bands(name: str, takes: int, given: Any, options: dict[str, Any]) -> None:
    """Refuse, before anything is drawn, what a trained segmenter cannot take."""
    ds = replaying.product_in(given)
    bands = (images.source(given, options.get("dims")) if ds is None else ds).sizes["band"]
    if bands != takes:
        raise BandMismatch(
            f"The segmenter {name} takes {takes} band(s), and there are {bands}: give it those, as "
            "ds.isel(band=[0]), or write a function that chooses from (band, y, x)."
        )


def _frames(
    ds: xr.Dataset, inputs: tuple[str, ...], img: Any, model: Any, folder: Path, progress: bool | None
) -> tuple[Frame, xr.DataArray | None]:
    """The images that are segmented, one by one, and the members' coordinate; None where there is one image."""
    if inputs == ("member",):
        members = replaying.members(ds, img, model, folder, progress)
        return lambda i: members.isel(realization=i).to_numpy(), members["realization"]
    lacking = [name for name in inputs if name not in ds]
    if lacking:
        raise InvalidProduct(f"The segmenter needs {', '.join(lacking)}, which the product does not hold.")
    maps = [ds[name].transpose(*product.DIMS) for name in inputs]
    return lambda i: np.concatenate([one.to_numpy() for one in maps]), None


def _reduce(
    frame: Frame,
    n: int,
    bands: int,
    call: Segment,
    value_range: tuple[float, float],
    kept: SegmentationCache | None,
    keep: bool,
    settings: dict[str, Any],
    progress: bool | None,
) -> dict[str, Any]:
    """Segment image after image, and return maps and the table of objects."""
    agreement, objects = Agreement(), Objects(settings["overlap"])
    own: dict[str, list[NDArray[Any]]] = {"member_probability": [], "member_labels": []}

    def take(i: int) -> tuple[int, ...]:
        """One image, of which nothing stays in memory but what is summed up; returns the size of its labels."""
        image = np.ascontiguousarray(frame(i), np.float32)
        known = kept.get(i) if kept else None
        found = known or _one(call, image, value_range, i, kept)
        if kept and known is None:
            kept.put(i, found)
        agreement.add(found.probability)
        if keep and not kept:
            own["member_probability"].append(found.probability)
            own["member_labels"] += [] if found.labels is None else [found.labels]
        if found.labels is None:
            return ()
        objects.add(i, found.labels, image[:bands])
        return found.labels.shape

    with show_progress("segmenting", n, progress) as advance:
        for i in range(n):
            size = take(i)
            advance(1)
    variables: dict[str, Any] = agreement.variables(settings["threshold"])
    variables |= {name: np.stack(values) for name, values in own.items() if values}
    return variables | (objects.table(n, bands, (size[0], size[1])) if size else {})


def _one(
    call: Segment,
    image: NDArray[np.float32],
    value_range: tuple[float, float],
    i: int,
    kept: SegmentationCache | None,
) -> Segmentation:
    """A member's segmentation, unknown where there is no data; what goes wrong names the member, and what is left."""
    stays = "Give store= to keep what is done."
    if kept is not None:
        stays = f"What was done stays in {kept.path}: resume=True." if kept.begun else "Nothing was written yet."
    hole = np.isnan(image).any(0)
    filled = np.where(hole, np.float32(value_range[0]), image) if hole.any() else image.view()
    filled.flags.writeable = False
    try:
        found = call(filled, value_range)
    except SegmenterFailed as error:
        raise SegmenterFailed(f"Member {i}: {error} {stays}") from error
    except Exception as error:  # it is the caller's own function: anything may come
        raise SegmenterFailed(f"Member {i}: the segmenter raised {type(error).__name__}: {error}. {stays}") from error
    if not hole.any():
        return found
    probability = found.probability.copy()
    probability[..., hole] = np.nan
    return Segmentation(probability, None if found.labels is None else np.where(hole, 0, found.labels))
