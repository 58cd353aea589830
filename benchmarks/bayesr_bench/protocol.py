"""PSNR and SSIM as in published tables, and a check of them: the published figures of bicubic upsampling.

Both are computed on the Y channel of 8-bit images, without `scale` pixels at the border. For grey files they are
computed on the values themselves. The peak is 255 in both cases.
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

# Bicubic x4: W.-S. Lai et al., "Deep Laplacian pyramid networks", 2017, arXiv:1704.03915, Table 2, with more digits.
PUBLISHED = {"set5": (28.42, 0.8104), "set14": (26.00, 0.7027), "bsd100": (25.96, 0.6675)}
ESTIMATORS = (
    "PSNR and SSIM of the mean: Y channel, of grey files the values, peak 255, scale pixels shaved; fair CRPS and "
    "coverage of the 90% interval over all bands, in grey levels; averages over images, +- their standard error"
)
"""Description of the scores in a model file."""

Array = NDArray[Any]


def upsample(low: NDArray[np.uint8], scale: int = SCALE) -> Array:
    """Upsample an image, ``y x x x band``, as MATLAB's imresize: Keys' cubic with a = -1/2, and mirrored borders."""
    down, across = (upsampling_matrix("bicubic", size, scale) for size in low.shape[:2])
    found: Array = np.einsum("Yy,yxb,Xx->YXb", down, low.astype(float), across, optimize=True)
    return found


def luma(image: Array, shave: int = SCALE) -> Array:
    """Return Y of MATLAB's rgb2ycbcr without a border, of an 8-bit image ``y x x x band``; one band counts as three."""
    rounded = np.broadcast_to(np.clip(np.round(image), 0, 255), (*image.shape[:2], 3))
    y = 16 + rounded @ np.array([65.481, 128.553, 24.966]) / 255
    shaved: Array = y[shave:-shave, shave:-shave]
    return shaved


def planes(image: Array, truth: Array, grey: bool, shave: int = SCALE) -> tuple[Array, Array]:
    """Return the Y channels of two images, ``y x x x band``, or their values if the file is grey."""
    a, b = luma(image, shave), luma(truth, shave)
    return ((a - 16) * 255 / 219, (b - 16) * 255 / 219) if grey else (a, b)


def psnr(image: Array, truth: Array, grey: bool, shave: int = SCALE) -> float:
    """Return the peak signal-to-noise ratio in dB; errors below a thousandth of a grey level count as that."""
    a, b = planes(image, truth, grey, shave)
    return float(10 * np.log10(255**2 / max(np.mean((a - b) ** 2), 1e-6)))


def psnr_ssim(image: Array, truth: Array, grey: bool) -> tuple[float, float]:
    """Return PSNR in dB, and the structural similarity."""
    a, b = planes(image, truth, grey)
    similarity = structural_similarity(
        a, b, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255
    )
    return psnr(image, truth, grey), float(similarity)


def check_protocol(root: Path, sets: Sequence[str]) -> None:
    """Check that bicubic upsampling reproduces its published figures on sets, so that others are comparable, too.

    Parameters
    ----------
    root : Path
        Folder of the sets.
    sets : sequence of str

    Raises
    ------
    WrongProtocol
        If it does not.
    UnknownData
        If no figures are published for a set.
    """
    for name in sets:
        if name not in PUBLISHED:
            raise UnknownData(f"No published figures are known for {name!r}, only for {', '.join(PUBLISHED)}.")
        found = [psnr_ssim(upsample(observe(high)), high, grey) for high, grey in read_set(root, name).values()]
        psnr, ssim = np.mean(found, 0)
        if abs(psnr - PUBLISHED[name][0]) > 0.02 or abs(ssim - PUBLISHED[name][1]) > 0.001:
            known, similar = PUBLISHED[name]
            raise WrongProtocol(
                f"Nothing was measured: bicubic upsampling x{SCALE} gives {psnr:.2f} dB and SSIM {ssim:.4f} on "
                f"{len(found)} images of {name}; the published figures are {known:.2f} dB and {similar:.4f} (within "
                "0.02 dB and 0.001). Make sure that the folder holds all images of this set, in full size, in colour "
                "and without further compression: `bayesr data verify` compares checksums, and `bayesr data fetch` "
                "downloads the images."
            )
