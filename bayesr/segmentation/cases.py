"""Cases: an image and what annotators drew on it, read from the layouts that studies use."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from skimage.transform import resize

from bayesr.errors import ImageNotFound, InvalidArgument, NotAnImage
from bayesr.images import read as read_image
from bayesr.model.model import Model
from bayesr.segmentation.masks import check_sizes, image_files, mask_files, mask_of, read_mask
from bayesr.segmentation.nifti import read_slice

_DERIVED = "_superpixels"


@dataclass(frozen=True, eq=False)
class Case:
    """An image and its masks.

    Attributes
    ----------
    name : str
    image : ndarray
        `band x y x x`, float32, in the image's own units.
    masks : ndarray
        `annotator x y x x`, int32: 0 is background; every object has a number of its own, or all have 1.
    value_range : tuple of float
        What networks see as 0 and 1.
    weight : ndarray or None
        `y x x`, float32: how much a pixel counts in the loss; None for 1 everywhere.
    group : str
        Cases of one group, such as the two eyes of a person, are never parted between training and test.
    """

    name: str
    image: NDArray[np.float32]
    masks: NDArray[np.int32]
    value_range: tuple[float, float]
    weight: NDArray[np.float32] | None = None
    group: str = ""


def folders(images: str | Path, *masks: str | Path, longest: int | None = None) -> list[Case]:
    """Cases of a folder of images and a folder of masks for each annotator.

    The mask of ``X.jpg`` is the file whose stem is ``X``, or else the one whose stem is ``X`` and a suffix that
    begins with ``_``: ``X.png`` for nuclei, ``X_segmentation.png`` for the skin lesions of ISIC 2016 to 2018,
    ``X_1stHO.png`` for CHASE_DB1. Masks are 0 for the background; one other value makes a plain mask, several make
    objects of their own. Every case is a group of its own.

    Parameters
    ----------
    images : path
        A folder; every image in it (not in folders below) is a case, but for those that are masks themselves, and for
        the ``X_superpixels.png`` of ISIC 2017.
    *masks : path
        At least one folder. Where masks lie in one folder, as in CHASE_DB1, the last part is a pattern of stems:
        ``folder/*_1stHO`` and ``folder/*_2ndHO``.
    longest : int, optional
        Images whose longer side has more pixels are shrunk to it, masks to the nearest pixel: photographs of skin
        come in many sizes, most of them far beyond what a patch of training sees.

    Returns
    -------
    list of Case
        In the order of names.

    Raises
    ------
    ImageNotFound
        When a folder is not there.
    InvalidArgument
        When there is no image, a mask lacks, is ambiguous, or differs in size from its image, or `longest` is not
        positive.
    NotAnImage
        When a file cannot be read.
    """
    if not masks:
        raise InvalidArgument("Give at least one folder of masks beside the folder of images.")
    if longest is not None and longest < 1:
        raise InvalidArgument(f"longest must be 1 pixel or more, not {longest}.")
    if any(Path(folder).resolve() == Path(images).resolve() for folder in masks):
        raise InvalidArgument(f"Images and masks are both in {images}: give masks as a pattern, {images}/*_1stHO.")
    named = [mask_files(Path(folder)) for folder in masks]
    drawn = {file for candidates in named for same in candidates.values() for file in same}
    files = [p for p in image_files(Path(images)) if p not in drawn and not p.stem.endswith(_DERIVED)]
    known = {file.stem for file in files}
    found = []
    for file in files:
        chosen = [mask_of(file.stem, known, candidates) for candidates in named]
        lacking = [str(folder) for folder, mask in zip(masks, chosen, strict=True) if mask is None]
        if lacking:
            raise InvalidArgument(
                f"{file.name} has no mask in {lacking[0]}: a mask is named {file.stem} or {file.stem}_ and a suffix. "
                "Add it, or take the image out."
            )
        found.append(_shrunk(_case(file, [mask for mask in chosen if mask is not None]), longest))
    return found


def qubiq(folder: str | Path, task: int = 1) -> list[Case]:
    """Cases of a data set of the QUBIQ challenge, several annotators each.

    The layout is ``FOLDER/caseNN/image.nii.gz`` beside ``taskTT_segSS.nii.gz`` (structure TT by annotator SS), where
    FOLDER is, for example, ``brain-growth/Training``. Images are one slice; several modalities, as of brain
    tumours, are bands. NIfTI stores x before y: arrays come out as `y x x`. Reading NIfTI needs nibabel:
    ``pip install 'bayesr[medical]'``.

    Parameters
    ----------
    folder : path
    task : int
        The structure, from 1.

    Returns
    -------
    list of Case
        In the order of cases; all with equally many annotators.

    Raises
    ------
    ImageNotFound
        When the folder or an image is not there.
    InvalidArgument
        When there is no case, masks of the task lack or differ in size, cases differ in their
        annotators, or nibabel is not installed.
    NotAnImage
        When a file cannot be read or has more than one slice.

    References
    ----------
    H. B. Li et al., "QUBIQ: Uncertainty quantification for biomedical image segmentation challenge", 2024,
    arXiv:2405.18435.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ImageNotFound(f"There is no folder {folder}.")
    places = sorted((p for p in folder.iterdir() if p.is_dir() and (p / "image.nii.gz").is_file()), key=_number)
    if not places:
        raise InvalidArgument(
            f"No case in {folder}: QUBIQ has folders case01, case02, ... with image.nii.gz in each. Give the folder "
            "that holds them, such as brain-growth/Training."
        )
    found = []
    for place in places:
        masks = sorted(place.glob(f"task{task:02d}_seg*.nii.gz"))
        if not masks:
            raise InvalidArgument(f"{place} has no task{task:02d}_seg01.nii.gz: choose a task that is there.")
        image = read_slice(place / "image.nii.gz")
        drawn = [read_slice(mask) for mask in masks]
        for mask, path in zip(drawn, masks, strict=True):
            if len(mask) != 1:
                raise InvalidArgument(f"The mask {path} has {len(mask)} bands: give one.")
            check_sizes(f"{place.name}/{path.name}", image, mask)
        together = (np.concatenate(drawn) > 0.5).astype(np.int32)
        found.append(Case(place.name, image, together, _range(image), group=place.name))
    counts = {case.name: len(case.masks) for case in found}
    if len(set(counts.values())) > 1:
        raise InvalidArgument(f"Cases differ in their annotators ({counts}): take out those with fewer masks.")
    return found


def with_uncertainty(
    cases: Sequence[Case], model: Model, n: int = 8, kind: str = "channels", seed: int = 0
) -> list[Case]:
    """The cases as super-resolution sees them: observed by the model's observation, sampled, and described.

    ``"channels"``: the image becomes ``mean`` and ``std`` as bands, the mean's bands first, both in the image's
    units.

    ``"weight"``: the image becomes ``mean``, and a pixel counts ``1 / (1 + (std / m)^2)`` in the loss, where m is the
    median of the image's std; std is the root mean square over bands.

    Parameters
    ----------
    cases : sequence of Case
        At high resolution; cropped to multiples of the scale, from the upper left.
    model : Model
    n : int
        Members of each sample.
    kind : {"channels", "weight"}
    seed : int
        Of the members.

    Returns
    -------
    list of Case
        With the names, masks and groups of the cases.

    Raises
    ------
    InvalidArgument
        For another kind, or fewer than two members.
    """
    if kind not in ("channels", "weight"):
        raise InvalidArgument(f'kind must be "channels" or "weight", not {kind!r}.')
    if n < 2:
        raise InvalidArgument(f"A standard deviation takes 2 members or more, not {n}.")
    return [_uncertain(case, model, n, kind, seed) for case in cases]


def _uncertain(case: Case, model: Model, n: int, kind: str, seed: int) -> Case:
    s = model.scale
    height, width = (size // s * s for size in case.masks.shape[1:])
    low, high = case.value_range
    image = torch.from_numpy(np.ascontiguousarray(case.image[:, :height, :width]))
    # As a camera would store it: 256 levels of the range.
    seen = model.observation.observe((image.double() - low) / (high - low)).clamp(0, 1).mul(255).round()
    given = xr.DataArray(seen.numpy().astype(np.uint8), dims=("band", "y", "x"))
    ds = model.sample(given, n, seed=seed, keep_samples=False, progress=False)
    mean, std = (ds[name].to_numpy() * np.float32((high - low) / 255) for name in ("mean", "std"))
    weight = None if case.weight is None else case.weight[:height, :width]
    cut = replace(case, masks=case.masks[:, :height, :width], weight=weight)
    mean = mean + np.float32(low)
    if kind == "channels":
        return replace(cut, image=np.concatenate([mean, std]))
    square = (std.astype(np.float64) ** 2).mean(0)
    trust = (1 / (1 + square / max(float(np.median(square)), 1e-12))).astype(np.float32)
    return replace(cut, image=mean, weight=trust if weight is None else trust * weight)


# -- files -----------------------------------------------------------------------------------


def _case(file: Path, masks: Sequence[Path]) -> Case:
    try:
        image = read_image(file)
    except NotAnImage as error:
        raise type(error)(f"{file.name}: {error}") from error
    pixels = image.data.to_numpy().astype(np.float32)
    weight = None
    if image.missing is not None:
        pixels, weight = image.to_units(image.scaled()), (~image.missing).astype(np.float32)
    drawn = [read_mask(mask) for mask in masks]
    for mask, path in zip(drawn, masks, strict=True):
        check_sizes(path.name, pixels, mask[None])
    return Case(file.stem, pixels, np.stack(drawn), image.value_range, weight, group=file.stem)


def _shrunk(case: Case, longest: int | None) -> Case:
    height, width = case.image.shape[1:]
    if longest is None or max(height, width) <= longest:
        return case
    shape = tuple(max(1, round(size * longest / max(height, width))) for size in (height, width))
    image = resize(case.image, (len(case.image), *shape), order=1, anti_aliasing=True, preserve_range=True)
    rows, columns = ((np.arange(n) + 0.5) * size / n for n, size in zip(shape, (height, width), strict=True))
    nearest = np.ix_(rows.astype(int), columns.astype(int))
    weight = None if case.weight is None else case.weight[nearest]
    return replace(case, image=image.astype(np.float32), masks=case.masks[:, *nearest], weight=weight)


def _range(image: NDArray[np.float32]) -> tuple[float, float]:
    low, high = float(image.min()), float(image.max())
    return (low, high) if high > low else (low, low + 1.0)


def _number(place: Path) -> tuple[int, str]:
    digits = re.sub(r"\D", "", place.name)
    return (int(digits) if digits else 0, place.name)
