"""Train recipes on equal data within equal budgets of processor time, and calibrate them."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

import bayesr
from bayesr.errors import InvalidArgument
from bayesr.files import write_atomically
from bayesr.model.header import read_header
from bayesr.observe import bicubic
from bayesr.training.data import ImageSet, load_images
from bayesr.training.held_out import make_pairs
from bayesr.training.recipes import recipe
from bayesr_bench.budget import StepClock, affordable
from bayesr_bench.compact import compact
from bayesr_bench.sets import SCALE, Picture, is_dark, read_set

LEVEL = 0.9
"""Level of the intervals that are calibrated and measured."""
SIDE = 192
"""Side of the central crop of each held-out image, in pixels. Models are calibrated on these crops."""
_RECORDS = 20
"""Records in the history of a training."""

Array = NDArray[Any]


# -- data ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Domain:
    """A kind of images.

    Attributes
    ----------
    bands : int
    sets : mapping of str to int
        The sets that are measured on, and k: every k-th image of the set is measured.
    """

    bands: int
    sets: Mapping[str, int]

    def pictures(self, name: str, data: Path, limit: int | None) -> list[Picture]:
        """Return the images of a set that are measured on."""
        return list(read_set(data, name).values())[:: self.sets[name]][:limit]


DOMAINS = {"natural": Domain(3, {"set14": 1, "bsd100": 5}), "fluorescence": Domain(1, {"nuclei": 1})}


def prepared(domain: str, folders: Sequence[Path], held_out: int) -> tuple[ImageSet, ImageSet]:
    """Read the images of a domain to train on, and central crops of `held_out` others to calibrate on.

    Of fluorescence folders only images with a dark background are read.
    """
    images = load_images(folders, DOMAINS[domain].bands)
    if domain == "fluorescence":
        images = images.take([i for i, image in enumerate(images.images) if is_dark(image)])
    training, kept = images.split(held_out)
    return training, kept.middles(SIDE)


def checksum(*sets: ImageSet) -> str:
    """Return the SHA-256 over names, shapes and pixels of images."""
    digest = hashlib.sha256()
    for images in sets:
        for name, image in zip(images.names, images.images, strict=True):
            digest.update(f"{name} {image.shape}".encode() + image.tobytes())
    return digest.hexdigest()


@dataclass(frozen=True)
class Archives:
    """Images to train and to calibrate on, as files that processes of their own can read.

    Attributes
    ----------
    images, held_out : Path
        As `ImageSet.pack` writes them.
    sha256 : str
        `checksum` of both.
    facts : str
        Numbers of images, their folders, and the checksum: a note of the table.
    """

    images: Path
    held_out: Path
    sha256: str
    facts: str = ""


def pack(training: ImageSet, held_out: ImageSet, sources: Sequence[Path], stem: Path) -> Archives:
    """Write both sets of images beside `stem`; `sources` are the folders that they are from."""
    paths = stem.with_name(f"{stem.name}.npz"), stem.with_name(f"{stem.name}-held-out.npz")
    for images, path in zip((training, held_out), paths, strict=True):
        images.pack(path)
    digest = checksum(training, held_out)
    facts = (
        f"{len(training.names)} to train on and {len(held_out.names)} to calibrate on, from "
        f"{', '.join(sorted({source.name for source in sources}))}; checksum {digest[:12]}"
    )
    return Archives(*paths, digest, facts)


# -- training ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Task:
    """A recipe to train, and the data to train and to measure it on.

    Attributes
    ----------
    recipe, domain : str
    archives : Archives
    data : Path
        Folder of the sets that are measured on.
    model : Path
        The model file. If it exists it is measured and not trained. The history of the training lies beside it.
    budget : float
        Processor seconds of training.
    n, seed : int
    limit : int or None
        Images per set.
    whole : bool
        Whether networks, patches and batches have the recipe's sizes, not those of `bayesr_bench.compact`.
    """

    recipe: str
    domain: str
    archives: Archives
    data: Path
    model: Path
    budget: float
    n: int = 32
    seed: int = 0
    limit: int | None = None
    whole: bool = False

    @property
    def terms(self) -> dict[str, Any]:
        """The terms that all models of one table share, as their files state them."""
        terms = {"budget": self.budget, "seed": self.seed, "images_sha256": self.archives.sha256}
        return terms | {"size": "whole" if self.whole else "compact"}


def train_and_calibrate(task: Task) -> None:
    """Train a recipe within the budget, calibrate it if it draws members, and write its model file and history."""
    bands, operator, clock = DOMAINS[task.domain].bands, bicubic(SCALE), StepClock()
    own = recipe(task.recipe) if task.whole else compact(recipe(task.recipe))
    own = affordable(own, load_images([task.archives.images], bands), operator, task.budget, task.seed)
    steps = sum(stage.steps for stage in own.stages)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / task.model.name
        # Held-out images are in an archive of their own, so that point estimators train on the same images as others.
        model = bayesr.train(
            own, task.archives.images, out=out, forward_operator=operator, bands=bands, held_out=0, seed=task.seed,
            device="cpu", every=max(1, steps // _RECORDS), card={"domain": task.domain}, progress=False, report=clock,
        )  # fmt: skip
        assert model is not None  # no time limit was set
        terms = {"systems": task.terms, "processor_seconds": round(clock.seconds, 1)}
        model = replace(model, card=dict(model.card) | terms)
        if model.generator.stochastic:
            kept = make_pairs(load_images([task.archives.held_out], bands), operator)
            model = bayesr.calibrate(model, kept, levels=[LEVEL], seed=task.seed, progress=False)
        for suffix in (".jsonl", ".png"):
            if out.with_suffix(suffix).exists():
                write_atomically(task.model.with_suffix(suffix), out.with_suffix(suffix).read_bytes())
        model.save(task.model)


def terms_of(model: Path) -> Any:
    """Return the terms that a model file states; None if the file states none."""
    return read_header(model)["card"].get("systems")


def check_terms(file: Path, found: Any, expected: Any) -> None:
    """Check that a file was made on the terms of this table.

    Raises
    ------
    InvalidArgument
        If it was made on other terms.
    """
    if found != expected:
        raise InvalidArgument(
            f"{file.name} was made on other terms ({found}) than this table's ({expected}), and cannot be compared: "
            "choose another folder for this table's models, or delete that file."
        )
