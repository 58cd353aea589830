"""Both halves of a generator as modules of tensors alone, and as programs of ``torch.export``.

    features = backbone(y),    g = head(features, z, masks)

They are what `Generator.prepare` and `Generator.draw` compute, without features that have no channels. Other programs
run them: see `bayesr.model.onnx_files`.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from bayesr.errors import EngineUnavailable, InvalidArgument
from bayesr.isolation import isolated
from bayesr.networks.generator import Generator
from bayesr.networks.heads.base import BackboneFeatures

_EXAMPLE = 24, 32
"""Low-resolution pixels of the image that programs of any size are traced with; windows of 8 fit."""


class Backbone(nn.Module):
    """The features that members share, of images `n x bands x h x w`, as a list; see `BackboneFeatures`."""

    def __init__(self, network: Generator, names: Sequence[str]) -> None:
        super().__init__()
        self.network, self.names = network, tuple(names)

    def forward(self, y: Tensor) -> list[Tensor]:
        shared = self.network.prepare(y)
        return [getattr(shared, name) for name in self.names]


class MemberHead(nn.Module):
    """The detail of members, `n x bands x sh x sw`, before the projection onto the data.

    It takes the list of features of one image, latents `n x latent_channels x h x w` (None without latents), and the
    list of masks that the n members share.
    """

    def __init__(self, network: Generator, names: Sequence[str]) -> None:
        super().__init__()
        self.network, self.names = network, tuple(names)

    def forward(self, features: list[Tensor], z: Tensor | None, masks: list[Tensor]) -> Tensor:
        given = dict(zip(self.names, features, strict=True))
        empty = given["detail"][:, :0]
        shared = BackboneFeatures(*(given.get(name, empty) for name in BackboneFeatures._fields))
        if z is None and self.network.stochastic:
            z = empty  # members of one mask are one image
        return self.network.draw(shared, z, masks)


@dataclass(frozen=True)
class Halves:
    """Both halves of a network, and what their arguments are.

    Attributes
    ----------
    backbone : Backbone
    head : MemberHead
    features : tuple of str
        Names of the features, in their order.
    masks : tuple of dict
        For each mask its ``shape``, and the distribution of its independent values: ``distribution``, ``"normal"`` with
        ``mean`` and ``std``, or ``"bernoulli"``, which is 0 with probability ``rate``, else ``1 / (1 - rate)``.
    """

    backbone: Backbone
    head: MemberHead
    features: tuple[str, ...]
    masks: tuple[dict[str, Any], ...]


@isolated
def halves(network: Generator, size: tuple[int, int] = _EXAMPLE) -> Halves:
    """Return both halves of a network, which share its modules.

    Parameters
    ----------
    network : Generator
        A single network: call this for each of the `parts` of an ensemble.
    size : tuple of int
        Height and width of an image that the network takes, to find out which features it has.

    Raises
    ------
    InvalidArgument
        For an ensemble.
    """
    if len(network.parts) > 1:
        raise InvalidArgument(f"An ensemble has {len(network.parts)} networks: export each of network.parts.")
    with torch.no_grad():
        shared = network.prepare(_image(network, size))
    names = tuple(name for name, values in zip(shared._fields, shared, strict=True) if values.shape[1])
    return Halves(Backbone(network, names), MemberHead(network, names), names, tuple(_laws(network)))


def _laws(network: Generator) -> list[dict[str, Any]]:
    """Describe the distribution of every mask."""
    laws: list[dict[str, Any]] = []
    for mask, std in zip(network.neutral_masks(), network.head.mask_stds(), strict=True):
        law: dict[str, Any] = {"shape": list(mask.shape), "distribution": network.head.mask_kind}
        if law["distribution"] == "normal":
            law |= {"mean": float(mask.flatten()[0]), "std": std}
        else:  # the variance of a mask of rate p is p / (1 - p)
            law |= {"rate": std**2 / (1 + std**2)}
        laws.append(law)
    return laws


@isolated
def export(network: Generator, size: tuple[int, int] | None = None) -> tuple[ExportedProgram, ExportedProgram]:
    """Trace both halves of a network with ``torch.export``.

    Parameters
    ----------
    network : Generator
        A single network, in evaluation mode, on the CPU.
    size : tuple of int, optional
        Height and width of images in low-resolution pixels. By default programs take any size.

    Returns
    -------
    tuple of ExportedProgram
        The backbone, of one image ``(y,)``, and the head, of ``(features, z, masks)`` with any number of members that
        share their masks. ``z`` is None for a head without latents.

    Raises
    ------
    InvalidArgument
        For an ensemble, and where `size` is none.
    EngineUnavailable
        When the network cannot be traced, or not without a `size`.
    """
    if size is not None and not (len(size) == 2 and all(type(part) is int and part > 0 for part in size)):
        raise InvalidArgument(
            f"size must be height and width in low-resolution pixels, such as (64, 64), not {size!r}."
        )
    example = _EXAMPLE if size is None else size
    parts = halves(network, example)
    y = _image(network, example)
    masks = network.neutral_masks()
    free = size is None
    plane = {2: Dim("height", min=1), 3: Dim("width", min=1)} if free else {}
    z, members = None, {0: Dim("members", min=1)}
    if network.latent_channels:
        z = torch.zeros((3, network.latent_channels, *example), dtype=torch.float32, device="cpu")
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of its own parts
            features = parts.backbone(y)
            backbone = torch.export.export(parts.backbone, (y,), dynamic_shapes=(plane,), strict=False)
            head = torch.export.export(
                parts.head,
                (features, z, masks),
                dynamic_shapes=([plane] * len(features), None if z is None else members | plane, [None] * len(masks)),
                strict=False,
            )
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        what = "images of any size: give size=(height, width)" if free else "other programs: use it in bayesr"
        raise EngineUnavailable(f"torch cannot trace this network for {what} ({reason}).") from error
    return backbone, head


def _image(network: Generator, size: tuple[int, int]) -> Tensor:
    return torch.zeros((1, int(network.architecture["bands"]), *size), dtype=torch.float32, device="cpu")
