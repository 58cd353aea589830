"""Schedules of learning rates."""

from __future__ import annotations

import math
from collections.abc import Callable

_FALL = 0.15

SCHEDULES: dict[str, Callable[[float], float]] = {
    "cosine": lambda share: max(0.01, 0.5 * (1 + math.cos(math.pi * share))),
    "wsd": lambda share: max(0.1, min(1.0, (1 - share) / _FALL)),
}
"""Learning rates relative to a stage's own, as functions of the fraction of the stage that is done.

``cosine`` falls from the first step on. ``wsd`` (warm-up, stable, decay) stays constant, and falls linearly over the
last 15%: a checkpoint from before the fall can be continued with more steps as if they had been planned. With a
discriminator, both rates should be constant: if the generator's alone falls, the discriminator wins.

References
----------
S. Hu et al., "MiniCPM: unveiling the potential of small language models with scalable training strategies", 2024,
arXiv:2404.06395.
"""


def warm_up(done: int, share: float) -> float:
    """Return the factor by which rates rise at first: over 100 steps, or a tenth of a shorter stage.

    Parameters
    ----------
    done : int
        Steps of the stage that are done.
    share : float
        Fraction of the stage that is done after the next step.
    """
    return min(1.0, max((done + 1) / 100, 10 * share))
