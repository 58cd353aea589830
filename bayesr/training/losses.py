"""Losses: proper scoring rules of members, errors of single members, and losses of marginal distributions.

Members are `b x P x band x y x x`, and the truth is `b x band x y x x`. The scoring rules have the fair form for a
distance d:

    1/P sum_j d(x_j, x)  -  1/(2 P (P-1)) sum_{j,k} d(x_j, x_k)

Its expectation is lowest if the members are drawn from the true distribution.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import lru_cache
from itertools import combinations

import torch
import torch.nn.functional as F
from torch import Tensor

from bayesr.isolation import isolated

Distance = Callable[[Tensor, Tensor], Tensor]


def fair_score(members: list[Tensor], truth: Tensor, distance: Distance) -> Tensor:
    """Compute the fair score of P members for a distance that returns a mean.

    References
    ----------
    C. Ferro, "Fair scores for ensemble forecasts", 2014, doi:10.1002/qj.2270.
    """
    count = len(members)
    skill = sum((distance(x, truth) for x in members), torch.zeros((), device=truth.device)) / count
    if count == 1:
        return skill
    spread = sum((distance(a, b) for a, b in combinations(members, 2)), torch.zeros((), device=truth.device))
    return skill - spread / (count * (count - 1))


def fair_crps(members: Tensor, truth: Tensor) -> Tensor:
    """Compute the fair continuous ranked probability score, averaged over pixels, in the units of the image."""
    return fair_score(list(members.unbind(1)), truth, lambda a, b: (a - b).abs().mean())


def fair_scores(
    members: Tensor, truth: Tensor, patches: Mapping[int, float], bands: Mapping[int, float]
) -> dict[str, Tensor]:
    """Compute `fair_crps`, and weighted fair scores of patches and of block cosine coefficients.

    The score of patches is `patch_energy`. For cosine coefficients, blocks of `size x size` pixels lie on two grids
    offset by half a block. The cosine transform runs along rows, columns and bands. Its coefficients are nearly the
    principal components of a block: a proper score of each fits its variance, and thus the correlation of pixels and
    bands, to which the energy score is insensitive.

    All scores are means of norms of differences between members, and between members and truth, and the transforms are
    linear. So each difference is computed and transformed once.

    Parameters
    ----------
    members, truth : Tensor
    patches, bands : mapping of int to float
        Weights by the size of a patch and of a block.

    Returns
    -------
    dict of str to Tensor
        ``crps``, ``patch4``, ``band8``, ...: the scores times their weights.
    """
    with torch.autocast(members.device.type, enabled=False):  # differences are small
        return _fair_scores(members.float(), truth.float(), patches, bands)


def _fair_scores(
    members: Tensor, truth: Tensor, patches: Mapping[int, float], bands: Mapping[int, float]
) -> dict[str, Tensor]:
    count = members.shape[1]
    pairs = [members[:, i] - members[:, j] for i, j in combinations(range(count), 2)]
    d = torch.cat([members - truth[:, None], *([torch.stack(pairs, 1)] if pairs else [])], 1)

    def fair(norms: Tensor) -> Tensor:
        means = norms.reshape(*d.shape[:2], -1).mean((0, 2))
        skill = means[:count].mean()
        return skill if count == 1 else skill - means[count:].sum() / (count * (count - 1))

    scores = {"crps": fair(d.abs())}
    squares = d.square().mean(2).flatten(0, 1)[:, None]
    for size, weight in patches.items():
        norms = (F.avg_pool2d(squares, size, max(1, size // 2)) + 1e-10).sqrt()
        scores[f"patch{size}"] = weight * fair(norms)
    if bands:
        coloured = torch.einsum("kc,nmcyx->nmkyx", _cosines(d.shape[2], d.device, d.dtype), d).flatten(0, 1)
    for size, weight in bands.items():
        half = size // 2
        grids = (coloured, coloured[..., half:-half, half:-half])
        scores[f"band{size}"] = weight * fair(torch.cat([_coefficients(grid, size) for grid in grids], 1).abs())
    return scores


def _coefficients(x: Tensor, size: int) -> Tensor:
    """Return the cosine coefficients of all whole blocks of images, `n x values`.

    One product with the Kronecker square of the transform is faster on a GPU than two with the transform.
    """
    cosines = _cosines(size, x.device, x.dtype)
    both = torch.kron(cosines, cosines)
    rows, columns = (side // size for side in x.shape[-2:])
    whole = x[..., : rows * size, : columns * size]
    blocks = whole.reshape(*x.shape[:2], rows, size, columns, size).transpose(3, 4)
    return (blocks.reshape(*x.shape[:2], -1, size * size) @ both.mT).flatten(1)


def patch_energy(members: Tensor, truth: Tensor, size: int) -> Tensor:
    """Compute the fair energy score of patches of `size x size` pixels and all bands, with strides of half a patch.

    The norm of a patch is its root mean square. The score thus has the units of the image for all patch sizes.
    """

    def distance(a: Tensor, b: Tensor) -> Tensor:
        squares = (a - b).pow(2).mean(1, keepdim=True)
        return (F.avg_pool2d(squares, size, max(1, size // 2)) + 1e-10).sqrt().mean()

    return fair_score(list(members.unbind(1)), truth, distance)


def cosine_transform(size: int) -> Tensor:
    """Return the matrix of the orthonormal discrete cosine transform (DCT-II), `size x size`."""
    steps = torch.arange(size, dtype=torch.float32)
    k, i = torch.meshgrid(steps, steps, indexing="ij")
    cosines: Tensor = (2 / size) ** 0.5 * torch.cos(torch.pi * (i + 0.5) * k / size)
    cosines[0] /= 2**0.5
    return cosines


@lru_cache(maxsize=64)
@isolated  # a copy from the host, which no CUDA graph can hold
def _cosines(size: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    return cosine_transform(size).to(device, dtype)


def feature_energy(
    features_of: Callable[[Tensor], list[Tensor]],
    members: Tensor,
    truth: Tensor,
    mean: Callable[[Tensor], Tensor] = lambda value: value,
) -> Tensor:
    """Compute the fair energy score of features for two members, averaged over depths.

    Features are divided by their root mean square over the true images, depth by depth. For a fixed network this is a
    proper score, which improves realism without a loss of calibration.

    Parameters
    ----------
    features_of : callable
        Returns the features of images `n x band x y x x`, each `n x channel x y x x`.
    members : Tensor
        `b x P x band x y x x`; only the first two members are used.
    truth : Tensor
        `b x band x y x x`.
    mean : callable
        Mean over processes, for the mean square of features.
    """
    members = members[:, :2]  # more pairs of members cost more than they improve the estimate
    batch = len(members)
    depths = [f.float() for f in features_of(torch.cat([truth, members.transpose(0, 1).flatten(0, 1)]))]
    total = torch.zeros((), device=truth.device)
    for features in depths:
        real, *fake = features.split(batch)
        real = real.detach()
        unit = mean(real.pow(2).sum(1).mean()).sqrt() + 1e-6

        def distance(a: Tensor, b: Tensor, unit: Tensor = unit) -> Tensor:
            return ((a - b).pow(2).sum(1) + 1e-8).sqrt().mean() / unit

        total = total + fair_score(fake, real, distance)
    return total / len(depths)


def absolute_error(members: Tensor, truth: Tensor) -> Tensor:
    """Compute the mean absolute error of single members. It does not reward spread, so networks ignore latents."""
    return (members - truth[:, None]).abs().mean()


def rewarded_error(members: Tensor, truth: Tensor) -> Tensor:
    """Compute the regulariser of rcGAN: L1 error of the mean of P members, minus a reward for their spread.

    ``|mean - x|_1 - beta sum_j gamma |x_j - mean|_1`` with ``gamma = sqrt(pi / (2 P (P-1)))`` and
    ``beta = sqrt(2 / (pi P (P+1)))``. The true mean and spread are optimal for Gaussian posteriors only.

    References
    ----------
    M. Bendel et al., "rcGAN", 2023, arXiv:2210.13389.
    """
    count = members.shape[1]
    mean = members.mean(1, keepdim=True)
    reward = (members - mean).abs().mean((0, 2, 3, 4)).sum() * math.sqrt(math.pi / (2 * count * (count - 1)))
    return (mean[:, 0] - truth).abs().mean() - math.sqrt(2 / (math.pi * count * (count + 1))) * reward


def squared_error(members: Tensor, truth: Tensor) -> Tensor:
    """Compute the mean squared error of single members, the loss of SRResNet."""
    return (members - truth[:, None]).square().mean()


def fidelity(members: Tensor, truth: Tensor) -> Tensor:
    """Compute the L1 error over pixels plus 0.05 times that over Fourier coefficients, for single members."""
    error = members - truth[:, None]
    spectrum: Tensor = torch.fft.rfft2(error, norm="ortho")
    return error.abs().mean() + 0.05 * spectrum.abs().mean()


PIXEL_LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "crps": fair_crps,
    "absolute_error": absolute_error,
    "squared_error": squared_error,
    "fidelity": fidelity,
    "rewarded_error": rewarded_error,
}
"""Losses of members and truth by the name that a stage gives."""
