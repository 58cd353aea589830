"""PSNR and SSIM as the field's tables have them, and the proof that they are: bicubic upsampling's published figures.

They are of the Y channel of 8-bit images, `scale` pixels shaved at the border; of grey files, of the values
themselves. The peak is 255 either way.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.metrics import structural_similarity

from bayesr.errors import UnknownData, WrongProtocol
from bayesr.resampling import upsampling_matrix
from bayesr_bench.sets import SCALE, observe, read_set

# Bicubic x4: W.-S. Lai et al., "Deep Laplacian pyramid networks", 2017, arXiv:1704.03915, Table 2, to our digits.
PUBLISHED = {"set5": (28.42, 0.8104), "set14": (26.00, 0.7027), "bsd100": (25.96, 0.6675)}
ESTIMATORS = (
    "PSNR and SSIM of the mean: Y channel, of grey files the values, peak 255, scale pixels shaved; fair CRPS and "
    "coverage of the 90% interval over all bands, in grey levels; averages over images, +- their standard error"
)
"""What the scores in a model file are."""

Array = NDArray[Any]


def upsample(low: NDArray[np.uint8], scale: int = SCALE) -> Array:
    """Bicubic upsampling as MATLAB's imresize does it: Keys' cubic, a = -1/2, mirrored borders; `y x x x band`."""

    down, across = (upsampling_matrix("bicubic", size, scale) for size in low.shape[:2])
    found: Array = np.einsum("Yy,yxb,Xx->YXb", down, low.astype(float), across, optimize=True)
    return found


def luma(image: Array, shave: int = SCALE) -> Array:
    """Y of MATLAB's rgb2ycbcr, of an 8-bit image, `y x x x band`, shaved; one band stands for three equal ones."""
    rounded = np.broadcast_to(np.clip(np.round(image), 0, 255), (*image.shape[:2], 3))
    y = 16 + rounded @ np.array([65.481, 128.553, 24.966]) / 255
    shaved: Array = y[shave:-shave, shave:-shave]
    return shaved


def planes(image: Array, truth: Array, grey: bool, shave: int = SCALE) -> tuple[Array, Array]:
    """What is compared of two images, `y x x x band`: their Y channels, or their values where the file is grey."""
    a, b = luma(image, shave), luma(truth, shave)
    return ((a - 16) * 255 / 219, (b - 16) * 255 / 219) if grey else (a, b)


def psnr(image: Array, truth: Array, grey: bool, shave: int = SCALE) -> float:
    """The peak signal-to-noise ratio, in dB; that of an error of a thousandth of a grey level where there is none."""
    a, b = planes(image, truth, grey, shave)
    return float(10 * np.log10(255**2 / max(np.mean((a - b) ** 2), 1e-6)))


def psnr_ssim(image: Array, truth: Array, grey: bool) -> tuple[float, float]:
    """PSNR and the structural similarity."""
    a, b = planes(image, truth, grey)
    similarity = structural_similarity(
        a, b, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255
    )
    return psnr(image, truth, grey), float(similarity)


def check_protocol(root: Path, sets: Sequence[str]) -> None:
    """Bicubic upsampling has its published figures on these sets, or nothing is measured.

    Raises
    ------
    WrongProtocol
        If it has not: figures would be comparable with nobody's.
    UnknownData
        If no figures are published for a set.
    """
    for name in sets:
        if name not in PUBLISHED:
            raise UnknownData(f"No published figures are known of {name!r}, only of {', '.join(PUBLISHED)}.")
        found = [psnr_ssim(upsample(observe(high)), high, grey) for high, grey in read_set(root, name).values()]
        psnr, ssim = np.mean(found, 0)
        if abs(psnr - PUBLISHED[name][0]) > 0.02 or abs(ssim - PUBLISHED[name][1]) > 0.001:
            known, similar = PUBLISHED[name]
            raise WrongProtocol(
                f"Nothing was measured: bicubic upsampling x{SCALE} gives {psnr:.2f} dB and SSIM {ssim:.4f} on "
                f"{len(found)} images of {name}, published are {known:.2f} dB and {similar:.4f} (within 0.02 dB and "
                "0.001). Look whether these are the set's images, all of them, in full size, in colour and without "
                "further compression: `bayesr data verify` compares checksums, `bayesr data fetch` brings them."
            )
