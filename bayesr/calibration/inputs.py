"""Is this image like those that the calibration holds for?

Intervals hold for images like the calibration's. What most often breaks that can be seen in the
low-resolution image alone: blur, JPEG blocks, noise, values on another scale. A linear rule

    w . f(image) > t

on the statistics f of `bayesr.images.image_statistics` looks for each of them; a distance from the calibration
images stands for what nobody thought of. `bayesr.calibration.input_rules` fits both. Everything is in
the network's units, where `value_range` is [0, 1].
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesr.errors import UnfamiliarInput, warn
from bayesr.images.image_statistics import (
    BLOCKS,
    COLOUR,
    DETAIL,
    POWER,
    SLOPE,
    SMALLEST,
    WHITENESS,
    luma,
    names,
    statistics,
)

Array = NDArray[np.floating]

_VERSION = 1
"""Of the statistics: rules fitted on others are not used."""

RULES = {
    "blurred": POWER + WHITENESS,
    "JPEG blocks": BLOCKS,
    "noisy": POWER + DETAIL + SLOPE + WHITENESS,
    "colour noise": COLOUR + DETAIL + SLOPE,
}
"""The statistics that each rule may use: few, so that it cannot learn what has nothing to do with it."""
TEXTURE = (
    "power0", "power2", "power5", "detail5", "detail50", "detail95", "slope5", "slope95", "whiteness",
)  # fmt: skip
"""The statistics that the distance is taken in: a hundred images do not determine the covariance of many."""

_ADVICE = {
    "blurred": "Give the image as it was before it was interpolated or smoothed, or use a model trained for this blur.",
    "JPEG blocks": "Give the image as it was before compression, or use a model trained on compressed images.",
    "noisy": "Average exposures or denoise it first, or use a model trained for this noise: every member keeps it.",
    "intensity scale": "Say with value_range=(black, white), in the units of the image, what the network sees as 0..1.",
    "unfamiliar texture": "Score a few images of its kind against references, or calibrate on them.",
}


@dataclass(frozen=True)
class InputCheck:
    """What the check found.

    Attributes
    ----------
    findings : mapping of str to str
        What is off, and by how much, in words.
    unchecked : str
        Why nothing can be said; empty where something can.
    """

    findings: Mapping[str, str]
    unchecked: str = ""

    def __str__(self) -> str:
        if self.unchecked:
            return f"not checked: {self.unchecked}"
        return f"unlike calibration: {', '.join(self.findings)}" if self.findings else "as in calibration"

    def warn(self, model: str) -> None:
        """One `UnfamiliarInput` with all findings, at the line that called into bayesr; none without findings."""
        if not self.findings:
            return
        lines = [f"{kind}: {how} {_ADVICE[kind]}" for kind, how in self.findings.items()]
        warn(
            f"The image is unlike those that {model} was calibrated on: members may be confidently wrong, and "
            "intervals are not to be trusted.\n- " + "\n- ".join(lines),
            UnfamiliarInput,
        )


@dataclass(frozen=True, eq=False)
class InputStatistics:
    """What the calibration images look like, and how degraded versions of them differ.

    Attributes
    ----------
    bands, images : int
        Bands of an image; images that were looked at.
    typical : mapping of str to float
        The median of every statistic.
    rules : mapping of str to ndarray
        For a name in `RULES`, the weights of its statistics and, last, -t.
    whitening : ndarray
        W, so that hardly any calibration image has ``|W (f - typical)| > 1``; f are the statistics in `TEXTURE`.
    scale : tuple of float
        The least 1% quantile of the luma, its largest 99% quantile, and the least distance of the two that are usual.
    """

    bands: int
    images: int
    typical: Mapping[str, float]
    rules: Mapping[str, Array]
    whitening: Array
    scale: tuple[float, float, float]

    def check(self, pixels: Array) -> InputCheck:
        """Compare an image with the calibration's.

        Parameters
        ----------
        pixels : ndarray
            `band x y x x`, in network units, finite. Where the model takes bands one by one, at
            most four of them are looked at, one by one.
        """
        if min(pixels.shape[1:]) < SMALLEST:
            return InputCheck({}, f"less than {SMALLEST} pixels on a side say too little")
        if np.ptp(pixels) == 0:
            return InputCheck({}, "the image is constant")
        if len(pixels) == self.bands:
            return InputCheck(self._findings(pixels))
        findings: dict[str, str] = {}
        for band in np.unique(np.linspace(0, len(pixels) - 1, 4).astype(int)):
            for kind, how in self._findings(pixels[band : band + 1]).items():
                findings.setdefault(kind, f"in band {band}, {how}")
        return InputCheck(findings)

    def _findings(self, pixels: Array) -> dict[str, str]:
        some = luma(pixels[:, :: -(-pixels.shape[1] // 512), :: -(-pixels.shape[2] // 512)])
        low, high = np.percentile(some, [1, 99])
        if low < self.scale[0] or high > self.scale[1] or high - low < self.scale[2]:
            # All else depends on the scale, so it waits until the scale is right.
            return {
                "intensity scale": f"98% of its values lie in {low:.2g} to {high:.2g}, where the network sees 0 to 1; "
                f"usual is {self.scale[0]:.2g} to {self.scale[1]:.2g}, at least {self.scale[2]:.2g} wide."
            }
        of = dict(zip(self.typical, statistics(pixels).tolist(), strict=True))
        off = {kind for kind, rule in self.rules.items() if rule @ [*(of[name] for name in RULES[kind]), 1.0] > 0}
        away = {name: of[name] - usual for name, usual in self.typical.items()}
        found = {}
        if "blurred" in off:
            # With the coarse structure as a measure: a dull scene has little power everywhere.
            ratio = math.exp(away["power1"] - away["power4"])
            found["blurred"] = (
                "beside its coarse structure, the power at 3/8 to 1/2 cycle per pixel is "
                f"{ratio:.2g} times smaller than usual."
            )
        if "JPEG blocks" in off:
            found["JPEG blocks"] = (
                f"on one grid of 8 x 8 pixels the fine cosine coefficients are {math.exp(of['block_depth']):.2g} times "
                f"smaller than off that grid; usual is {math.exp(self.typical['block_depth']):.2g}."
            )
        if off & {"noisy", "colour noise"}:
            name, where = ("detail5", "between pixels") if "noisy" in off else ("colour10", "of one band from the rest")
            level, usual = (math.exp(value / 2) for value in (of[name], self.typical[name]))
            found["noisy"] = (
                f"where it is flattest, random-looking differences {where} are {level:.2g} of the value range; "
                f"usual is {usual:.2g}."
            )
        far = float(np.linalg.norm(self.whitening @ [away[name] for name in TEXTURE]))
        if not found and far > 1:
            found["unfamiliar texture"] = (
                f"its spectrum and local contrast are {far:.2g} times as far from the usual as the outermost "
                "calibration images'."
            )
        return found

    def describe(self) -> dict[str, Any]:
        """Plain values for a model file; `from_description` reads them back."""
        return {
            "version": _VERSION,
            "bands": self.bands,
            "images": self.images,
            "typical": _plain(list(self.typical.values())),
            "rules": {kind: _plain(rule) for kind, rule in self.rules.items()},
            "whitening": _plain(self.whitening.ravel()),
            "scale": _plain(self.scale),
        }

    @classmethod
    def from_description(cls, plain: Mapping[str, Any] | None) -> InputStatistics | None:
        """None where there is nothing, or statistics that this version computes otherwise."""
        if not plain or plain["version"] != _VERSION:
            return None
        bands, (low, high, width) = int(plain["bands"]), map(float, plain["scale"])
        return cls(
            bands=bands,
            images=int(plain["images"]),
            typical=dict(zip(names(bands), map(float, plain["typical"]), strict=True)),
            rules={kind: np.asarray(rule, float) for kind, rule in plain["rules"].items()},
            whitening=np.asarray(plain["whitening"], float).reshape(-1, len(TEXTURE)),
            scale=(low, high, width),
        )


def _plain(values: Sequence[float] | Array) -> list[float]:
    return [float(f"{value:.5g}") for value in values]
