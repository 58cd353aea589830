"""Images, and degraded versions of them."""

import numpy as np
from scipy.ndimage import gaussian_filter


def texture(seed: int, bands: int = 3, height: int = 72, width: int = 88) -> np.ndarray:
    """Amplitude 1/f^1.1 to 1/f^1.6, with an edge; bands alike, as those of photographs are."""
    random = np.random.default_rng(seed)
    radius = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width))
    radius[0, 0] = np.inf
    amplitude = radius ** -random.uniform(1.1, 1.6)

    def field() -> np.ndarray:
        found = np.fft.irfft2(amplitude * np.fft.rfft2(random.normal(size=(height, width))), (height, width))
        return found / found.std()

    shared = field() + (np.arange(width) > random.integers(20, width - 20)) * random.uniform(0, 2)
    found = np.stack([shared + 0.1 * field() for _ in range(bands)])
    return np.clip(np.round(255 * (0.5 + random.uniform(0.1, 0.16) * (found - found.mean()))), 0, 255) / 255


def blurred(x: np.ndarray, sigma: float = 1.5) -> np.ndarray:
    return gaussian_filter(x, (0, sigma, sigma), mode="mirror")


def noisy(x: np.ndarray, sigma: float = 10) -> np.ndarray:
    return x + np.random.default_rng(0).normal(0, sigma / 255, x.shape)


def as_bytes(x: np.ndarray) -> np.ndarray:
    return np.clip(np.round(x * 255), 0, 255).astype(np.uint8)
