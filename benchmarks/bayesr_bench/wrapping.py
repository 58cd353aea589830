"""Uncertainty around somebody else's network, which has one output and no interval.

There are two ways:

- *Conformal*: the network's output keeps its place, and an interval is put around it, ``output -+ (lambda f(s) s +
  1/2)``. The map s is large where errors are large: the standard deviation of the members of a model of bayesr, or the
  local activity of the output. The factor f and lambda come from held-out images, as in `bayesr.calibrate`.
- *Members around it*: the members of a model of bayesr are moved so that the network's output is their mean, and
  projected so that each is consistent with the low-resolution image, ``x_j' = A+ y + P (x_j - mean + output)``.

References
----------
A. Angelopoulos et al., "Conformal Risk Control", 2024, arXiv:2208.02814.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from bayesr.calibration.calibration import Calibration
from bayesr.calibration.intervals import LAMBDAS
from bayesr.errors import DataNotFound, InvalidArgument
from bayesr.observe import ForwardOperator
from bayesr.scoring.diagnostics import activity
from bayesr.training.data import middle
from bayesr_bench.intervals import LIMITS, Case, fit_calibration, interval, outside
from bayesr_bench.sets import PHOTOGRAPHS, Answer, Picture, evenly, read_folder, read_set
from bayesr_bench.training import LEVEL, SIDE, Array

FEWEST = 40
"""The smallest number of held-out images. A quarter fits the factor; 30 others let an interval of 90% miss 7%.

Conformal risk control adds one image that is missed entirely. With 9 images nothing may be missed, and the worst pixel
decides the width.
"""
_SURE = 2**31
"""The number of members whose mean is a network's output: it has no sampling error."""
_ATOMS = 500
"""Quantiles of the distribution of absolute errors, for the CRPS."""


# -- the spread, and its calibration -------------------------------------------------------------


SPREADS = ("std", "activity")
"""The names of the maps s."""


def std_of_members(found: Answer) -> Array:
    """Return the standard deviation of a model's members around their own mean, ``band x y x x``."""
    spread: Array = found.members.std(0, ddof=1, dtype=np.float64)
    return spread


def activity_of(output: Array) -> Array:
    """Return the local activity of an output, ``band x y x x``: the standard deviation in 7x7 pixels, in all bands."""
    return np.broadcast_to(activity(output), output.shape)


@dataclass(frozen=True)
class Calibrated:
    """A calibrated spread.

    Attributes
    ----------
    calibration : Calibration
        Factor and lambda.
    shares : ndarray
        The fraction of held-out pixels whose error is at most lambda calibrated spreads, at each of `LAMBDAS`.
    """

    calibration: Calibration
    shares: Array

    @cached_property
    def atoms(self) -> Array:
        """Quantiles of the distribution of errors over calibrated spreads, which is taken to be symmetric; sorted."""
        levels = (np.arange(_ATOMS) + 0.5) / _ATOMS
        half = np.interp(levels, self.shares, LAMBDAS)
        return np.concatenate([-half[::-1], half])

    def around(self, output: Array, spread: Array, low: Array, truth: Array) -> Answer:
        """Return an answer of one output with its interval; `std` is the calibrated spread."""
        ends = interval(output.astype(np.float64), spread, self.calibration, _SURE)
        return Answer(low, output[None], output, *ends, truth)

    def crps(self, found: Answer) -> float:
        """Return the CRPS of the calibrated distribution around the output, averaged over pixels, in grey levels.

        The distribution of a pixel is that of `atoms`, scaled by its spread: ``E|X - x| - E|X - X'| / 2``. It is exact,
        as the fair CRPS of members is on average.
        """
        atoms, count = self.atoms, len(self.atoms)
        spread = np.maximum(found.std.astype(np.float64), 1e-9)
        error = (found.truth - found.mean) / spread
        below, total = np.searchsorted(atoms, error), np.concatenate([[0.0], np.cumsum(atoms)])
        distance = (error * (2 * below - count) - 2 * total[below] + total[-1]) / count
        of_pairs = float(np.sum((2 * np.arange(count) - count + 1) * atoms)) / count**2
        return float(np.mean(spread * (distance - of_pairs)))


def calibrate(cases: Sequence[Case]) -> Calibrated:
    """Calibrate a spread: every fourth case fits the factor, all others lambda and the distribution of errors.

    Parameters
    ----------
    cases : sequence of tuple of ndarray
        At least `FEWEST`, see `bayesr_bench.intervals`.
    """
    for_interval = [case for k, case in enumerate(cases) if k % 4]
    calibration = fit_calibration(cases[::4], for_interval, _SURE)
    return Calibrated(calibration, 1 - outside(calibration, for_interval, 0.0))


# -- held-out images -----------------------------------------------------------------------------


class HeldOut(NamedTuple):
    """Images that calibrate.

    Attributes
    ----------
    halves : tuple of list of Picture
        The images that calibrate for even and for odd images of a set, counted from 0.
    about : str
        Which images they are.
    """

    halves: tuple[list[Picture], list[Picture]]
    about: str

    @property
    def sha256(self) -> str:
        """The checksum of all their pixels."""
        digest = hashlib.sha256()
        for half in self.halves:
            for picture in half:
                digest.update(f"{picture.pixels.shape}".encode() + picture.pixels.tobytes())
        return digest.hexdigest()


def held_out(data: Path, folder: Path | None, count: int) -> HeldOut | str:
    """Read the central crops of images that calibrate.

    Parameters
    ----------
    data : Path
        Folder of the sets.
    folder : Path or None
        A folder of other images, which calibrate for all sets. Without it, each half of the sets of photographs
        calibrates for the other half: no image calibrates for itself.
    count : int
        Largest number of images of a half, evenly spaced.

    Returns
    -------
    HeldOut or str
        The images; or a note that there are too few in the sets.

    Raises
    ------
    InvalidArgument
        If `folder` has too few images, or one of the images that are measured.
    """
    of_sets = _of_sets(data)
    if folder is not None:
        images = _crops(list(read_folder(folder, count=count).values()))
        _refuse(images, of_sets, folder)
        return HeldOut((images, images), f"{len(images)} images of {folder.name}")
    even, odd = (
        _crops(evenly([one for pictures in of_sets.values() for one in pictures[start::2]], count)) for start in (0, 1)
    )
    if min(len(even), len(odd)) < FEWEST:
        return f"omitted: {FEWEST} images are needed to calibrate, in each half of the sets; or give --calibrate-on"
    return HeldOut(
        (odd, even),
        f"every second image of {', '.join(of_sets)} calibrates for the others, and the other way round "
        f"({len(even)} and {len(odd)} images)",
    )


def _of_sets(data: Path) -> dict[str, list[Picture]]:
    found = {}
    for name in PHOTOGRAPHS:
        try:
            found[name] = list(read_set(data, name).values())
        except DataNotFound:
            continue  # a set that is missing is not measured either
    return found


def _crops(pictures: Sequence[Picture]) -> list[Picture]:
    return [one._replace(pixels=np.ascontiguousarray(middle(one.pixels, SIDE))) for one in pictures]


def _refuse(images: Sequence[Picture], of_sets: dict[str, list[Picture]], folder: Path) -> None:
    if len(images) < FEWEST:
        raise InvalidArgument(
            f"{folder} has {len(images)} images: at least {FEWEST} are needed to calibrate intervals of {LEVEL:g}. "
            "Name another folder with --calibrate-on, or leave these rows out with --held-out 0."
        )
    measured = {one.pixels.tobytes(): name for name, pictures in of_sets.items() for one in _crops(pictures)}
    same = {measured[one.pixels.tobytes()] for one in images if one.pixels.tobytes() in measured}
    if same:
        raise InvalidArgument(
            f"{folder} has images of {', '.join(sorted(same))}, which are measured: intervals must be calibrated on "
            "others. Name another folder with --calibrate-on."
        )


# -- members around an output --------------------------------------------------------------------


def moved(found: Answer, output: Array, operator: ForwardOperator) -> Answer:
    """Return the members of an answer, moved so that another network's output is their mean, and made consistent.

    The interval keeps its width and moves with the mean.

    Parameters
    ----------
    found : Answer
        Of a model of bayesr.
    output : ndarray
        Of the other network, ``band x y x x``, in grey levels.
    operator : ForwardOperator
        The operator of the low-resolution image.
    """
    y = torch.from_numpy(found.low.transpose(2, 0, 1).astype(np.float32))
    members = torch.from_numpy(found.members - found.members.mean(0) + output)
    members = operator.project_onto_data_(members.contiguous(), y)
    members = operator.clip_consistently_(members, y, *LIMITS)
    mean = members.mean(0).numpy()
    lower, upper = (
        np.clip(end + (mean - found.mean), *LIMITS).astype(np.float32) for end in (found.lower, found.upper)
    )
    return found._replace(members=members.numpy(), mean=mean, lower=lower, upper=upper)
