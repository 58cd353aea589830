"""Scores on held-out images while a model trains."""

from __future__ import annotations

import numpy as np
import torch

from bayesr.errors import TrainingFailed
from bayesr.networks.features import lpips
from bayesr.observe import ForwardOperator
from bayesr.training import losses
from bayesr.training.data import ImageSet, middle
from bayesr.training.degradation import Degradation
from bayesr.training.history import Record
from bayesr.training.loop import Trainer


class Validation:
    """Scores on crops of held-out images: PSNR of the mean, fair CRPS, spread-skill ratio, and LPIPS of members.

    LPIPS is that of AlexNet, of two members, where its weights are installed (`bayesr.networks.features.lpips`).

    Crops are the centres of the first `count` images that are large enough, and smaller if none is. 8 members are
    drawn, always with the same latents, blur and noise.

    Parameters
    ----------
    images : ImageSet
    operator : ForwardOperator
    count : int
        Largest number of crops.
    size : int
        High-resolution pixels along a side of a crop.
    degradation : Degradation

    Raises
    ------
    TrainingFailed
        If no image is as large as a low-resolution pixel.
    """

    def __init__(
        self,
        images: ImageSet,
        operator: ForwardOperator,
        count: int = 24,
        size: int = 128,
        degradation: Degradation = Degradation(),  # noqa: B008
    ) -> None:
        size = min(size, max(min(image.shape[:2]) for image in images.images)) // operator.scale * operator.scale
        if not size:
            raise TrainingFailed(
                f"The held-out images are smaller than {operator.scale}x{operator.scale} pixels: hold out larger ones."
            )
        fit = [image for image in images.images if min(image.shape[:2]) >= size][:count]
        crops = [middle(image, size) for image in fit]
        self.high = torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).float() / 255
        self.lpips = lpips.load() if lpips.folder() and size >= lpips.SMALLEST else None
        self.low, _ = degradation.observe(operator, self.high, torch.Generator().manual_seed(0))

    @torch.no_grad()
    def __call__(self, trainer: Trainer) -> Record:
        """Return the scores of a trainer's averaged network, and leave its random state unchanged."""
        stage, _ = trainer.position()
        state = trainer.device_random.get_state()
        trainer.device_random.manual_seed(0)
        low, high = self.low.to(trainer.device), self.high.to(trainer.device)
        members = [trainer.members(part, 8 if stage.members else 0, trainer.average)[1] for part in low.split(8)]
        trainer.device_random.set_state(state)
        x = torch.cat(members)
        mean = x.mean(1)
        error = (mean - high).pow(2).mean((1, 2, 3))
        record = {"psnr": float(-10 * error.log10().mean())}
        if stage.members:
            record["fair_crps"] = float(losses.fair_crps(x, high))
            record["spread_skill"] = float((x.var(1).mean() * 9 / 8 / error.mean()).sqrt())
            if self.lpips is not None:
                images, references = ((255 * part).clamp(0, 255).cpu().numpy() for part in (x[:, :2], high))
                record["lpips"] = float(np.mean([*map(self.lpips.distances, images, references)]))
        return record
