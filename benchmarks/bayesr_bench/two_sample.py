"""Classifier two-sample test (C2ST): whether a small network can distinguish members from the truth.

The network is trained on patches of one half of the images and tested on the other half. Its area under the ROC
curve (AUC) on the tested images is 0.5 if members and truth cannot be distinguished.

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
TESTED = 64
"""Patches of either class on which each image is tested."""
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


def distinguishability(pairs: Sequence[Pair], seed: int) -> tuple[float, float]:
    """Train the classifier on one half of the images and test it on the other.

    Parameters
    ----------
    pairs : sequence of Pair
        Those with a side of fewer than `PATCH` pixels are left out.
    seed : int
        Seed of the halves, the network, and the patches.

    Returns
    -------
    auc, error : float
        The AUC, and its standard error by resampling the tested images. NaN for fewer than four images.
    """
    random = np.random.default_rng(seed)
    usable = [pair for pair in pairs if min(pair.truth.shape[-2:]) >= PATCH]
    if len(usable) < 4:
        return float("nan"), float("nan")
    order = random.permutation(len(usable))
    training, tested = (order[k::2] for k in range(2))
    network = _trained([usable[k] for k in training], random, seed)
    with torch.no_grad():
        logits = [network(*cut([usable[k]] * TESTED, random, augment=False)).reshape(2, -1).numpy() for k in tested]
    classified = np.stack(logits, 1)
    drawn = (random.integers(len(tested), size=len(tested)) for _ in range(RESAMPLED))
    areas = [area(*classified[:, which].reshape(2, -1)) for which in drawn]
    return area(*classified.reshape(2, -1)), float(np.std(areas, ddof=1))


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
