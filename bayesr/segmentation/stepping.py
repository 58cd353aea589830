"""Training step by step, stopped and resumed between any two steps."""

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
_WARMUP = 50
"""Steps in which the learning rate rises, at most a tenth of all, before it falls as a cosine."""


class Training:
    """A network in training with its optimiser, random state and step number, all in its checkpoint."""

    def __init__(self, network: SegmentationNetwork, settings: dict[str, Any]) -> None:
        self.network, self.settings = network, settings
        self.optimiser = OPTIMISERS[settings["optimiser"]](network.parameters(), lr=settings["rate"])
        self.generator = torch.Generator().manual_seed(settings["seed"])
        self.step, self.seconds = 0, 0.0

    def advance(self, patches: Patches) -> float:
        """Run one step and return the loss."""
        started, settings = time.monotonic(), self.settings
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
        self.seconds += time.monotonic() - started
        return float(loss.detach())

    def save(self, path: Path) -> None:
        """Write a checkpoint, replacing an older one atomically."""
        arrays = checkpoints.of_module("network", as_module(self.network))
        arrays |= checkpoints.of_optimiser("optimiser", self.optimiser)
        arrays["random"] = self.generator.get_state().numpy()
        facts = {"settings": self.settings, "network": self.network.architecture}
        checkpoints.write(path, arrays, facts | {"step": self.step, "seconds": self.seconds})

    def load(self, path: Path) -> None:
        """Resume from a checkpoint of the same training.

        Raises
        ------
        TrainingFailed
            If the file is not a checkpoint, or belongs to another training.
        """
        arrays, facts = checkpoints.read(path)
        expected = {"settings": self.settings, "network": self.network.architecture}
        for key, value in expected.items():
            if facts.get(key) != value:
                raise TrainingFailed(
                    f"{path} belongs to another training: its {key} are {facts.get(key)}, here {value}. Give another "
                    "checkpoint file, or the same settings."
                )
        with checkpoints.restoring(path):
            checkpoints.restore(path, as_module(self.network), checkpoints.part("network", arrays))
            checkpoints.restore_optimiser(self.optimiser, checkpoints.part("optimiser", arrays))
            self.generator.set_state(torch.from_numpy(arrays["random"]))
            self.step, self.seconds = int(facts["step"]), float(facts["seconds"])


def _schedule(step: int, steps: int) -> float:
    """The learning rate of a step as a fraction of the highest."""
    warmup = min(_WARMUP, steps // 10)
    return min(1.0, (step + 1) / (warmup + 1)) * 0.5 * (1 + math.cos(math.pi * step / steps))
