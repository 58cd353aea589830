"""Cases: images with the masks of annotators, read from the layouts of published data sets."""

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

_DERIVED_SUFFIX = "_superpixels"


@dataclass(frozen=True, eq=False)
class Case:
    """An image and the masks of its annotators.

    Attributes
    ----------
    name : str
    image : ndarray
        `band x y x x`, float32, in the image's own units.
    masks : ndarray
        `annotator x y x x`, int32: 0 is background; every object has its own number, or all have 1.
    value_range : tuple of float
        Values that the scaling ``"range"`` maps to 0 and 1.
    weight : ndarray or None
        `y x x`, float32: weights in the loss; None for 1 everywhere.
    group : str
        Cases of a group, such as the two eyes of a person, are never divided between training and test.
    """

    name: str
    image: NDArray[np.float32]
    masks: NDArray[np.int32]
    value_range: tuple[float, float]
    weight: NDArray[np.float32] | None = None
    group: str = ""


def folders(images: str | Path, *masks: str | Path, longest: int | None = None) -> list[Case]:
    """Read cases from a folder of images and a folder of masks per annotator.

    The mask of ``X.jpg`` has the stem ``X``, or else ``X`` and a suffix that begins with ``_``: ``X.png`` for nuclei,
    ``X_segmentation.png`` for the skin lesions of ISIC 2016 to 2018, ``X_1stHO.png`` for CHASE_DB1. Masks are 0 for the
    background; one other value marks the foreground, several are labels of objects. Every case is its own group.

    Parameters
    ----------
    images : path
        A folder. Every image in it is a case, except masks and the files ``X_superpixels.png`` of ISIC 2017.
    *masks : path
        At least one folder. If it holds masks of several annotators, as in CHASE_DB1, add a pattern of stems:
        ``folder/*_1stHO`` and ``folder/*_2ndHO``.
    longest : int, optional
        Images with more pixels along their longer side are downsampled to this number, and masks to the nearest pixel.

    Returns
    -------
    list of Case
        Sorted by name.

    Raises
    ------
    ImageNotFound
        If a folder does not exist.
    InvalidArgument
        If there are no images, a mask is missing, ambiguous, or differs in size from its image, or `longest` is not
        positive.
    NotAnImage
        If a file cannot be read.
    """
    if not masks:
        raise InvalidArgument("Give at least one folder of masks in addition to the folder of images.")
    if longest is not None and longest < 1:
        raise InvalidArgument(f"longest must be 1 pixel or more, not {longest}.")
    if any(Path(folder).resolve() == Path(images).resolve() for folder in masks):
        raise InvalidArgument(f"Images and masks are both in {images}: give masks as a pattern, {images}/*_1stHO.")
    masks_by_stem = [mask_files(Path(folder)) for folder in masks]
    all_masks = {file for candidates in masks_by_stem for same in candidates.values() for file in same}
    files = [p for p in image_files(Path(images)) if p not in all_masks and not p.stem.endswith(_DERIVED_SUFFIX)]
    stems = {file.stem for file in files}
    cases = []
    for file in files:
        chosen = [mask_of(file.stem, stems, candidates) for candidates in masks_by_stem]
        missing = [str(folder) for folder, mask in zip(masks, chosen, strict=True) if mask is None]
        if missing:
            raise InvalidArgument(
                f"{file.name} has no mask in {missing[0]}: a mask is named {file.stem} or {file.stem}_ and a suffix. "
                "Add it, or remove the image."
            )
        cases.append(_downsampled(_case(file, [mask for mask in chosen if mask is not None]), longest))
    return cases


def qubiq(folder: str | Path, task: int = 1) -> list[Case]:
    """Read the cases of a data set of the QUBIQ challenge, with several annotators each.

    The layout is ``FOLDER/caseNN/image.nii.gz`` with ``taskTT_segSS.nii.gz`` (structure TT by annotator SS), where
    FOLDER is, for example, ``brain-growth/Training``. Images have one slice; several modalities become bands. Reading
    needs nibabel: ``pip install 'bayesr[medical]'``.

    Parameters
    ----------
    folder : path
    task : int
        Number of the structure, from 1.

    Returns
    -------
    list of Case
        Sorted by case number, all with the same number of annotators.

    Raises
    ------
    ImageNotFound
        If the folder does not exist.
    InvalidArgument
        If there are no cases, masks are missing or differ in size or number, or nibabel is not installed.
    NotAnImage
        If a file cannot be read or has more than one slice.

    References
    ----------
    H. B. Li et al., "QUBIQ", 2024, arXiv:2405.18435.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ImageNotFound(f"There is no folder {folder}.")
    case_folders = sorted(
        (p for p in folder.iterdir() if p.is_dir() and (p / "image.nii.gz").is_file()), key=_case_number
    )
    if not case_folders:
        raise InvalidArgument(
            f"No case in {folder}: QUBIQ has folders case01, case02, ... with image.nii.gz in each. Give the folder "
            "that contains them, such as brain-growth/Training."
        )
    cases = []
    for case_folder in case_folders:
        masks = sorted(case_folder.glob(f"task{task:02d}_seg*.nii.gz"))
        if not masks:
            raise InvalidArgument(f"{case_folder} has no task{task:02d}_seg01.nii.gz: choose another task.")
        image = read_slice(case_folder / "image.nii.gz")
        drawn = [read_slice(mask) for mask in masks]
        for mask, path in zip(drawn, masks, strict=True):
            if len(mask) != 1:
                raise InvalidArgument(f"The mask {path} has {len(mask)} bands: give one.")
            check_sizes(f"{case_folder.name}/{path.name}", image, mask)
        masks_drawn = (np.concatenate(drawn) > 0.5).astype(np.int32)
        cases.append(Case(case_folder.name, image, masks_drawn, _range(image), group=case_folder.name))
    counts = {case.name: len(case.masks) for case in cases}
    if len(set(counts.values())) > 1:
        raise InvalidArgument(f"Cases differ in their annotators ({counts}): remove those with fewer masks.")
    return cases


def with_uncertainty(
    cases: Sequence[Case], model: Model, n: int = 8, kind: str = "channels", seed: int = 0
) -> list[Case]:
    """Replace the images of cases by products of super-resolution.

    Images are degraded by the model's forward operator, rounded to 256 levels, and sampled.

    With ``"channels"``, the image becomes the bands of ``mean``, then of ``std``, in the image's units.

    With ``"weight"``, the image becomes ``mean``, and a pixel has the weight ``1 / (1 + (std / m)^2)`` in the loss,
    with std the root mean square over bands, and m its median over the image.

    Parameters
    ----------
    cases : sequence of Case
        At high resolution, cropped to multiples of the scale factor from the upper left.
    model : Model
    n : int
        Members of each sample.
    kind : {"channels", "weight"}
    seed : int
        Seed of the members.

    Returns
    -------
    list of Case
        With the names, masks and groups of the given cases.

    Raises
    ------
    InvalidArgument
        If the kind is unknown, or there are fewer than two members.
    """
    if kind not in ("channels", "weight"):
        raise InvalidArgument(f'kind must be "channels" or "weight", not {kind!r}.')
    if n < 2:
        raise InvalidArgument(f"A standard deviation needs 2 members or more, not {n}.")
    return [_with_uncertainty(case, model, n, kind, seed) for case in cases]


def _with_uncertainty(case: Case, model: Model, n: int, kind: str, seed: int) -> Case:
    s = model.scale
    height, width = (size // s * s for size in case.masks.shape[1:])
    low, high = case.value_range
    image = torch.from_numpy(np.ascontiguousarray(case.image[:, :height, :width]))
    # Round to 256 levels, as a camera does.
    degraded = model.forward_operator.observe((image.double() - low) / (high - low)).clamp(0, 1).mul(255).round()
    low_resolution = xr.DataArray(degraded.numpy().astype(np.uint8), dims=("band", "y", "x"))
    ds = model.sample(low_resolution, n, seed=seed, keep_samples=False, progress=False)
    mean, std = (ds[name].to_numpy() * np.float32((high - low) / 255) for name in ("mean", "std"))
    weight = None if case.weight is None else case.weight[:height, :width]
    cropped = replace(case, masks=case.masks[:, :height, :width], weight=weight)
    mean = mean + np.float32(low)
    if kind == "channels":
        return replace(cropped, image=np.concatenate([mean, std]))
    variance = (std.astype(np.float64) ** 2).mean(0)
    trust = (1 / (1 + variance / max(float(np.median(variance)), 1e-12))).astype(np.float32)
    return replace(cropped, image=mean, weight=trust if weight is None else trust * weight)


# -- files --


def _case(file: Path, masks: Sequence[Path]) -> Case:
    try:
        image = read_image(file)
    except NotAnImage as error:
        raise type(error)(f"{file.name}: {error}") from error
    pixels = image.data.to_numpy().astype(np.float32)
    weight = None
    if image.missing is not None:
        pixels = image.to_units(image.scaled()).astype(np.float32)
        weight = np.logical_not(image.missing.any(axis=0)).astype(np.float32)
    drawn = [read_mask(mask) for mask in masks]
    for mask, path in zip(drawn, masks, strict=True):
        check_sizes(path.name, pixels, mask[None])
    return Case(file.stem, pixels, np.stack(drawn), image.value_range, weight, group=file.stem)


def _downsampled(case: Case, longest: int | None) -> Case:
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


def _case_number(folder: Path) -> tuple[int, str]:
    digits = re.sub(r"\D", "", folder.name)
    return (int(digits) if digits else 0, folder.name)
