"""Measure for how many images, original and degraded, the input check warns.

    bayesr bench inputs --data FOLDER

FOLDER holds ``set5``, ``set14``, ``bsd100`` (or ``bsd100_jpg``), and, in ``naip/hr``, aerial images, for which a model
of photographs is not calibrated. Low-resolution images are made with the antialiased bicubic operator, rounded to 8
bits, and then degraded. A cell has the share of images with a warning, and the number of images by finding. The mild
degradations show how sensitive the check is.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import numpy as np
import PIL.Image
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

import bayesr
from bayesr import images
from bayesr.errors import InvalidModel
from bayesr_bench.harness import Result, table
from bayesr_bench.options import Data, ModelName, sets_of
from bayesr_bench.sets import observe, read_set
from bayesr_bench.spectra import rounded

SETS = ("set5", "set14", "bsd100", "aerial")

Pixels = NDArray[Any]
Case = Callable[[Pixels, np.random.Generator], Pixels]


def blurred(image: Pixels, sigma: float) -> Pixels:
    return rounded(gaussian_filter(image.astype(float), (sigma, sigma, 0), mode="mirror"))


def compressed(image: Pixels, quality: int) -> Pixels:
    file = io.BytesIO()
    PIL.Image.fromarray(image).save(file, "JPEG", quality=quality)
    with PIL.Image.open(file) as picture:
        return np.asarray(picture)


def noisy(image: Pixels, random: np.random.Generator, sigma: float) -> Pixels:
    return rounded(image + random.normal(0, sigma, image.shape))


CASES: dict[str, tuple[Case, tuple[float, float] | None]] = {
    "as they are": (lambda x, _: x, None),
    "blurred, sigma 1.5": (lambda x, _: blurred(x, 1.5), None),
    "JPEG, quality 30": (lambda x, _: compressed(x, 30), None),
    "noise, sigma 10/255": (lambda x, random: noisy(x, random, 10), None),
    "uint8 within 0..25": (lambda x, _: rounded(x / 10), None),
    "12 bits as 16": (lambda x, _: np.round(x / 255 * 4095).astype(np.uint16), (0, 65535)),
    "mild: blurred, sigma 0.6": (lambda x, _: blurred(x, 0.6), None),
    "mild: JPEG, quality 75": (lambda x, _: compressed(x, 75), None),
    "mild: JPEG, quality 95": (lambda x, _: compressed(x, 95), None),
    "mild: noise, sigma 4/255": (lambda x, random: noisy(x, random, 4), None),
}
"""For each case, the degradation of an 8-bit image, and the value range of the result, if it is not the default."""


def share(model: bayesr.Model, lows: Sequence[Pixels], case: str) -> str:
    """Return the share of images with a warning, and the findings with their counts."""
    degrade, value_range = CASES[case]
    random, findings, warned = np.random.default_rng(0), Counter[str](), 0
    for low in lows:
        image = images.read(degrade(low, random), dims=("y", "x", "band"), value_range=value_range)
        verdict = model.check(image.scaled())
        findings.update(verdict.findings.keys())
        warned += bool(verdict.findings)
    counts = ", ".join(f"{kind} {count}" for kind, count in findings.most_common())
    return f"{warned / len(lows):.2f}" + (f" ({counts})" if counts else "")


@table(
    estimators="share of images with a warning",
    notes={
        "figures": "share of images with a warning (findings with their counts)",
        "degradations": "of the low-resolution image: Gaussian blur, JPEG by Pillow, independent Gaussian noise in "
        "every band; rounded to 8 bits; 12 bits in uint16 with value_range=(0, 65535); sigma of blur in its pixels",
    },
)
def command(
    data: Data,
    model: ModelName = "natural-x4",
    sets: Annotated[tuple[str, ...], sets_of(SETS)] = SETS,
) -> Result:
    """Return one row per degradation, with one column per set."""
    network = bayesr.load(model)
    if network.inputs is None:
        raise InvalidModel(f"{network.name} has no statistics of its calibration images: calibrate it again.")
    lows = {
        name: [
            observe(picture.pixels, network.forward_operator)
            for picture in read_set(data, name, network.scale).values()
        ]
        for name in sets
    }
    rows = [
        {"images": case} | {f"{name} ({len(found)})": share(network, found, case) for name, found in lows.items()}
        for case in CASES
    ]
    statistics = f"statistics of {network.inputs.images} calibration images"
    return Result(rows, {"model": f"{network.name}, {network.sha256[:12]}; {statistics}"})
