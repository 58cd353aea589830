"""Further losses for recipes: functions of a `bayesr.training.batch.TrainingBatch`.

Members `x` are `b x P x band x y x x`, and the truth is `b x band x y x x`.

`cycle` and `identity` train without pairs. The generator G maps low-resolution images y to high resolution. The network
``backward``, B, maps high-resolution images x of other scenes to low resolution (J.-Y. Zhu et al., "CycleGAN", 2017,
arXiv:1703.10593).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bayesr.errors import TrainingFailed
from bayesr.networks.features.mini_vgg import MiniVGG
from bayesr.training.batch import TrainingBatch
from bayesr.training.losses import rewarded_error

_SIDE = 96
_DEPTHS = (1, 4)
"""Blocks whose outputs `content` compares: SRGAN's two choices, the second (VGG 2,2) and the fifth (VGG 5,4)."""


def classification(batch: TrainingBatch) -> Tensor:
    """Compute the cross-entropy of the network ``content`` on true patches, for the classes of their images.

    Large patches are cropped to the central 96 x 96 pixels, the patch size of SRGAN and mSRGAN. Larger ones would cost
    more and hardly classify better.
    """
    top, left = (max(0, side - _SIDE) // 2 for side in batch.truth.shape[-2:])
    middle = batch.truth[..., top : top + _SIDE, left : left + _SIDE]
    return F.cross_entropy(batch.networks["content"](middle), batch.labels)


def content(batch: TrainingBatch) -> Tensor:
    """Compute the content loss ``mean_d  var(x*) / var(phi_d(x*))  mean |phi_d(x) - phi_d(x*)|^2``.

    phi_d are the features of the network ``content`` at depth d, x* is the truth, and variances are over the whole
    batch. Features are scaled to the variance of pixels, so that the loss has the units of the mean squared error and
    equals it if phi is the identity. The content network receives no gradient (`MiniVGG.features`).

    References
    ----------
    J. Johnson, A. Alahi, L. Fei-Fei, "Perceptual losses for real-time style transfer and super-resolution", 2016,
    arXiv:1603.08155. C. Ledig et al., "SRGAN", 2017, arXiv:1609.04802.
    """
    network = batch.networks["content"]
    assert isinstance(network, MiniVGG)
    with torch.no_grad():
        real = [depth.float() for depth in network.features(batch.truth)]
    count = batch.x.shape[1]
    fake = [depth.float() for depth in network.features(batch.x.flatten(0, 1))]
    total = torch.zeros((), device=batch.truth.device)
    for depth in _DEPTHS:
        unit = batch.truth.var() / (real[depth].var() + 1e-12)
        total = total + unit * (fake[depth] - real[depth].repeat_interleave(count, 0)).pow(2).mean()
    return total / len(_DEPTHS)


def structure(batch: TrainingBatch) -> Tensor:
    """Compute the structure loss ``mean[(1 + g) |e| + g (1 + c) |e_u| + g (1 - c) |e_v|]``.

    The error is ``e = x - x*``, with derivatives e_u along the structure and e_v across it: along the eigenvectors of m
    and l of the structure tensor, the mean of ``grad x* grad x*^T`` over bands and a Gaussian window, with eigenvalues
    ``l >= m``. The weights g and c depend only on the truth x*.

    - ``g = s / (s + mean s)`` with ``s = sqrt(l + m)`` is the strength of edges, in [0, 1). At edges, errors weigh more
      and their derivatives count, which preserves height, place and sharpness.
    - ``c = ((l - m) / (l + m))^2`` is the coherence, in [0, 1]. Along an edge the truth hardly changes, so that an
      error that varies there breaks the edge. Across an edge, an error may only reflect that the exact place is
      uncertain. In texture without direction c = 0, and both derivatives weigh the same.

    The loss is convex in x, a sum of absolute values of linear functions with non-negative weights that do not depend
    on x. It is zero only at the truth, and does not reward spread.

    References
    ----------
    J. Bigun, G. H. Granlund, "Optimal orientation detection of linear symmetry", 1987. C. Ma et al.,
    "Structure-preserving super resolution with gradient guidance", 2020, arXiv:2003.13081. For weights from a
    reference: M. J. Ehrhardt, M. M. Betcke, "Multi-contrast MRI reconstruction with structure-guided total variation",
    2016, arXiv:1511.06631.
    """
    strength, coherence, uy, ux = (part[:, None] for part in _structure_of(batch.truth.detach()))
    error = batch.x - batch.truth.detach()[:, None]
    dy, dx = _steps(error)
    along, across = uy * dy + ux * dx, ux * dy - uy * dx
    change = (1 + coherence) * along.abs() + (1 - coherence) * across.abs()
    return (error.abs() + strength * (error.abs() + change)).mean()


def _structure_of(truth: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return g, c, and the components (y, x) of the unit vector u, each `b x 1 x y x x`."""
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
    """Blur by a Gaussian of standard deviation 1 pixel over 5 x 5 pixels, with repeated borders."""
    window = torch.exp(-torch.arange(-2.0, 3.0, dtype=torch.float32).square() / 2).to(x)
    window = (window / window.sum()).view(1, 1, 5, 1)
    with torch.autocast(x.device.type, enabled=False):  # squares of small differences need float32
        return F.conv2d(F.pad(x, (2, 2, 2, 2), mode="replicate"), window * window.mT)


def _steps(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the differences to the next pixel along y and x, of the shape of `x`; 0 at the last pixel."""
    return F.pad(x.diff(dim=-2), (0, 0, 0, 1)), F.pad(x.diff(dim=-1), (0, 1))


def rewarded(batch: TrainingBatch) -> Tensor:
    """Compute rcGAN's regulariser with an adaptive weight; the network ``reward`` is a `SpreadReward`."""
    loss: Tensor = batch.networks["reward"](batch.x, batch.truth)
    return loss


class SpreadReward(nn.Module):
    """Regulariser ``|mean - x*|_1 - k beta sum_j gamma |x_j - mean|_1`` with an adaptive weight k of the spread.

    With k = 1 this is `losses.rewarded_error`, which is correct for Gaussian posteriors. Samples of any posterior
    satisfy ``E|x_j - x*|^2 / E|mean - x*|^2 = 2P / (P + 1)`` for P members and their mean. So k rises while the
    ratio of the errors is lower (members differ too little), and falls while it is higher:

        k += gain (log(2P / (P + 1)) - log(ratio)),      0 <= k <= 0.85 sqrt(P + 1)

    k is updated at every training step, with running means of both errors. It is bounded because for Gaussian errors
    the optimal spread is ``k sqrt(P / (P + 1 - k^2))`` times the true one, infinite at ``k = sqrt(P + 1)``. rcGAN makes
    the same update once an epoch, on its validation set with P = 8.

    Parameters
    ----------
    gain : float
        Step size of the update, slow compared with the learning of members: with 3e-3, pairs without spread add 0.9 to
        k in a thousand steps.
    decay : float
        Decay of the running means per step.

    References
    ----------
    M. Bendel et al., "rcGAN", 2023, arXiv:2210.13389.
    """

    weight: Tensor
    errors: Tensor

    def __init__(self, gain: float = 3e-3, decay: float = 0.99) -> None:
        super().__init__()
        self.gain, self.decay = gain, decay
        self.register_buffer("weight", torch.ones(()))
        self.register_buffer("errors", torch.zeros(2))  # mean squared errors of one member and of the mean

    def forward(self, members: Tensor, truth: Tensor) -> Tensor:
        """Compute the loss of members `b x P x band x y x x`, P >= 2; in training mode, k is updated first."""
        if members.shape[1] < 2:
            raise TrainingFailed(
                "The reward for spread compares members of a patch: set the stage's members to 2 or more."
            )
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


def predicted_low(batch: TrainingBatch) -> Tensor:
    """Return ``B(x)``, `b x band x h x w`, computed once per step."""
    if "predicted_low" not in batch.cache:
        batch.cache["predicted_low"] = batch.networks["backward"](batch.truth).float()
    low: Tensor = batch.cache["predicted_low"]
    return low


def cycle(batch: TrainingBatch) -> Tensor:
    """Compute the cycle-consistency loss ``mean |B(G(y)) - y| + mean |G(B(x)) - x|``."""
    low_again = batch.networks["backward"](batch.x[:, 0])
    high_again = batch.generate(predicted_low(batch))[:, 0]
    loss: Tensor = (low_again - batch.low).abs().mean() + (high_again - batch.truth).abs().mean()
    return loss


def identity(batch: TrainingBatch) -> Tensor:
    """Compute the identity loss ``mean |D G(D x) - D x| + mean |B(U y) - y|``.

    D averages blocks of `s x s` pixels, and U interpolates. At scale 1 both are the identity, and this is the published
    ``|G(x) - x| + |B(y) - y|``. At other scales it compares means over low-resolution pixels. It keeps the networks
    from changing colours or brightness to satisfy the discriminators.
    """
    coarse = F.avg_pool2d(batch.truth, batch.operator.scale)
    coarse_again = F.avg_pool2d(batch.generate(coarse)[:, 0], batch.operator.scale)
    low_again = batch.networks["backward"](batch.base)
    loss: Tensor = (coarse_again - coarse).abs().mean() + (low_again - batch.low).abs().mean()
    return loss


def high_resolution_inputs(batch: TrainingBatch) -> tuple[Tensor, Tensor, Tensor]:
    """Return the inputs of the high-resolution discriminator: x, G(y), and an empty context."""
    return batch.truth, batch.x[:, 0], torch.zeros_like(batch.truth)


def low_resolution_inputs(batch: TrainingBatch) -> tuple[Tensor, Tensor, Tensor]:
    """Return the inputs of the low-resolution discriminator: y, B(x), and an empty context."""
    return batch.low, predicted_low(batch), torch.zeros_like(batch.low)
