"""One U-Net for each annotator, so that each keeps a style of its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from bayesr.errors import InvalidArgument, InvalidModel
from bayesr.networks.segmenters.mobile_unet import MobileUNet, PixelLoss

PUBLISHED = {"optimiser": "nadam", "rate": 1e-5, "loss": "tversky"}
"""Training options of the study, for long training from pretrained encoders. Short training from scratch needs 1e-3."""


class AnnotatorEnsemble(nn.Module):
    """Ensemble of U-Nets, the k-th of which predicts the mask of the k-th annotator.

    Their mean is the probability map, their differences its spread. The U-Nets (encoder-decoder pairs) share no
    weights, so each is trained as it would be alone.

    Parameters
    ----------
    bands, outputs : int
        Bands, and predicted maps.
    annotators : int
        Number of annotators.
    width, depth, decoder : float, int, sequence of int
        Options of each `MobileUNet`.

    Raises
    ------
    InvalidModel
        For invalid sizes.

    Attributes
    ----------
    architecture : dict
        Options from which the network can be built again; JSON.
    reach, multiple : int, int
        Those of a `MobileUNet`.

    References
    ----------
    H. B. Li et al., "QUBIQ: Uncertainty quantification for biomedical image segmentation challenge", 2024,
    arXiv:2405.18435.
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
        """Return the logits of all annotators, `n x annotator x outputs x h x w`, from images in about [0, 1]."""
        return torch.stack([pair(x) for pair in self.pairs], 1)

    def begin_with(self, unet: MobileUNet) -> None:
        """Copy all weights of a trained U-Net of the same sizes to every pair."""
        for pair in self.pairs:
            pair.load_state_dict(unet.state_dict())

    def start_from(self, path: str | Path) -> None:
        """Read every encoder's weights; see `MobileUNet.start_from`."""
        for pair in self.pairs:
            assert isinstance(pair, MobileUNet)
            pair.start_from(path)

    def loss(
        self, x: Tensor, targets: Tensor, weight: Tensor, pixel_loss: PixelLoss, generator: torch.Generator
    ) -> Tensor:
        """Return the mean pixel loss of the pairs, each against its annotator's mask.

        See `bayesr.segmentation.protocol.SegmentationNetwork.loss` for the parameters.

        Raises
        ------
        InvalidArgument
            If the number of annotators differs from the number of pairs.
        """
        if targets.shape[1] != len(self.pairs):
            raise InvalidArgument(
                f"The ensemble has {len(self.pairs)} pairs, the cases have {targets.shape[1]} annotators: build it "
                f"with annotators={targets.shape[1]}."
            )
        losses = [pixel_loss(pair(x), targets[:, k], weight) for k, pair in enumerate(self.pairs)]
        return torch.stack(losses).mean()

    def maps(self, x: Tensor, count: int, generator: torch.Generator | None = None) -> Tensor:
        """Return the probability maps of all annotators in turn, repeated as needed, `n x count x outputs x h x w`."""
        probabilities = torch.sigmoid(self(x))
        return probabilities[:, torch.arange(count, device=x.device) % len(self.pairs)]

    def probability(self, x: Tensor) -> Tensor:
        """Return the mean of the annotators' probability maps, `n x outputs x h x w`."""
        return torch.sigmoid(self(x)).mean(1)
