"""U-Net with the encoder of MobileNetV2, for segmentation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from bayesr.errors import InvalidArgument, InvalidModel
from bayesr.networks.segmenters.mobile_net import blocks
from bayesr.resampling import extend

PixelLoss = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Loss of logits, a target and the weights of pixels: their mean over values."""

_STAGES = (2, 4, 7, 14, 18)
"""Number of MobileNetV2's blocks after which the size is halved once, ..., five times."""
_DECODER = (12, 16, 24, 48, 96)
"""Channels of the decoder at full size, half the size, a quarter, and so on."""
_CENTRE = 0.5


class Block(nn.Sequential):
    """A 3x3 convolution, batch normalisation, ReLU: `n x inputs x h x w` to `n x outputs x h x w`."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
        )


class MobileUNet(nn.Module):
    """U-Net with the encoder of MobileNetV2, for images `n x bands x h x w` in about [0, 1] of any size.

    The encoder halves the size `depth` times. Each level of the decoder interpolates by the nearest pixel, concatenates
    the encoder's features of that size (at full size, the image), and applies a 3x3 convolution with batch
    normalisation. A 1x1 convolution makes logits, `n x outputs x h x w`. The lower and right borders are extended to a
    multiple of ``2^depth`` by reflection.

    Initial weights are random; `start_from` reads a pretrained encoder.

    Parameters
    ----------
    bands, outputs : int
        Bands, and maps of logits; of two, the first is the foreground, the second the borders.
    width : float
        Factor on MobileNetV2's numbers of channels.
    depth : int
        Halvings of the size, 1 to 5. At 5 the encoder lacks only the layer before the classifier.
    decoder : sequence of int, optional
        Channels of the decoder at full size, half the size, and so on; `depth` numbers.

    Attributes
    ----------
    architecture : dict
        Options from which the network can be built again; JSON.
    reach, multiple : int
        In evaluation mode an output pixel depends on pixels within `reach`, and windows that begin at multiples of
        `multiple` agree with the whole image.

    Raises
    ------
    InvalidModel
        For invalid sizes.

    References
    ----------
    M. Sandler et al., "MobileNetV2: Inverted residuals and linear bottlenecks", 2018, arXiv:1801.04381; O. Ronneberger
    et al., 2015, arXiv:1505.04597.
    """

    def __init__(
        self,
        bands: int = 1,
        outputs: int = 1,
        width: float = 1.0,
        depth: int = 5,
        decoder: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        if not 1 <= depth <= len(_STAGES) or bands < 1 or outputs < 1 or width <= 0:
            raise InvalidModel(
                f"No such U-Net: {bands} bands, {outputs} outputs, width {width}, depth {depth}. Bands and outputs are "
                f"at least 1, the width is positive, the depth 1 to {len(_STAGES)}."
            )
        channels = tuple(decoder) if decoder is not None else _DECODER[:depth]
        if len(channels) != depth or min(channels) < 1:
            raise InvalidModel(f"A decoder of depth {depth} has {depth} positive numbers of channels, not {channels}.")
        self.architecture: dict[str, Any] = {
            "kind": "unet",
            "bands": bands,
            "outputs": outputs,
            "width": width,
            "depth": depth,
            "decoder": list(channels),
        }
        self.multiple = 2**depth
        made = blocks(bands, width, _STAGES[depth - 1])
        self.encoder = nn.ModuleList(
            nn.Sequential(*made[first:last]) for first, last in pairwise((0, *_STAGES[:depth]))
        )
        skipped = [bands, *(_outputs(stage) for stage in self.encoder)]
        below = [*channels[1:], skipped[-1]]
        self.decoder = nn.ModuleList(
            Block(coarse + skip, out) for coarse, skip, out in zip(below, skipped[:-1], channels, strict=True)
        )
        self.channels = channels[0]
        self.head = nn.Conv2d(self.channels, outputs, 1)
        self.reach = max(_reach(pixel, self.encoder) for pixel in range(self.multiple))

    def encode(self, x: Tensor) -> list[Tensor]:
        """Return the image, then the features of half its size (extended to `multiple`), a quarter, and so on."""
        f: Tensor = (extend(x, self.multiple) - _CENTRE).contiguous(memory_format=torch.channels_last)
        features = [x]
        for stage in self.encoder:
            f = stage(f)
            features.append(f)
        return features

    def decode(self, features: Sequence[Tensor]) -> Tensor:
        """Return the last feature map, `n x channels x h x w`, from the result of `encode`."""
        x, f = features[0], features[-1]
        finer = [extend(x, self.multiple) - _CENTRE, *features[1:-1]]
        for block, skip in zip(reversed(self.decoder), reversed(finer), strict=True):
            f = block(torch.cat([F.interpolate(f, scale_factor=2.0), skip], 1))
        return f[..., : x.shape[-2], : x.shape[-1]]

    def forward(self, x: Tensor) -> Tensor:
        """Return logits, `n x outputs x h x w`."""
        logits: Tensor = self.head(self.decode(self.encode(x)))
        return logits

    def loss(
        self, x: Tensor, targets: Tensor, weight: Tensor, pixel_loss: PixelLoss, generator: torch.Generator
    ) -> Tensor:
        """Return the pixel loss against each annotator's masks, in [0, 1], averaged over annotators.

        See `bayesr.segmentation.protocol.SegmentationNetwork.loss` for the parameters.
        """
        logits = self(x)
        return torch.stack([pixel_loss(logits, masks, weight) for masks in targets.unbind(1)]).mean()

    def probability(self, x: Tensor) -> Tensor:
        """Return probability maps, `n x outputs x h x w`."""
        return torch.sigmoid(self(x))

    def maps(self, x: Tensor, count: int, generator: torch.Generator | None = None) -> Tensor:
        """Return probability maps, `n x count x outputs x h x w`, all equal because a U-Net has a single answer."""
        return self.probability(x)[:, None].expand(-1, count, -1, -1, -1)

    @torch.no_grad()
    def start_from(self, path: str | Path) -> None:
        """Read a pretrained encoder's weights from a safetensors file or a dict of tensors saved by torch.

        The file contains torchvision's MobileNetV2 of the same `width`, with names that begin with ``features.``.
        Unless images have 3 bands, the first layer's weights are averaged over colours and scaled: the features are
        those of a grey image with three equal bands.

        Parameters
        ----------
        path : str or Path

        Raises
        ------
        InvalidArgument
            If the file cannot be read without running code, or holds another network.
        """
        weights = _weights(Path(path))
        own = {
            f"features.{first + int(i)}.{rest}": value
            for first, stage in zip((0, *_STAGES), self.encoder, strict=False)
            for i, _, rest in (name.partition(".") for name in stage.state_dict())
            for value in [stage.state_dict()[f"{i}.{rest}"]]
        }
        start, bands = weights.get("features.0.0.weight"), self.architecture["bands"]
        if start is not None and start.dim() == 4 and start.shape[1] == 3 != bands:
            weights["features.0.0.weight"] = start.mean(1, keepdim=True).repeat(1, bands, 1, 1) * 3 / bands
        wrong = [name for name, value in own.items() if name not in weights or weights[name].shape != value.shape]
        if wrong:
            raise InvalidArgument(
                f"{path} is no encoder of width {self.architecture['width']}: {wrong[0]} is missing or has another "
                "shape. Give the file of torchvision's MobileNetV2 of that width (the published one has width 1)."
            )
        for name, value in own.items():
            value.copy_(weights[name])


def _weights(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a file without running code from it."""
    try:
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        weights = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, UnpicklingError, OSError, RuntimeError, EOFError, ValueError) as error:
        raise InvalidArgument(f"The encoder's weights cannot be read from {path}: {error}.") from error
    if not isinstance(weights, dict) or not all(isinstance(value, Tensor) for value in weights.values()):
        raise InvalidArgument(f"{path} does not hold a dict of tensors: save the state_dict of the network.")
    return dict(weights)


def _outputs(stage: nn.Module) -> int:
    """Return the channels of a stage's last convolution."""
    return [m.out_channels for m in stage.modules() if isinstance(m, nn.Conv2d)][-1]


def _reach(pixel: int, encoder: nn.ModuleList) -> int:
    """Follow the pixels that an output pixel depends on back to the image."""
    first = last = pixel
    for _ in encoder:  # a convolution of the decoder, then interpolation
        first, last = (first - 1) // 2, (last + 1) // 2
    spatial = [m for m in encoder.modules() if isinstance(m, nn.Conv2d) and m.kernel_size[0] == 3]
    for convolution in reversed(spatial):
        stride = convolution.stride[0]
        first, last = stride * first - 1, stride * last + 1
    return max(pixel - first, last - pixel)
