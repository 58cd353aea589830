"""Classifier two-sample test (C2ST): whether a small network can distinguish members from the truth.

The images are split into halves. A network is trained on patches of one half and tested on the other half, and a second
one the other way round, so that every image is tested. The area under the ROC curve (AUC) on the tested images is 0.5
if members and truth cannot be distinguished. It is averaged over both networks, and over several splits. This reduces
its noise and does not change what it measures: each network sees half of the images, for the same number of steps.

References
----------
D. Lopez-Paz, M. Oquab, "Revisiting classifier two-sample tests", 2017, arXiv:1610.06545.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.stats import rankdata
from torch import Tensor, nn

PATCH, STEPS, BATCH, RATE = 32, 400, 32, 4e-3
TESTED = 128
"""Patches of either class on which each image is tested, for each split."""
SPLITS = 2
"""Splits into halves, each with two networks."""
RESAMPLED = 200
"""Bootstrap samples of the tested images, for the standard error."""

Array = NDArray[Any]


class Pair(NamedTuple):
    """Images to distinguish from a truth, in grey levels.

    Attributes
    ----------
    images : ndarray
        Of shape ``n x band x y x x``.
    truth, context : ndarray
        The truth, and ``A+ y``. Both are of shape ``band x y x x``.
    """

    images: Array
    truth: Array
    context: Array

    def grey(self) -> Pair:
        """Return the averages over bands."""
        return Pair(*(part.mean(-3, keepdims=True, dtype=np.float32) for part in self))


class Classifier(nn.Module):
    """Network that classifies patches ``(image, A+ y)`` as truth or not.

    Its inputs are the null-space part of the image and ``A+ y``, as separate bands, folded to half the resolution. It
    decides by the mean and the variance of its features over a patch. The architecture is fixed: results of another
    one would not be comparable with recorded tables.
    """

    def __init__(self, bands: int) -> None:
        super().__init__()

        def layer(inputs: int, outputs: int, size: int = 3, stride: int = 1) -> list[nn.Module]:
            convolution = nn.Conv2d(inputs, outputs, size, stride, 1, bias=False)
            return [convolution, nn.BatchNorm2d(outputs), nn.LeakyReLU(0.2)]

        self.layers = nn.Sequential(*layer(8 * bands, 32), *layer(32, 32), *layer(32, 64, 4, 2), *layer(64, 64))
        self.logit = nn.Linear(128, 1)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """Return the logit of being the truth for each patch of ``n x band x y x x``, in grey levels."""
        seen = F.pixel_unshuffle(torch.cat([(x - context) / 8, (context - 128) / 64], 1), 2)
        f = self.layers(seen.contiguous(memory_format=torch.channels_last))
        logits: Tensor = self.logit(torch.cat([f.mean((2, 3)), (f.var((2, 3)) + 1e-2).log()], 1))[:, 0]
        return logits


def cut(pairs: Sequence[Pair], random: np.random.Generator, augment: bool) -> tuple[Tensor, Tensor]:
    """Cut random patches: first one of the images of each pair, then one of each truth.

    Parameters
    ----------
    pairs : sequence of Pair
    random : Generator
    augment : bool
        Whether patches are rotated by multiples of 90 degrees and mirrored.

    Returns
    -------
    images, contexts : Tensor
        Of shape ``2 len(pairs) x band x PATCH x PATCH``.
    """
    images, contexts = [], []
    for true in (False, True):
        for shown, truth, context in pairs:
            image = truth if true else shown[random.integers(len(shown))]
            top, left = (int(random.integers(size - PATCH + 1)) for size in truth.shape[-2:])
            place = (slice(None), slice(top, top + PATCH), slice(left, left + PATCH))
            patch = [image[place], context[place]]
            if augment:
                quarters, flipped = int(random.integers(4)), bool(random.integers(2))
                patch = [np.rot90(part[:, ::-1] if flipped else part, quarters, (1, 2)) for part in patch]
            images.append(patch[0])
            contexts.append(patch[1])
    return tuple(torch.from_numpy(np.stack(part).astype(np.float32)) for part in (images, contexts))  # type: ignore[return-value]


def area(false: Array, true: Array) -> float:
    """Return the area under the ROC curve: how often the truth has the higher logit. Ties count half."""
    ranks = rankdata(np.concatenate([false, true]))[false.size :]
    return float((ranks.sum() - true.size * (true.size + 1) / 2) / (false.size * true.size))


class _Tested(NamedTuple):
    """The images of one half, and their logits by the network of the other half, ``2 x images x TESTED``."""

    which: Array
    logits: Array

    def area(self, drawn: Array) -> tuple[float, int]:
        """Return the AUC of those of the drawn images that are in this half, and their number."""
        times = np.bincount(drawn, minlength=drawn.size)  # as many are drawn as there are images
        found = np.repeat(np.arange(self.which.size), times[self.which])
        return (area(*self.logits[:, found].reshape(2, -1)) if found.size else 0.0), found.size


def distinguishability(pairs: Sequence[Pair], seed: int, splits: int | None = None) -> tuple[float, float]:
    """Train the classifier on each half of the images and test it on the other.

    Parameters
    ----------
    pairs : sequence of Pair
        Those with a side of fewer than `PATCH` pixels are left out.
    seed : int
        Seed of the halves, the networks, and the patches.
    splits : int, optional
        Number of splits into halves; by default `SPLITS`.

    Returns
    -------
    auc, error : float
        The AUC, and its standard error by resampling the tested images: each sample draws images with replacement, and
        takes all their patches in all splits. NaN for fewer than four images.
    """
    random = np.random.default_rng(seed)
    usable = [pair for pair in pairs if min(pair.truth.shape[-2:]) >= PATCH]
    if len(usable) < 4:
        return float("nan"), float("nan")
    tested = []
    for split in range(SPLITS if splits is None else splits):
        order = random.permutation(len(usable))
        halves = order[::2], order[1::2]
        for k, (training, which) in enumerate((halves, halves[::-1])):
            network = _trained([usable[k] for k in training], random, seed + 2 * split + k)
            tested.append(_Tested(which, np.stack([_logits(network, usable[k], random) for k in which], 1)))

    def auc(drawn: Array) -> float:
        areas, counts = zip(*(half.area(drawn) for half in tested), strict=True)
        return float(np.average(areas, weights=counts))

    samples = [auc(random.integers(len(usable), size=len(usable))) for _ in range(RESAMPLED)]
    return auc(np.arange(len(usable))), float(np.std(samples, ddof=1))


@torch.no_grad()
def _logits(network: Classifier, pair: Pair, random: np.random.Generator) -> Array:
    """Return the logits of random patches of an image and of its truth, ``2 x TESTED``."""
    found: Array = network(*cut([pair] * TESTED, random, augment=False)).reshape(2, -1).numpy()
    return found


def _trained(pairs: Sequence[Pair], random: np.random.Generator, seed: int) -> Classifier:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Classifier(pairs[0].truth.shape[0]).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = torch.optim.AdamW(network.parameters(), RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=STEPS)
    for _ in range(STEPS):
        logits = network(*cut([pairs[k] for k in random.choice(len(pairs), BATCH)], random, augment=True))
        loss = F.softplus(logits[:BATCH]).mean() + F.softplus(-logits[BATCH:]).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    network.eval()
    return network  # type: ignore[no-any-return]
