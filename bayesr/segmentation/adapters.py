"""One interface for all segmenters, and checks of their results."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit, softmax
from skimage.measure import label
from torch import nn

from bayesr.errors import InvalidArgument, ObjectsNotSeparated, SegmenterFailed, warn
from bayesr.segmentation.registry import CLASSICAL, named
from bayesr.segmentation.segmenter import Segmentation, Segmenter, load

Segment = Callable[[NDArray[np.float32], tuple[float, float]], Segmentation]
"""Maps an image `band x y x x`, in its units, and its value range to a checked segmentation."""

_TOLERANCE = 1e-3
"""Tolerance of probabilities in [0, 1], and of their sum over classes."""


class Adapted(NamedTuple):
    """A segmenter as `bayesr.segment` uses it.

    `name` includes the checksum of a `Segmenter`. `inputs` are ``("member",)`` or variables of the product that it
    takes as bands. `bands` is the number of bands of each input, or None if not known.
    """

    segment: Segment
    name: str
    inputs: tuple[str, ...]
    bands: int | None


def adapt(given: Any, *, threshold: float, smallest: int, logits: bool) -> Adapted:
    """Adapt a segmenter of any kind to one interface.

    Parameters
    ----------
    given : str, Path, Segmenter, torch.nn.Module or callable
        See `bayesr.segment`.
    threshold, smallest, logits : float, int, bool
        See `checked`.

    Returns
    -------
    Adapted

    Raises
    ------
    InvalidArgument
        If it is not a segmenter.
    UnknownModel, InvalidModel
        If the name or the file of a trained segmenter cannot be used.
    PluginFailed
        If the distribution that adds the name cannot be loaded.
    """
    inputs: tuple[str, ...] = ("member",)
    bands: int | None = None
    call: Callable[[NDArray[np.float32], tuple[float, float]], Any]
    if isinstance(given, str | os.PathLike):
        known = named(str(given))
        given = given if known is None else known
    if isinstance(given, str | os.PathLike):
        given = load(Path(given))
    if isinstance(given, Segmenter):
        name, inputs, call = f"{given.name} {given.sha256[:12]}", given.inputs, given
        bands = given.bands // len(inputs)
    elif isinstance(given, nn.Module):
        name, call = type(given).__name__, _module_function(given)
    elif callable(given):
        name, call = getattr(given, "__qualname__", type(given).__name__), _array_function(given)
    else:
        raise InvalidArgument(
            "A segmenter is a function of an image (band, y, x), a torch module, the name of a bundled one or the path "
            f"of a trained one, {' or '.join(repr(one) for one in CLASSICAL)}, not {type(given).__name__}."
        )

    done = isinstance(given, Segmenter)  # which numbers its objects

    def segment(image: NDArray[np.float32], value_range: tuple[float, float]) -> Segmentation:
        nonlocal done
        raw = call(image, value_range)
        found = checked(raw, image.shape[-2:], threshold, smallest, logits)
        if not done and found.labels is not None:
            whole = found if smallest <= 1 else checked(raw, image.shape[-2:], threshold, 0, logits)
            done = warn_unseparated(whole.labels, smallest)  # one member is enough
        return found

    return Adapted(segment, name, inputs, bands)


def warn_unseparated(labels: NDArray[np.int32] | None, smallest: int) -> bool:
    """Warn where the only label, as in a mask of 0 and 1 or of 0 and 255, marks several regions; return whether it did.

    Regions that touch at a corner may be one object, so they are no reason to warn.
    """
    if labels is None or (number := int(labels.max(initial=0))) == 0:
        return False
    mask = labels == number
    if (labels[~mask] != 0).any() or _count(label(mask, connectivity=2), smallest) < 2:
        return False
    warn(
        f"The segmenter returned whole numbers with one label, {number}, which are one object. As a mask they would be "
        f"{_count(_components(mask), smallest)} objects, its connected components: return a boolean mask, labels > 0, "
        "or number the objects with scipy.ndimage.label(mask)[0].",
        ObjectsNotSeparated,
    )
    return True


def _count(components: NDArray[Any], smallest: int) -> int:
    """Return the number of components with at least `smallest` pixels."""
    return int((np.bincount(components.ravel())[1:] >= max(smallest, 1)).sum())


def checked(
    raw: Any, size: tuple[int, ...], threshold: float = 0.5, smallest: int = 0, logits: bool = False
) -> Segmentation:
    """Check the result of a segmenter and convert it.

    Parameters
    ----------
    raw : array, tuple or Segmentation
        A boolean or floating-point array holds probabilities; connected components of pixels that reach `threshold` are
        objects. Integers are labels. A pair is (probability, labels).
    size : tuple of int
        Size of the image, (y, x).
    threshold : float
        Probability from which pixels belong to objects.
    smallest : int
        Objects with fewer pixels are dropped.
    logits : bool
        Whether floating-point values are logits.

    Returns
    -------
    Segmentation

    Raises
    ------
    SegmenterFailed
        If the size differs from the image's, or values are NaN, not probabilities, or not labels.
    """
    if isinstance(raw, Segmentation):
        raw = raw.probability if raw.labels is None else (raw.probability, raw.labels)
    if isinstance(raw, tuple):
        if len(raw) != 2:
            raise SegmenterFailed(f"A tuple must be (probability, labels), not of {len(raw)} values.")
        probability, labels = (_array(part, size) for part in raw)
        if labels.dtype.kind not in "iu":
            raise SegmenterFailed(f"Labels must be whole numbers, not {labels.dtype}.")
        return Segmentation(_probability(probability, logits), _labels(labels, smallest))
    values = _array(raw, size)
    if values.dtype.kind in "iu":
        labels = _labels(values, smallest)
        return Segmentation((labels > 0).astype(np.float32), labels)
    probability = _probability(values, logits)
    if probability.ndim == 3:
        return Segmentation(probability, None)
    return Segmentation(probability, _labels(_components(probability >= threshold), smallest))


def _array(raw: Any, size: tuple[int, ...]) -> NDArray[Any]:
    values = np.asarray(raw.detach().cpu() if hasattr(raw, "detach") else raw)
    while values.ndim > 2 and values.shape[0] == 1:
        values = values[0]
    if values.dtype.kind not in "biuf" or values.ndim not in (2, 3):
        raise SegmenterFailed(
            f"An array of {values.dtype} and shape {values.shape} is no segmentation: labels or probabilities (y, x) "
            "are, or probabilities (class, y, x)."
        )
    if values.shape[-2:] != size:
        raise SegmenterFailed(
            f"The result has the shape {values.shape[-2:]} (y, x) and the image {size}: a segmenter keeps the size."
        )
    return values


def _probability(values: NDArray[Any], logits: bool) -> NDArray[np.float32]:
    values = values.astype(np.float32, copy=False)
    if not np.isfinite(values).all():
        raise SegmenterFailed(f"{int((~np.isfinite(values)).sum())} values are NaN or infinite.")
    if logits:
        probability: NDArray[np.float32] = expit(values) if values.ndim == 2 else softmax(values, axis=0)
        return probability
    low, high = float(values.min(initial=0)), float(values.max(initial=0))
    if low < -_TOLERANCE or high > 1 + _TOLERANCE:
        raise SegmenterFailed(
            f"Values run from {low:.3g} to {high:.3g}, where probabilities in [0, 1] are expected: these look like "
            "logits, for which there is logits=True."
        )
    if values.ndim == 3 and np.abs(values.sum(0) - 1).max() > _TOLERANCE * len(values):
        raise SegmenterFailed("The probabilities of the classes do not sum to 1 at every pixel.")
    return values if low >= 0 and high <= 1 else np.clip(values, 0, 1)


def _labels(values: NDArray[Any], smallest: int) -> NDArray[np.int32]:
    if values.ndim != 2:
        raise SegmenterFailed(f"Labels are (y, x), not of the shape {values.shape}.")
    if values.size and int(values.min()) < 0:
        raise SegmenterFailed(f"Labels are at least 0, the background, not {int(values.min())}.")
    if int(values.max(initial=0)) > np.iinfo(np.int32).max:
        raise SegmenterFailed(f"Labels are at most 2^31 - 1, not {int(values.max())}.")
    labels = values.astype(np.int32, copy=False)
    if smallest > 1:
        numbers, inverse, pixels = np.unique(labels, return_inverse=True, return_counts=True)
        labels = np.where(pixels >= smallest, numbers, 0)[inverse].reshape(labels.shape).astype(np.int32)
    return labels


def _components(mask: NDArray[np.bool_]) -> NDArray[Any]:
    components: NDArray[Any] = label(mask, connectivity=1)
    return components


# -- kinds --


def _array_function(function: Callable[[NDArray[np.float32]], Any]) -> Callable[..., Any]:
    return lambda image, value_range: function(image)


def _module_function(module: Any) -> Callable[..., Any]:
    """Return a function that runs a copy of a torch module on `1 x band x y x x`, scaled to [0, 1].

    It runs under the caller's torch settings, such as autocast, for which it was made.
    """
    network = copy.deepcopy(module).eval()
    weight = next((p for p in network.parameters()), torch.zeros((), dtype=torch.float32, device="cpu"))

    def call(image: NDArray[np.float32], value_range: tuple[float, float]) -> Any:
        low, high = value_range
        x = torch.from_numpy((image - low) / (high - low))[None].to(weight.device, weight.dtype)
        with torch.inference_mode():
            return network(x).float().cpu().numpy()

    return call
