"""The generator: a backbone that runs once per image, and a head that runs once per member.

    g(y, z, m) = up(f) + head(f, z, m),    f = backbone(y)

The output head ``up`` makes the deterministic detail, the head a member's deviation. The caller makes ``g`` consistent
with `y` by the forward operator.

Every backbone goes with every head; `bayesr.networks.registry` lists both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from bayesr.errors import InvalidArgument
from bayesr.networks.heads.base import BackboneFeatures, Head, MaskNoise
from bayesr.networks.layers import sub_pixels

_HALO = 32
"""Low-resolution pixels around a tile for backbones that depend on the whole image; tiles then agree approximately."""


class Generator(nn.Module):
    """A backbone with an output head, and a head for the members. `bayesr.networks.registry.build` makes it.

    Parameters
    ----------
    backbone : Module
        Maps `n x bands x h x w` to `n x width x h x w`. Its attributes are `width`; `reach`, the radius of influence in
        low-resolution pixels, None for the whole image; and `multiple`: tiles agree if windows begin at multiples of
        it.
    up : Module
        Output head, see `bayesr.networks.outputs`.
    head : Head
    scale : int
        Scale factor.
    architecture : mapping
        Options from which `bayesr.networks.registry.build` makes the network again; JSON.
    """

    def __init__(
        self, backbone: nn.Module, up: nn.Module, head: Head, scale: int, architecture: Mapping[str, Any]
    ) -> None:
        super().__init__()
        self.scale, self.architecture = scale, dict(architecture)
        self.backbone: Any = backbone
        self.up: Any = up
        self.head = head

    @property
    def parts(self) -> tuple[Generator, ...]:
        """Networks that are trained independently; an ensemble has several."""
        return (self,)

    @property
    def stochastic(self) -> bool:
        """Whether members differ."""
        return self.head.stochastic

    @property
    def latent_channels(self) -> int:
        """Latent channels of a member."""
        return self.head.latent_channels

    @property
    def masked(self) -> bool:
        """Whether members depend on masks."""
        rates = self.head.rates()
        return rates.numel() > 0 and bool((rates > 1e-12).any())

    @property
    def reach(self) -> int:
        """Low-resolution pixels that an output pixel depends on in every direction, if `local`; else a usual halo."""
        if self.backbone.reach is None:
            return _HALO
        return int(self.backbone.reach) + max(int(self.up.reach), self.head.reach)

    @property
    def backbone_reach(self) -> int:
        """How much farther than members its features need the image, in low-resolution pixels.

        0 where windows must not change: for backbones of a whole image or of aligned windows.
        """
        return int(self.backbone.reach) if self.local and self.multiple == 1 else 0

    @property
    def local(self) -> bool:
        """Whether an output pixel depends on pixels within `reach` alone, so that tiles agree."""
        return self.backbone.reach is not None

    @property
    def multiple(self) -> int:
        """Windows of an image must begin at multiples of so many low-resolution pixels."""
        return int(self.backbone.multiple)

    @property
    def max_masks(self) -> int | None:
        """Number of different masks, None if unlimited."""
        return None

    def sampling_masks(self, noise: MaskNoise) -> list[Tensor]:
        """Return the masks that members of one mask number share."""
        return self.head.sampling_masks(noise)

    def neutral_masks(self) -> list[Tensor]:
        """Return the masks that change nothing."""
        return self.head.neutral_masks()

    def forward(self, y: Tensor, z: Tensor | None = None, masks: Sequence[Tensor] | None = None) -> Tensor:
        """Compute ``g(y, z, m)``, backbone and head in one call, `n x bands x sh x sw`.

        The image is ``A+ y + P g``: this is `g` alone, before the projection. For many members of one image call
        `prepare` once and `draw` for each batch of members.

        Parameters
        ----------
        y : Tensor
            Low-resolution images, `n x bands x h x w`, scaled from the value range to [0, 1]; or one of n members.
        z : Tensor, optional
            Independent standard normal latents, `n x latent_channels x h x w`; None for the deterministic detail.
        masks : sequence of Tensor, optional
            From `sampling_masks`; by default the masks that change nothing.

        Raises
        ------
        InvalidArgument
            For latents of another shape, and for an ensemble without masks, which select its network.
        """
        if z is not None and tuple(z.shape[1:]) != (expected := (self.latent_channels, *y.shape[-2:])):
            raise InvalidArgument(
                f"Latents z have the shape {tuple(z.shape)}, and this network needs n x "
                f"{' x '.join(map(str, expected))}: one value for each latent channel and pixel of y."
            )
        return self.draw(self.prepare(y), z, self.neutral_masks() if masks is None else masks)

    def prepare(self, y: Tensor) -> BackboneFeatures:
        """Compute what all members share, from low-resolution images `n x bands x h x w`."""
        f = self.backbone(y)
        return self.head.prepare(f, self.up(f))

    def draw(
        self, shared: BackboneFeatures, z: Tensor | None, masks: Sequence[Tensor], out: Tensor | None = None
    ) -> Tensor:
        """Draw members, `n x bands x sh x sw`.

        Parameters
        ----------
        shared : BackboneFeatures
            From `prepare`.
        z : Tensor or None
            Latents, `n x latent_channels x h x w`; None for the deterministic detail.
        masks : sequence of Tensor
            See `bayesr.networks.heads.base.Head`.
        out : Tensor, optional
            Memory for at least n members, which are then of one image.
        """
        if z is None:
            return sub_pixels(shared.detail, self.scale, out)
        if out is None:
            return sub_pixels(self.head(shared, z, masks), self.scale)
        done = 0
        for piece in self.head.pieces(shared, z, masks):
            sub_pixels(piece, self.scale, out[done : done + len(piece)])
            done += len(piece)
        return out[:done]
