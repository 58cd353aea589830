"""Random numbers as pure functions: latents of (seed, member, absolute pixel), masks and kernels of (seed, mask).

A member's latent field is drawn in blocks of 64 x 64 low-resolution pixels, each from a Philox 4x64-10 generator with
the key (seed, member) and the block's position as counter. So any window is computed without the rest, with the same
values: on a CPU by NumPy's generator, which is compiled, on other devices by `bayesr.sampling.philox`, bit for bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bayesr.sampling.philox import philox, signed

_BLOCK = 64
_LATENT, _MASK, _NORMAL_MASK, _KERNEL = 0, 1, 2, 3  # last word of the counter, one per kind of noise


@lru_cache(maxsize=1)
def _quantiles() -> NDArray[np.float32]:
    """Return the standard normal quantiles of the 65,536 values of 16 random bits, scaled to variance one."""
    from scipy.special import ndtri  # slow to import

    values = ndtri((np.arange(65536) + 0.5) / 65536)
    scaled: NDArray[np.float32] = (values / values.std()).astype(np.float32)
    return scaled


@lru_cache(maxsize=8)
def _quantiles_on(device: torch.device) -> Tensor:
    return torch.from_numpy(_quantiles()).to(device)


def _random_words(seed: int, stream: int, counter: tuple[int, int, int], words: int) -> NDArray[np.uint64]:
    row, column, kind = counter
    bits = np.random.Philox(
        key=np.array([seed, stream], np.uint64), counter=np.array([0, row, column, kind], np.uint64)
    )
    raw: NDArray[np.uint64] = bits.random_raw(words)
    return raw


def latents(seed: int, members: Sequence[int], window: tuple[int, int, int, int], channels: int, out: Tensor) -> Tensor:
    """Return independent standard normal values, `member x y x x x channel`, for a window of the low-resolution grid.

    Parameters
    ----------
    seed : int
        In [0, 2**64).
    members : sequence of int
        Numbers of the members, each in [0, 2**64).
    window : tuple of int
        (top, bottom, left, right) in absolute low-resolution pixels, ends excluded.
    channels : int
        Latent channels.
    out : Tensor
        Memory for at least as many members, float32. Values are computed on its device.

    Notes
    -----
    Each value uses 16 random bits, so that the distribution ends at 4.2 standard deviations.
    """
    out = out[: len(members)]
    if out.device.type != "cpu":
        return torch.take(_quantiles_on(out.device), _bits(seed, members, window, channels, out.device), out=out)
    for member, values in zip(members, out.numpy(), strict=True):
        _fill(seed, member, window, channels, values)
    return out


def _bits(
    seed: int, members: Sequence[int], window: tuple[int, int, int, int], channels: int, device: torch.device
) -> Tensor:
    """Return 16 random bits for each value of a window, `member x y x x x channel`, computed on a device."""
    top, bottom, left, right = window
    rows, columns = (range(a // _BLOCK, -(-b // _BLOCK)) for a, b in ((top, bottom), (left, right)))
    blocks = -(-_BLOCK * _BLOCK * channels // 16)

    def axis(values: Sequence[int], place: int) -> Tensor:
        size = [-1 if i == place else 1 for i in range(4)]
        return torch.tensor([signed(value) for value in values], device=device).view(size)

    # NumPy counts output blocks from 1.
    number = torch.arange(1, blocks + 1, device=device).view(1, 1, 1, -1)
    kind = torch.full((), _LATENT, dtype=torch.int64, device=device)
    counter = number, axis(rows, 1), axis(columns, 2), kind
    words = philox(counter, (axis([seed], 0), axis(members, 0)))
    lanes = [(word >> shift) & 0xFFFF for word in words for shift in (0, 16, 32, 48)]
    bits = torch.stack(lanes, -1).flatten(3)[..., : _BLOCK * _BLOCK * channels]
    whole: Tensor = bits.unflatten(3, (_BLOCK, _BLOCK, channels)).permute(0, 1, 3, 2, 4, 5).flatten(3, 4).flatten(1, 2)
    y, x = rows[0] * _BLOCK, columns[0] * _BLOCK
    return whole[:, top - y : bottom - y, left - x : right - x]


def _fill(seed: int, member: int, window: tuple[int, int, int, int], channels: int, out: NDArray[np.float32]) -> None:
    """Write a member's values, `y x x x channel`, by NumPy's generator."""
    top, bottom, left, right = window
    words = -(-_BLOCK * _BLOCK * channels // 4)
    for row in range(top // _BLOCK, -(-bottom // _BLOCK)):
        for column in range(left // _BLOCK, -(-right // _BLOCK)):
            bits = _random_words(seed, member, (row, column, _LATENT), words).astype("<u8", copy=False).view("<u2")
            block = bits[: _BLOCK * _BLOCK * channels].reshape(_BLOCK, _BLOCK, channels)
            y0, y1 = max(top, row * _BLOCK), min(bottom, (row + 1) * _BLOCK)
            x0, x1 = max(left, column * _BLOCK), min(right, (column + 1) * _BLOCK)
            part = block[y0 - row * _BLOCK : y1 - row * _BLOCK, x0 - column * _BLOCK : x1 - column * _BLOCK]
            place = out[y0 - top : y1 - top, x0 - left : x1 - left]
            np.take(_quantiles(), part, out=place, mode="clip")  # with "raise", NumPy would allocate a buffer


def kernel_draws(seed: int, mask: int, draws: int, count: int) -> list[int]:
    """Return the numbers of `count` random draws of a posterior of kernels; a mask takes the first that is usable.

    Each of the `draws` has the same probability.
    """
    return [int(word) * draws >> 64 for word in _random_words(seed, mask, (0, 0, _KERNEL), count)]


@dataclass(frozen=True)
class MaskNoise:
    """The random values of one dropout mask; see `bayesr.networks.heads.base.MaskNoise`."""

    seed: int
    number: int

    def dropout(self, rates: NDArray[np.floating], width: int) -> NDArray[np.float32]:
        """Return channel masks, `layer x channel`: 0 with the layer's dropout rate p, else ``1 / (1 - p)``."""
        words = _random_words(self.seed, self.number, (0, 0, _MASK), rates.size * width)
        uniform = (words >> np.uint64(11)) * 2.0**-53
        rate = np.asarray(rates, np.float64)[:, None]
        return np.where(uniform.reshape(rates.size, width) >= rate, 1 / (1 - rate), 0).astype(np.float32)

    def normal(self, sizes: Sequence[int]) -> list[NDArray[np.float32]]:
        """Return the standard normal values of a Gaussian dropout mask, one array per layer."""
        words = _random_words(self.seed, self.number, (0, 0, _NORMAL_MASK), -(-sum(sizes) // 4))
        bits = words.astype("<u8", copy=False).view("<u2")
        return np.split(_quantiles()[bits[: sum(sizes)]], np.cumsum(sizes)[:-1])
