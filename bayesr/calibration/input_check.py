"""Out-of-distribution check: compare an image with the images that the model was calibrated on.

Intervals hold for images like those of the calibration. The commonest departures are visible at low resolution: blur,
JPEG blocks, noise, and values on another scale. A linear rule

    w . f(image) > t

on the statistics f of `bayesr.images.image_statistics` detects each. A distance from the calibration images detects
others. `bayesr.calibration.input_rules` fits both.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesr.calibration.plain import mapping, numbers, whole
from bayesr.errors import InvalidModel, UnfamiliarInput, warn
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
"""Version of the statistics; rules of another version are not used."""

_LARGEST, _LARGEST_LOG = 1e9, 100.0
"""Largest numbers in a file, far beyond those of any image, so that products and exponentials stay finite."""

RULES = {
    "blurred": POWER + WHITENESS,
    "JPEG blocks": BLOCKS,
    "noisy": POWER + DETAIL + SLOPE + WHITENESS,
    "colour noise": COLOUR + DETAIL + SLOPE,
}
"""The statistics of each rule: few, so that it cannot learn unrelated differences."""
TEXTURE = (
    "power0", "power2", "power5", "detail5", "detail50", "detail95", "slope5", "slope95", "whiteness",
)  # fmt: skip
"""The statistics of the distance: few, since a hundred images do not determine a large covariance."""

_ADVICE = {
    "blurred": "Give the image as it was before it was interpolated or smoothed, or use a model trained for this blur.",
    "JPEG blocks": "Give the image as it was before compression, or use a model trained on compressed images.",
    "noisy": "Average exposures or denoise it first, or use a model trained for this noise: every member keeps it.",
    "intensity scale": "Say with value_range=(black, white), in the units of the image, what the network sees as 0..1.",
    "unfamiliar texture": "Score a few images of its kind against references, or calibrate on them.",
}


@dataclass(frozen=True)
class InputCheck:
    """Result of the out-of-distribution check.

    Attributes
    ----------
    findings : mapping of str to str
        A description of each departure, by its kind.
    unchecked : str
        Why the image could not be checked; empty where it was.
    """

    findings: Mapping[str, str]
    unchecked: str = ""

    @classmethod
    def of_all(cls, checks: Sequence[InputCheck]) -> InputCheck:
        """Return what the checks of the slices of a stack found: each departure as it is in the first slice with it."""
        if len(checks) == 1:
            return checks[0]
        findings: dict[str, str] = {}
        for kind in dict.fromkeys(kind for check in checks for kind in check.findings):
            found = [check.findings[kind] for check in checks if kind in check.findings]
            findings[kind] = f"in {len(found)} of {len(checks)} slices. {found[0]}"
        unchecked = [check.unchecked for check in checks if check.unchecked]
        return cls(findings, unchecked[0] if len(unchecked) == len(checks) else "")

    def __str__(self) -> str:
        if self.unchecked:
            return f"not checked: {self.unchecked}"
        return f"unlike calibration: {', '.join(self.findings)}" if self.findings else "as in calibration"

    def warn(self, model: str) -> None:
        """Issue one `UnfamiliarInput` warning with all findings, if any, at the line that called into bayesr.

        Parameters
        ----------
        model : str
            Name of the model.
        """
        if not self.findings:
            return
        lines = [f"{kind}: {description} {_ADVICE[kind]}" for kind, description in self.findings.items()]
        warn(
            f"The image is unlike those that {model} was calibrated on: members may be confidently wrong, and "
            "intervals may be too narrow.\n- " + "\n- ".join(lines),
            UnfamiliarInput,
        )


@dataclass(frozen=True, eq=False)
class InputStatistics:
    """Statistics of the calibration images, and rules that detect degraded versions of them.

    Attributes
    ----------
    bands, images : int
        Bands of an image, and number of images.
    typical : mapping of str to float
        The median of every statistic.
    rules : mapping of str to ndarray
        For a name in `RULES`, the weights of its statistics and, last, -t.
    whitening : ndarray
        Matrix W such that 99% of calibration images have ``|W (f - typical)| <= 1``; f are the statistics in `TEXTURE`.
    scale : tuple of float
        Limits of usual images: least 1% quantile of the luma, largest 99% quantile, and least difference of the two.
    """

    bands: int
    images: int
    typical: Mapping[str, float]
    rules: Mapping[str, Array]
    whitening: Array
    scale: tuple[float, float, float]

    def check(self, pixels: Array) -> InputCheck:
        """Compare an image with the calibration images.

        Parameters
        ----------
        pixels : ndarray
            `band x y x x`, in network units, finite. If the model takes single bands, at most four are checked.
        """
        if min(pixels.shape[1:]) < SMALLEST:
            return InputCheck({}, f"less than {SMALLEST} pixels on a side say too little")
        if np.ptp(pixels) == 0:
            return InputCheck({}, "the image is constant")
        if len(pixels) == self.bands:
            return InputCheck(self._findings(pixels))
        findings: dict[str, str] = {}
        for band in np.unique(np.linspace(0, len(pixels) - 1, 4).astype(int)):
            for kind, description in self._findings(pixels[band : band + 1]).items():
                findings.setdefault(kind, f"in band {band}, {description}")
        return InputCheck(findings)

    def _findings(self, pixels: Array) -> dict[str, str]:
        thinned = luma(pixels[:, :: -(-pixels.shape[1] // 512), :: -(-pixels.shape[2] // 512)])
        low, high = np.percentile(thinned, [1, 99])
        if low < self.scale[0] or high > self.scale[1] or high - low < self.scale[2]:
            # All other statistics depend on the scale.
            return {
                "intensity scale": f"98% of its values lie in {low:.2g} to {high:.2g}, where the network sees 0 to 1; "
                f"usual is {self.scale[0]:.2g} to {self.scale[1]:.2g}, at least {self.scale[2]:.2g} wide."
            }
        values = dict(zip(self.typical, statistics(pixels).tolist(), strict=True))
        exceeded = {
            kind for kind, rule in self.rules.items() if rule @ [*(values[name] for name in RULES[kind]), 1.0] > 0
        }
        difference = {name: values[name] - usual for name, usual in self.typical.items()}
        findings = {}
        if "blurred" in exceeded:
            # Relative to the coarse structure, since a scene of low contrast has little power at all frequencies.
            ratio = math.exp(difference["power1"] - difference["power4"])
            findings["blurred"] = (
                "relative to its coarse structure, the power at 3/8 to 1/2 cycle per pixel is "
                f"{ratio:.2g} times smaller than usual."
            )
        if "JPEG blocks" in exceeded:
            depth, usual_depth = (math.exp(table["block_depth"]) for table in (values, self.typical))
            findings["JPEG blocks"] = (
                f"on one grid of 8 x 8 pixels the fine cosine coefficients are {depth:.2g} times "
                f"smaller than off that grid; usual is {usual_depth:.2g}."
            )
        if exceeded & {"noisy", "colour noise"}:
            name, where = (
                ("detail5", "between pixels") if "noisy" in exceeded else ("colour10", "of one band from the rest")
            )
            level, usual = (math.exp(value / 2) for value in (values[name], self.typical[name]))
            findings["noisy"] = (
                f"where it is flattest, random-looking differences {where} are {level:.2g} of the value range; "
                f"usual is {usual:.2g}."
            )
        distance = float(np.linalg.norm(self.whitening @ [difference[name] for name in TEXTURE]))
        if not findings and distance > 1:
            findings["unfamiliar texture"] = (
                f"its spectrum and local contrast are {distance:.2g} times as far from the usual as those of the "
                "outermost calibration images."
            )
        return findings

    def describe(self) -> dict[str, Any]:
        """Return plain values for a model file."""
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
        """Return the statistics that `describe` described; None for None and for another version.

        Raises
        ------
        InvalidModel
            For values that no statistics have; the message names them.
        """
        if plain is None:
            return None
        for name in ("version", "bands", "images", "typical", "rules", "whitening", "scale"):
            if name not in mapping("inputs", plain):
                raise InvalidModel(f"inputs lacks {name}.")
        if whole("inputs.version", plain["version"]) != _VERSION:
            return None
        order = names(bands := whole("inputs.bands", plain["bands"], 1))
        typical = numbers("inputs.typical", plain["typical"], len(order), -_LARGEST_LOG, _LARGEST_LOG)
        whitening = numbers("inputs.whitening", plain["whitening"], None, -_LARGEST, _LARGEST)
        if not whitening.size or whitening.size % len(TEXTURE):
            raise InvalidModel(f"inputs.whitening must have a multiple of {len(TEXTURE)} values, not {whitening.size}.")
        low, high, width = numbers("inputs.scale", plain["scale"], 3, -_LARGEST, _LARGEST)
        return cls(
            bands=bands,
            images=whole("inputs.images", plain["images"]),
            typical=dict(zip(order, typical.tolist(), strict=True)),
            rules={kind: _rule(kind, rule, order) for kind, rule in mapping("inputs.rules", plain["rules"]).items()},
            whitening=whitening.reshape(-1, len(TEXTURE)),
            scale=(float(low), float(high), float(width)),
        )


def _rule(kind: str, values: Any, order: Sequence[str]) -> Array:
    if kind not in RULES or not set(RULES[kind]) <= set(order):
        raise InvalidModel(f"inputs.rules has an unknown rule {kind!r}: known are {', '.join(RULES)}.")
    return numbers(f"inputs.rules[{kind}]", values, len(RULES[kind]) + 1, -_LARGEST, _LARGEST)


def _plain(values: Sequence[float] | Array) -> list[float]:
    return [float(f"{value:.5g}") for value in values]
