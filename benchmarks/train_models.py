"""Train the bundled models of real instruments: camera-x4, microscopy-x4 and natural-x2.

    python benchmarks/train_models.py camera-x4 --photographs PHOTOS --held-out LIST --out FOLDER

camera-x4 and natural-x2 start from natural-x4, and microscopy-x4 from camera-x4. All are
trained with the scores of `bayes-sr`: first the backbone by the mean, then the head by its members, which starts anew
where the start's members were projected, then all weights, with the energy score of features. The minutes are those of
one CPU core with bfloat16; ``--times`` scales them.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

import bayesr
from bayesr import images, observe
from bayesr.training.data import ImageSet, load_images
from bayesr.training.degradation import Degradation
from bayesr.training.recipe import Recipe
from bayesr.training.recipes import bayes_sr

FEATURES = 0.5
"""Norm of the gradient of the energy score of features, over that of the other scores."""
SIDE = 256
"""Pixels along a side of the crops of micrographs, so that large images are not drawn as rarely as small ones."""

PHOTOGRAPHS = (
    "trained on crops of freely licensed photographs (CC0, CC BY, CC BY-SA, Unsplash, Pexels and other free licences, "
    "named for each photograph in the list of attributions)"
)
ORIGIN = "its backbone was grown from natural-x4-fast, whose photographs are known as being for non-commercial research"


@dataclass(frozen=True)
class Training:
    """What is particular to a model."""

    start: str
    minutes: Mapping[str, float]
    card: Mapping[str, Any]
    bands: int = 3
    scale: int = 4
    degradation: Degradation = field(default_factory=Degradation)


TRAININGS = {
    "camera-x4": Training(
        start="natural-x4",
        minutes={"fidelity": 20, "head": 12, "score": 43},
        degradation=Degradation(
            blur=(0, 3.6),
            anisotropy=(1, 1.5),
            noise=(0, 0.06),
            jpeg=(40, 100),
            shares={"blur": 0.65, "noise": 0.6, "jpeg": 0.5},
        ),
        card={
            "domain": "photographs of cameras, with blur, noise and JPEG",
            "use": "Photographs as cameras and the web deliver them: blurred by up to 0.9 pixels (standard deviation), "
            "with noise of up to 6% of the range, and compressed by JPEG of quality 40 or better. For clean, sharp "
            "images use natural-x4. Not for identifying people or reading text.",
            "limits": "Members do not reproduce the input, which is noisy, and look grainy: measure with all members, "
            "and show the mean as the image. Blur beyond a Gaussian, motion blur, and noise that a camera has filtered "
            "are other degradations. Intervals hold on average over images like those "
            "of the calibration.",
            "data": "1,366 crops of 937 photographs (photos_free)",
            "licence": f"{PHOTOGRAPHS}; {ORIGIN}",
            "attributions": "photos_free.csv",
        },
    ),
    "microscopy-x4": Training(
        start="camera-x4",
        minutes={"fidelity": 6, "head": 0, "score": 14},
        bands=1,
        degradation=Degradation(
            blur=(0, 3.6),
            noise=(0, 0.04),
            photon=(0, 0.02),
            bits=(8, 16),
            shares={"blur": 0.75, "noise": 0.85},
        ),
        card={
            "domain": "fluorescence microscopy, with blur and noise",
            "use": "Fluorescence microscopy of 8 to 16 bits, one band at a time: blurred by up to 0.9 pixels (standard "
            "deviation), with read noise of up to 4% of the range and Poisson noise of 50 photons or more at its top. "
            "Not for diagnosis.",
            "limits": "Members do not reproduce the input, which is noisy. Members look "
            "grainy: measure with all members, and show the mean as the image. Structures other than nuclei, actin "
            "and mitochondria are known from photographs alone. Intervals hold on average over images like those of "
            "the calibration.",
            "data": "crops of Data Science Bowl 2018 (fluorescence images), of BPAE cells (actin, mitochondria, "
            "nuclei), and as many crops of photographs (photos_free)",
            "licence": f"{PHOTOGRAPHS}, of the Data Science Bowl 2018 (BBBC038, CC0), and of BPAE cells "
            f"(BioImageAnalysisNotebooks, CC BY 4.0); {ORIGIN}",
            "attributions": "photos_free.csv",
        },
    ),
    "natural-x2": Training(
        start="natural-x4",
        minutes={"fidelity": 13, "head": 4, "score": 17},
        scale=2,
        card={
            "domain": "natural photographs",
            "use": "Photographs that were reduced by antialiased bicubic x2, in 8 bits, without JPEG artefacts or "
            "noise. Not for identifying people or reading text.",
            "limits": "Detail finer than the input is drawn, not recovered. Aliased patterns are missed with a small "
            "standard deviation. Intervals hold on average over images like those of the calibration.",
            "data": "1,366 crops of 937 photographs (photos_free)",
            "licence": f"{PHOTOGRAPHS}; {ORIGIN}",
            "attributions": "photos_free.csv",
        },
    ),
}


def recipe_for(training: Training) -> Recipe:
    """Return `bayes-sr` with batches and learning rates for a short training that starts from a trained network."""
    fidelity, score = bayes_sr.RECIPE.stages
    patch = 32 if training.scale == 4 else 40
    stages = (
        replace(fidelity, rate=5e-4, batch=16),
        replace(score, name="head", rate=1e-3, batch=8, trained="head"),
        replace(score, rate=4e-4, batch=8, members=3, features=FEATURES, balanced=True),
    )
    return replace(bayes_sr.RECIPE, stages=stages, patch=patch, feature_network="efficientnet-lite0")


def micrographs(
    photographs: Path, held_out: Path, fluorescence: Path, cells: Path, kept: int = 50
) -> tuple[ImageSet, list[str]]:
    """Return crops of micrographs and as many of photographs, and the names of those that are held out.

    All crops of a micrograph are held out together. Photographs are not, since intervals are to hold for micrographs.
    """
    crops: dict[str, dict[str, Any]] = {}
    micro = load_images([fluorescence], 1)
    for name, image in zip(micro.names, micro.images, strict=True):
        if np.median(image) < 128:  # others are stained tissue in bright field
            crops[name] = _crops(name, image)
    for file in sorted(cells.glob("BPAE_*.tif")):
        counts = images.read(file).data.to_numpy().transpose(1, 2, 0).astype(np.float64)
        dark, bright = np.percentile(counts, [1, 99.9])
        crops[file.name] = _crops(file.name, (255 * (counts - dark) / (bright - dark)).clip(0, 255).round())
    random = np.random.default_rng(0)
    chosen = {*random.choice([name for name in crops if name.endswith(".png")], kept, replace=False).tolist()}
    found = {crop: image for of_file in crops.values() for crop, image in of_file.items()}
    held = [crop for name in sorted(chosen) for crop in crops[name]]
    photos = load_images([photographs], 1)
    listed = {*held_out.read_text().split()}
    inside = [i for i, name in enumerate(photos.names) if Path(name).name not in listed]
    for i in random.choice(inside, len(found) - len(held), replace=False).tolist():
        found[photos.names[i]] = photos.images[i]
    return ImageSet(tuple(found), tuple(found.values())), held


def _crops(name: str, image: Any) -> dict[str, Any]:
    """Return the crops of an image by name."""
    height, width = image.shape[:2]
    return {
        f"{Path(name).stem}-{top}-{left}.png": image[top : top + SIDE, left : left + SIDE].astype(np.uint8)
        for top in range(0, height - SIDE + 1, SIDE)
        for left in range(0, width - SIDE + 1, SIDE)
    }


def main() -> None:
    """Train one model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", choices=TRAININGS)
    parser.add_argument("--photographs", type=Path, required=True, help="folder of photographs")
    parser.add_argument("--held-out", type=Path, required=True, help="text file with names of held-out photographs")
    parser.add_argument("--fluorescence", type=Path, help="folder of the Data Science Bowl's images")
    parser.add_argument("--cells", type=Path, help="folder with BPAE_*.tif")
    parser.add_argument("--start", help="model or checkpoint in place of the one that the training names")
    parser.add_argument("--out", type=Path, required=True, help="folder for the model and its checkpoint")
    parser.add_argument("--times", type=float, default=1.0, help="multiple of the training's minutes")
    parser.add_argument("--resume", action="store_true")
    options = parser.parse_args()
    training = TRAININGS[options.model]
    data, held_out = options.photographs, options.held_out
    if options.model == "microscopy-x4":
        crops, names = micrographs(data, held_out, options.fluorescence, options.cells)
        data, held_out = options.out / "micrographs.npz", options.out / "micrographs-held-out.txt"
        crops.pack(data)
        held_out.write_text("\n".join(names))
    bayesr.train(
        recipe_for(training),
        data,
        out=options.out / f"{options.model}.safetensors",
        forward_operator=observe.bicubic(training.scale),
        degradation=training.degradation,
        bands=training.bands,
        duration={stage: 60 * minutes * options.times for stage, minutes in training.minutes.items()},
        precision="bfloat16",
        held_out=held_out,
        every=400,
        resume=options.resume,
        start=None if options.resume else options.start or training.start,
        card=dict(training.card),
    )


if __name__ == "__main__":
    main()
