"""Training, one step after another, stopped and resumed between any two of them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from bayesr.errors import TrainingFailed
from bayesr.model import checkpoint as checkpoints
from bayesr.segmentation.losses import LOSSES
from bayesr.segmentation.patches import Patches
from bayesr.segmentation.protocol import SegmentationNetwork, as_module

OPTIMISERS: dict[str, Callable[..., torch.optim.Optimizer]] = {"adam": torch.optim.Adam, "nadam": torch.optim.NAdam}
_WARM = 50
"""Steps in which the learning rate rises, at most a tenth of all; then it falls along a cosine."""


class Training:
    """A network in training: its optimiser, random state and step, which a checkpoint holds all of."""

    def __init__(self, network: SegmentationNetwork, settings: dict[str, Any]) -> None:
        self.network, self.settings = network, settings
        self.optimiser = OPTIMISERS[settings["optimiser"]](network.parameters(), lr=settings["rate"])
        self.generator = torch.Generator().manual_seed(settings["seed"])
        self.step, self.seconds = 0, 0.0

    def advance(self, patches: Patches) -> float:
        """One step; the loss."""
        begun, settings = time.monotonic(), self.settings
        for group in self.optimiser.param_groups:
            group["lr"] = settings["rate"] * _schedule(self.step, settings["steps"])
        x, targets, weight = patches.batch(settings["batch"], self.generator)
        device = next(self.network.parameters()).device
        x = x.to(device, memory_format=torch.channels_last)
        loss = self.network.loss(x, targets.to(device), weight.to(device), LOSSES[settings["loss"]], self.generator)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.optimiser.step()
        self.step += 1
        self.seconds += time.monotonic() - begun
        return float(loss.detach())

    def save(self, path: Path) -> None:
        """Replace the checkpoint at `path`, whole or not at all."""
        arrays = checkpoints.of_module("network", as_module(self.network))
        arrays |= checkpoints.of_optimiser("optimiser", self.optimiser)
        arrays["random"] = self.generator.get_state().numpy()
        facts = {"settings": self.settings, "network": self.network.architecture}
        checkpoints.write(path, arrays, facts | {"step": self.step, "seconds": self.seconds})

    def load(self, path: Path) -> None:
        """Go on from a checkpoint of the same training."""
        arrays, facts = checkpoints.read(path)
        expected = {"settings": self.settings, "network": self.network.architecture}
        for key, value in expected.items():
            if facts.get(key) != value:
                raise TrainingFailed(
                    f"{path} is of another training: its {key} are {facts.get(key)}, here {value}. Give another "
                    "checkpoint file, or the same settings."
                )
        checkpoints.restore(path, as_module(self.network), checkpoints.part("network", arrays))
        checkpoints.restore_optimiser(self.optimiser, checkpoints.part("optimiser", arrays))
        self.generator.set_state(torch.from_numpy(arrays["random"]))
        self.step, self.seconds = facts["step"], facts["seconds"]


def _schedule(step: int, steps: int) -> float:
    """The learning rate of a step, as a share of the highest."""
    warm = min(_WARM, steps // 10)
    return min(1.0, (step + 1) / (warm + 1)) * 0.5 * (1 + math.cos(math.pi * step / steps))
