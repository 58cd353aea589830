"""Losses that recipes add to those of the pixels: functions of a `TrainingBatch` (`bayesr.training.batch`).

Members `x` are of shape `b x P x band x y x x`, the truth `b x band x y x x`; `SpreadReward` is a network that
`rewarded` needs, all others are functions alone.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bayesr.errors import TrainingFailed
from bayesr.networks.features import MiniVGG
from bayesr.training.losses import rewarded_error

if TYPE_CHECKING:
    from bayesr.training.batch import TrainingBatch

_SIDE = 96
_DEPTHS = (1, 4)
"""Blocks whose ends `content` compares: SRGAN's two choices, the second (VGG 2,2) and the fifth (VGG 5,4)."""


def classification(scene: TrainingBatch) -> Tensor:
    """Cross-entropy of what the network ``content`` says of true patches, against the classes of their images.

    Of large patches it takes the middle 96 x 96, the size that SRGAN's and mSRGAN's networks are trained on: more
    would cost in proportion, and tell little more of a class.
    """
    top, left = (max(0, side - _SIDE) // 2 for side in scene.truth.shape[-2:])
    middle = scene.truth[..., top : top + _SIDE, left : left + _SIDE]
    return F.cross_entropy(scene.networks["content"](middle), scene.labels)


def content(scene: TrainingBatch) -> Tensor:
    """``mean_d  var(x*) / var(phi_d(x*))  mean |phi_d(x) - phi_d(x*)|^2``: how alike the content network finds them.

    phi_d are features of the network ``content`` at depth d, x* the truth, and variances those over the whole
    batch. Features so vary as much as pixels do, and the loss is in the units of the mean squared error: that
    is what it is where phi is the identity, and weights of either compare. The network itself is left alone
    (`MiniVGG.features`).

    References
    ----------
    J. Johnson, A. Alahi, L. Fei-Fei, "Perceptual losses for real-time style transfer and super-resolution", 2016,
    arXiv:1603.08155. C. Ledig et al., "Photo-realistic single image super-resolution using a generative
    adversarial network", 2017, arXiv:1609.04802.
    """
    network = scene.networks["content"]
    assert isinstance(network, MiniVGG)
    with torch.no_grad():
        real = [depth.float() for depth in network.features(scene.truth)]
    count = scene.x.shape[1]
    found = [depth.float() for depth in network.features(scene.x.flatten(0, 1))]
    total = torch.zeros((), device=scene.truth.device)
    for depth in _DEPTHS:
        unit = scene.truth.var() / (real[depth].var() + 1e-12)
        total = total + unit * (found[depth] - real[depth].repeat_interleave(count, 0)).pow(2).mean()
    return total / len(_DEPTHS)


def structure(scene: TrainingBatch) -> Tensor:
    """``mean[(1 + g) |e| + g (1 + c) |e_u| + g (1 - c) |e_v|]`` of ``e = x - x*``, with weights that the truth fixes.

    x* is the truth. At every pixel its structure tensor, the local mean of ``grad x* grad x*^T`` over bands and a
    Gaussian window, says how strong its edges are and where they run. With eigenvalues ``l >= m``, the derivative
    e_u of the error is that along the structure (eigenvector of m), e_v that across (of l), and

    - ``g = s / (s + mean s)``, ``s = sqrt(l + m)``: the strength of edges, in [0, 1). Errors count more at edges,
      and there their derivatives count too: so edges keep their height, place and sharpness.
    - ``c = ((l - m) / (l + m))^2``: whether there is one direction, in [0, 1]. Along a straight edge or a fibre the
      truth hardly changes, so an error that does breaks it or makes it ragged; one that changes across is what
      follows when nobody knows where exactly the edge lies. Texture without direction has c = 0, where
      both count alike.

    The loss is convex in x: a sum of absolute values of linear functions of x, with weights that are not negative
    and do not depend on x (a weight from x itself would break that). It is zero at the truth alone, since the
    weight of ``|e|`` is 1 at least. It looks at every member by itself, so that nothing in it rewards spread.

    References
    ----------
    J. Bigun, G. H. Granlund, "Optimal orientation detection of linear symmetry", 1987. C. Ma et al., "Structure-
    preserving super resolution with gradient guidance", 2020, arXiv:2003.13081. Of directions that a reference
    fixes: M. J. Ehrhardt, M. M. Betcke, "Multi-contrast MRI reconstruction with structure-guided total variation",
    2016, arXiv:1511.06631.
    """
    strength, coherence, uy, ux = (part[:, None] for part in _structure_of(scene.truth.detach()))
    error = scene.x - scene.truth.detach()[:, None]
    dy, dx = _steps(error)
    along, across = uy * dy + ux * dx, ux * dy - uy * dx
    change = (1 + coherence) * along.abs() + (1 - coherence) * across.abs()
    return (error.abs() + strength * (error.abs() + change)).mean()


def _structure_of(truth: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Of `b x band x y x x`: g, c, and the two parts (y, x) of the unit vector u, each `b x 1 x y x x`."""
    padded = F.pad(truth, (1, 1, 1, 1), mode="replicate")
    dx = (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]) / 2
    dy = (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]) / 2
    xx, yy, xy = (_blurred(product.mean(1, keepdim=True)) for product in (dx * dx, dy * dy, dx * dy))
    total, gap = xx + yy, torch.hypot(xx - yy, 2 * xy)  # l + m and l - m
    edges = total.sqrt()
    strength = edges / (edges + edges.mean((1, 2, 3), keepdim=True) + 1e-6)
    angle = torch.atan2(2 * xy, xx - yy) / 2  # of v, from the x axis
    return strength, (gap / (total + 1e-12)).pow(2), angle.cos(), -angle.sin()


def _blurred(x: Tensor) -> Tensor:
    """A Gaussian mean of standard deviation 1 pixel over 5 x 5, with repeated borders."""
    window = torch.exp(-torch.arange(-2.0, 3.0).square() / 2).to(x)
    window = (window / window.sum()).view(1, 1, 5, 1)
    with torch.autocast(x.device.type, enabled=False):  # squares of small differences
        return F.conv2d(F.pad(x, (2, 2, 2, 2), mode="replicate"), window * window.mT)


def _steps(x: Tensor) -> tuple[Tensor, Tensor]:
    """Differences to the next pixel along y and x, of the shape of `x`; 0 at the last."""
    return F.pad(x.diff(dim=-2), (0, 0, 0, 1)), F.pad(x.diff(dim=-1), (0, 1))


def rewarded(scene: TrainingBatch) -> Tensor:
    """rcGAN's regulariser with a weight that tunes itself: see `SpreadReward`, which is the network ``reward``."""
    loss: Tensor = scene.networks["reward"](scene.x, scene.truth)
    return loss


class SpreadReward(nn.Module):
    """``|mean - x*|_1 - k beta sum_j gamma |x_j - mean|_1``, and k follows from the members' own errors.

    `losses.rewarded_error` is this with k = 1, which is right where posteriors are Gaussian. But whatever the
    posterior, its draws obey ``E|x_j - x*|^2 / E|mean - x*|^2 = 2P / (P + 1)`` for P members and their mean. So k
    rises while the ratio of the errors is lower than that (members differ too little) and falls while it is
    higher:

        k += gain (log(2P / (P + 1)) - log(ratio)),      0 <= k <= 0.85 sqrt(P + 1)

    at every step of training, with running means of both errors. The upper bound: where errors are Gaussian
    the optimum has the spread ``k sqrt(P / (P + 1 - k^2))`` times the true one, which is 1 at k = 1 and infinite at
    ``sqrt(P + 1)``. rcGAN does the same once an epoch, on its validation set with P = 8.

    Parameters
    ----------
    gain : float
        Slow beside what members learn: with 3e-3, pairs without any spread add 0.9 to k in a thousand steps.
    decay : float
        Of the running means, per step.

    References
    ----------
    M. Bendel, R. Ahmad, P. Schniter, "A regularized conditional GAN for posterior sampling in image recovery
    problems", 2023, arXiv:2210.13389.
    """

    weight: Tensor
    errors: Tensor

    def __init__(self, gain: float = 3e-3, decay: float = 0.99) -> None:
        super().__init__()
        self.gain, self.decay = gain, decay
        self.register_buffer("weight", torch.ones(()))
        self.register_buffer("errors", torch.zeros(2))  # of one member, of the mean: mean squares

    def forward(self, members: Tensor, truth: Tensor) -> Tensor:
        """The loss of members `b x P x band x y x x`, P >= 2; in training, k and the errors move on first."""
        if members.shape[1] < 2:
            raise TrainingFailed("Spread is rewarded between members of a patch: set the stage's members to 2 or more.")
        if self.training:
            self._adapt(members.detach(), truth)
        plain = (members.mean(1) - truth).abs().mean()
        return plain - self.weight.clone() * (plain - rewarded_error(members, truth))

    @torch.no_grad()
    def _adapt(self, members: Tensor, truth: Tensor) -> None:
        count = members.shape[1]
        of_one = (members - truth[:, None]).square().mean()
        of_mean = (members.mean(1) - truth).square().mean()
        self.errors.lerp_(torch.stack([of_one, of_mean]).to(self.errors), 1 - self.decay)
        ratio = (self.errors[0] + 1e-12) / (self.errors[1] + 1e-12)
        change = self.gain * (math.log(2 * count / (count + 1)) - ratio.log())
        self.weight.add_(change).clamp_(0, 0.85 * math.sqrt(count + 1))
