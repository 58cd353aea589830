"""`sample`: from an image to a product, in memory or in a store, tile by tile."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xarray as xr

from bayesr import images, workers
from bayesr.isolation import isolated
from bayesr.model.model import Model, load
from bayesr.observe import ForwardOperator
from bayesr.product import bytes_per_pixel, choose_variables
from bayesr.progress import progress as show_progress
from bayesr.sampling import arguments, first_pass, known_operators
from bayesr.sampling import device as devices
from bayesr.sampling.drawing import Drawing
from bayesr.sampling.job import Job
from bayesr.sampling.models import model_to_resume
from bayesr.sampling.plan import Plan
from bayesr.sampling.sinks import MemorySink, Sink, StoreSink, SurveyOptions
from bayesr.store.places import place_of

if TYPE_CHECKING:
    from distributed import Client
    from distributed.deploy.cluster import Cluster

_log = logging.getLogger(__name__)


@isolated
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
    value_range: images.ValueRange = None,
    tile: int | None = None,
    device: str = "auto",
    cluster: int | str | Client | Cluster | None = None,
    variables: Sequence[str] | None = None,
    keepbits: int | None = None,
    progress: bool | None = None,
    precision: str = "float32",
    forward_operator: ForwardOperator | Sequence[ForwardOperator] | xr.Dataset | None = None,
    shards: bool | None = None,
) -> xr.Dataset:
    """Draw n posterior samples of a low-resolution image, or of each of a stack, and describe them.

    ``x(z, m) = A+ y + P g(y, z, m)``: the pseudo-inverse of the forward operator ``A``, plus what a stochastic network
    adds in the null space of ``A``, so that ``A x = y`` for every member.

    Parameters
    ----------
    img : path, ndarray, Tensor, PIL image or DataArray
        The low-resolution image: `y x x`, `y x x x band` or `band x y x x`. Paths: PNG, JPEG, WebP, TIFF (8, 16, 32
        bits, float, OME, GeoTIFF), NetCDF, Zarr, also on object stores. With `store`, images that can be read by window
        are never read whole: Zarr, NetCDF, tiled and plain TIFF, GeoTIFF, lazy DataArrays. Named axes of several
        planes, such as ``time`` or ``z``, make a stack: the product has them, with their coordinates, in front, and
        every slice is the product of the slice alone.
    n : int
        Members, at least 1.
    model : str, Path or Model
        A bundled name (see `bayesr.models`), a model file, or a loaded model. With `resume`, the recorded name of the
        model stands for the weights that the store was begun with, also where a later version has others of that name.
    seed : int
        In [0, 2**64). Equal seeds give equal members. All slices of a stack have the same latents, so that a film does
        not flicker.
    masks : int, optional
        Dropout masks; divides n. By default the largest divisor of n that is at most 8 and n/2. Member i uses mask
        ``i % masks``. `aleatoric` and `epistemic` need two masks or more with two latents each, so n = 4 or more.
    level : float
        Of the interval [`lower`, `upper`], in (0, 1).
    keep_samples : bool, optional
        Keep the members themselves. By default they are kept in memory and left out of a store.
    store : path or URL, optional
        Write the product to this Zarr store, tile by tile, and return it opened lazily. Memory then does not grow with
        the image. URLs are fsspec's, such as ``"s3://bucket/name.zarr"``. The store holds a copy of the image, so that
        `bayesr.extend` and `bayesr.check` need nothing else.
    overwrite, resume : bool
        Replace an existing store, or continue an unfinished one, whose finished tiles stay as they are. A product that
        is replaced stays in its place until the new one is whole, except on object stores. Nothing but stores of bayesr
        is replaced.
    dims : sequence of str, optional
        Names of the axes, such as ``("y", "x", "band")`` or ``"yxb"``, where they are ambiguous. Others than these
        three, as in ``("time", "y", "x")``, are leading axes of a stack.
    nodata : float, optional
        The value of missing pixels as stored, if the image does not declare it. Missing pixels are NaN in the product.
        A model of one band treats each band by itself; for others, a pixel is missing where all bands are, as GDAL
        defines the mask of a dataset.
    value_range : (float, float) or str, optional
        Input values that the network sees as 0 and 1, or where they come from: ``"minmax"``, the image's own range;
        ``"unit"``, 0 and 1, as scikit-image scales floats; ``"percentiles"``, the 0.1st and 99.9th percentile, which
        hot pixels do not move. By default 0 and 255 for 8-bit images, else ``"minmax"``. It scales and never clips.
        A stack has one value range, found from all slices, so that they are comparable.
        The attributes ``value_range`` and ``input`` record what was taken.
    tile : int, optional
        Side of a tile in low-resolution pixels, by default 256 for images larger than 320. The members do not depend on
        it. A tile is drawn from its pixels and a halo, which the model declares. In a store, a tile is one file of each
        variable.
    device : str
        ``"auto"`` takes CUDA where there is one, else the CPU. ``"openvino"`` runs the network on the CPU in OpenVINO
        (``pip install 'bayesr[engine]'``): equal members to 1e-4 of the value range.
    cluster : int, str, Client or cluster, optional
        The workers that draw the tiles of a store: a number of local processes with one thread each, or a
        dask.distributed cluster (``"tcp://host:8786"``, a ``distributed.Client``, a cluster object). Workers must have
        access to `store`. If the value range is known beforehand, they draw while the image is still read and checked.
    variables : sequence of str, optional
        Variables of the product to compute, all by default. Only a store with all variables can be extended.
    keepbits : int, optional
        Bits of the significand that a store keeps, 1 to 23, in all variables but ``samples``. With 10 bits the relative
        error is 0.05%, and the store takes about half the space. By default all bits are kept.
    progress : bool, optional
        True shows a bar, or plain lines where there is no terminal; None a bar on a terminal only.
    precision : {"float32", "bfloat16"}
        Of the network. ``"bfloat16"`` is faster on CPUs with AVX-512 BF16 or AMX and on GPUs, and refused on others.
        Members then differ by less than a quarter of a grey level (root mean square), also between tiles of other
        sizes. They reproduce the input as before: the projection onto it has float32, like all moments.
    forward_operator : ForwardOperator, sequence of ForwardOperator, or Dataset, optional
        What is known of the forward operator of this image, for models that were trained over a range of blur. The
        members of the model are moved by the least change with which they agree with the input under it, up to noise:
        the largest that the model records, or, relative to the value range, that of ``operator.unconstrained(noise=)``.
        A Dataset is the posterior of `bayesr.observe.fit` or `fit_beads`, its noise in the units of the image: each
        dropout mask draws one kernel from it, so that `epistemic` and the interval include not knowing the
        point-spread function. A sequence has one operator for each of the `masks`. The attribute ``forward_operators``
        records what was used. By default the model infers the blur from the image alone.
    shards : bool, optional
        Whether the files of a store are shards of Zarr. Shards carry a checksum that all readers of Zarr verify, and a
        file holds the means of several dropout masks in parts. Without shards, a file is one chunk of the same size,
        which more programs read, such as GDAL 3.12. By default an image of one tile has none, and others have shards.
        `bayesr.check` finds damage in both.

    Returns
    -------
    Dataset
        ``mean``, ``variance``, ``std``, ``aleatoric``, ``epistemic``, ``calibration``, ``lower``, ``upper`` over
        ``(band, y, x)`` and ``samples`` over ``(realization, band, y, x)``, with the leading axes of a stack in front,
        float32, or float64 where float32 cannot hold a thousandth of the value range, in the units of the input
        (``variance``, ``aleatoric``, ``epistemic`` in their square, ``calibration`` without).

        With ``m_k``, ``s_k^2`` the mean and the variance (ddof = 1) over the L latents of mask k:
        aleatoric = mean s_k^2; raw variance = (1 - 1/L) mean s_k^2 + var(m_k), unbiased; epistemic = raw variance -
        aleatoric, unbiased and so perhaps slightly negative; variance = calibration^2 * raw variance; lower, upper =
        mean -+ lambda(level, n) * std, widened by half a quantisation step for integer images. With one mask or one
        latent a mask, aleatoric and epistemic are NaN; with n = 1, variance is too.

    Raises
    ------
    BayesrError
        One of its subclasses, before any work, for every input that cannot be handled. The message says what to do.
        With `cluster`, pixels may be refused when tiles have been drawn, which are then removed with the store.

    Warns
    -----
    VarianceNotSplit
        When `masks` is not given, and n, such as 5 or 7, has no divisor that would split the variance: ``aleatoric``
        and ``epistemic`` are NaN. The message names the nearest n that works. With n = 2 or 3 they are always NaN,
        without a warning.
    TilesDiffer
        When the network sees all of an image, for instance by attention, and the image is drawn in tiles.
    UnfamiliarInput
        When the image is out of distribution: unlike the images that the model was calibrated on, because it is
        blurred, noisy, has JPEG blocks, another scale of intensity, or unfamiliar texture. Intervals need not hold
        then. The attribute ``input_check`` records the result, and
        ``warnings.simplefilter("ignore", bayesr.errors.UnfamiliarInput)`` silences the warning.

    Examples
    --------
    >>> import bayesr, numpy as np
    >>> ds = bayesr.sample(np.zeros((8, 8, 3), np.uint8), n=4)
    >>> ds["mean"].sizes["x"]
    32
    """
    checked = arguments.check_options(
        n=n, model=model, seed=seed, masks=masks, level=level, keep_samples=keep_samples, store=store,
        overwrite=overwrite, resume=resume, dims=dims, nodata=nodata, value_range=value_range, tile=tile,
        device=device, cluster=cluster, variables=variables, keepbits=keepbits, progress=progress,
        precision=precision, forward_operator=forward_operator, shards=shards,
    )  # fmt: skip
    # Plain values from here on: NumPy's scalars cannot be written as JSON.
    n, seed, masks, level, variables = (checked[k] for k in ("n", "seed", "masks", "level", "variables"))
    dims, nodata, tile, progress, cluster = (checked[k] for k in ("dims", "nodata", "tile", "progress", "cluster"))
    chosen = choose_variables(variables, checked["keep_samples"], in_memory=store is None)
    resumes = checked["resume"] and not checked["overwrite"] and store is not None
    loaded = model_to_resume(place_of(store), model) if resumes else load(model)
    device = devices.resolve(checked["device"])
    devices.check_precision(device, checked["precision"])
    known = known_operators.check(loaded, checked["forward_operator"])
    masks = known_operators.choose_masks(known, n, masks)
    arguments.warn_unsplit(loaded, n, masks, chosen)
    masks = arguments.choose_masks(loaded, n, masks, known_operators.number_of_kernels(known))
    array = images.source(img, dims, stack=True)
    arguments.check_image(loaded, array, n, level)
    plan = Plan(n, masks, seed, arguments.choose_tile(array, tile), precision=checked["precision"])
    sink = _sink(None if store is None else place_of(store), plan.tile, checked)
    chosen = arguments.with_mask_means(chosen, masks, extendable=store is not None and variables is None)
    _log.info("device %s, %s; tiles of %d pixels; %d members, %d masks", device, plan.precision, plan.tile, n, masks)
    sink.check(array, int(array.size) * loaded.scale**2 * bytes_per_pixel(chosen, plan.n, masks))
    options = {"nodata": nodata, "value_range": checked["value_range"], "per_band": loaded.bands == 1}

    def job_of(image: images.Image) -> Job:
        whole_plan = replace(plan, operators=known_operators.by_mask(loaded, known, plan, image.value_range))
        return Job(loaded, image, whole_plan, device, level, chosen, None if dims is None else tuple(dims), nodata)

    with sink:
        product = _sample_while_reading(job_of, sink, array, options, cluster, progress)
        if product is not None:
            return product
        job = job_of(sink.read(array, options))
        job.warn()
        return run(sink.begin(job), sink, cluster, progress)


def _sink(place: str | None, tile: int, checked: Mapping[str, Any]) -> Sink:
    """Return where the product goes: into memory, or into the store at a place."""
    if place is None:
        return MemorySink()
    return StoreSink(
        place, overwrite=checked["overwrite"], resume=checked["resume"], keepbits=checked["keepbits"],
        shards=checked["shards"], tile=tile, progress=checked["progress"],
    )  # fmt: skip


def _sample_while_reading(
    job_of: Callable[[images.Image], Job],
    sink: Sink,
    array: xr.DataArray,
    options: SurveyOptions,
    cluster: int | str | Client | Cluster | None,
    progress: bool | None,
) -> xr.Dataset | None:
    """Draw the tiles during the first pass over the image, where that is faster and possible; else return None."""
    # A single process gains nothing: reading would take time from drawing, and both would use memory at once.
    if cluster is None or not isinstance(sink, StoreSink):
        return None
    image = sink.provisional_image(array, options)
    if image is None:
        return None
    try:
        return first_pass.run(job_of(image), sink, array, options, cluster, progress)
    except first_pass.ResultTypeChanged:
        return None  # the image is read first, and all tiles are drawn again; this is rare


def run(job: Job, sink: Sink, cluster: int | str | Client | Cluster | None, progress: bool | None) -> xr.Dataset:
    """Draw the tiles that a sink lacks, and return the product."""
    missing, tiles = sink.missing(job), sum(1 for _ in job.tiles())
    _log.info("drawing %d of %d tiles, %d are finished already", len(missing), tiles, tiles - len(missing))
    with show_progress("sampling", job.cost * tiles, progress) as advance:
        advance(job.cost * (tiles - len(missing)))
        if missing:
            workers.run(Drawing(job, sink.target), missing, job.cost * len(missing), advance, cluster)
    return sink.finish()
