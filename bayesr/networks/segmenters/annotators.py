"""One encoder-decoder pair for each annotator, who each keep a style of their own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from bayesr.errors import InvalidArgument, InvalidModel
from bayesr.networks.segmenters.mobile_unet import MobileUNet, PixelLoss

PUBLISHED = {"optimiser": "nadam", "rate": 1e-5, "loss": "tversky"}
"""How the study trained its ensemble: for long, from encoders that had been trained on photographs. From scratch,
and in minutes, a rate of 1e-3 is needed."""


class AnnotatorEnsemble(nn.Module):
    """Several U-Nets, the k-th of which answers as the k-th annotator would: their mean is the map, they the spread.

    Pairs have nothing in common, so each is trained as it would be alone, on the masks of its annotator.

    Parameters
    ----------
    bands, outputs : int
        Bands of the image; maps that are predicted.
    annotators : int
    width, depth : float, int
        Of each U-Net.
    decoder : sequence of int, optional
        Of each U-Net.

    Raises
    ------
    InvalidModel
        For sizes that no network can have.

    Attributes
    ----------
    architecture : dict
        What builds it again; JSON.
    reach, multiple : int or None, int
        Of a U-Net.

    References
    ----------
    H. B. Li et al., "QUBIQ: Uncertainty quantification for biomedical image segmentation
    challenge", 2024, arXiv:2405.18435.
    """

    def __init__(
        self,
        bands: int = 1,
        outputs: int = 1,
        annotators: int = 2,
        width: float = 1.0,
        depth: int = 5,
        decoder: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        if annotators < 1:
            raise InvalidModel(f"There is one annotator or more, not {annotators}.")
        pairs = [MobileUNet(bands, outputs, width, depth, decoder) for _ in range(annotators)]
        self.pairs, first = nn.ModuleList(pairs), pairs[0]
        self.architecture = first.architecture | {"kind": "annotators", "annotators": annotators}
        self.reach, self.multiple = first.reach, first.multiple

    def forward(self, x: Tensor) -> Tensor:
        """Logits of all annotators, `n x annotator x outputs x h x w`, from `n x bands x h x w` in about [0, 1]."""
        return torch.stack([pair(x) for pair in self.pairs], 1)

    def begin_with(self, unet: MobileUNet) -> None:
        """Take over all weights of a trained U-Net of the same sizes, in every pair."""
        for pair in self.pairs:
            pair.load_state_dict(unet.state_dict())

    def start_from(self, path: str | Path) -> None:
        """Take over the weights of every encoder from a file, see `MobileUNet.start_from`."""
        for pair in self.pairs:
            assert isinstance(pair, MobileUNet)
            pair.start_from(path)

    def loss(
        self, x: Tensor, targets: Tensor, weight: Tensor, pixel_loss: PixelLoss, generator: torch.Generator
    ) -> Tensor:
        """The mean over annotators of the pixel loss of a pair against its own annotator's mask.

        Parameters
        ----------
        x : Tensor
            `n x bands x h x w`.
        targets : Tensor
            `n x annotator x outputs x h x w`, in {0, 1}.
        weight : Tensor
            Of the pixels, `n x 1 x h x w`.
        pixel_loss : callable
            Of logits, a target and the weight.
        generator : Generator
            Not used: nothing is drawn.

        Raises
        ------
        InvalidArgument
            The cases have another number of annotators than the ensemble has pairs.
        """
        if targets.shape[1] != len(self.pairs):
            raise InvalidArgument(
                f"The ensemble has {len(self.pairs)} pairs, the cases have {targets.shape[1]} annotators: build it "
                f"with annotators={targets.shape[1]}."
            )
        losses = [pixel_loss(pair(x), targets[:, k], weight) for k, pair in enumerate(self.pairs)]
        return torch.stack(losses).mean()

    def maps(self, x: Tensor, count: int, generator: torch.Generator | None = None) -> Tensor:
        """Maps of probabilities, `n x count x outputs x h x w`: the annotators', again from the first when all were."""
        found = torch.sigmoid(self(x))
        return found[:, torch.arange(count, device=x.device) % len(self.pairs)]

    def probability(self, x: Tensor) -> Tensor:
        """The mean of the annotators' maps, `n x outputs x h x w`."""
        return torch.sigmoid(self(x)).mean(1)
