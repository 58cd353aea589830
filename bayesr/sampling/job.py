"""All that decides a product's values, in one picklable object, and the arrays of any tile of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bayesr import product
from bayesr.grid import Tile, tiles
from bayesr.images import Image
from bayesr.model.model import Model
from bayesr.sampling import engine
from bayesr.sampling.members import Drawn, Moments, Plan, draw, members_of

Arrays = Mapping[str, NDArray[np.float32]]

MASK_MEANS = "mask_means"
"""Beside the product's variables: by how much the means of masks differ from the mean, in network units."""


@dataclass(frozen=True)
class Job:
    """What is drawn from which image, and how it is described.

    Attributes
    ----------
    model : Model
    image : Image
    plan : Plan
    device : str
        As of `bayesr.sample`.
    level : float
        Of the interval.
    variables : tuple of str
        What is wanted, from the product's variables, ``samples`` and `MASK_MEANS`.
    """

    model: Model
    image: Image
    plan: Plan
    device: str
    level: float
    variables: tuple[str, ...]

    def __getstate__(self) -> dict[str, Any]:
        """Without the network in its place, which every process makes for itself."""
        return {name: value for name, value in vars(self).items() if name != "_placed"}

    @cached_property
    def _placed(self) -> tuple[Model, torch.device]:
        return engine.place(self.model, self.device)

    @cached_property
    def half_width(self) -> float:
        """Half the width of the interval, in standard deviations; NaN for one member."""
        return self.model.calibration.half_width(self.level, self.plan.n) if self.plan.n > 1 else np.nan

    @property
    def cost(self) -> float:
        """What `draw` advances by for a tile: the members that are drawn."""
        return self.plan.n - self.plan.first

    def tiles(self) -> Iterator[Tile]:
        """All tiles, row by row."""
        _, height, width = self.image.data.shape
        return tiles(height, width, self.plan.tile, self.model.halo, self.model.generator.multiple)

    def draw(self, tile: Tile, advance: Callable[[float], None], before: Moments | None = None) -> Arrays:
        """The wanted variables on a tile, in the units of the image; NaN where the image has no data.

        Parameters
        ----------
        tile : Tile
        advance : callable
            Told how much was just done, of `cost`.
        before : Moments, optional
            Of the members before ``plan.first``, which the variables then describe as well; ``samples`` does not.
        """
        network, device = self._placed
        pixels, missing = self.image.window(*tile.window)
        hole = None if missing is None else missing[tile.crop(1)]
        if hole is not None and hole.all():
            advance(self.cost)
            return self._nothing(tile)
        wanted = {"samples": "samples" in self.variables, "mask_means": MASK_MEANS in self.variables}
        y = torch.from_numpy(pixels).to(device)
        drawn = draw(network, y, self._bounds, tile, self.plan, advance, **wanted, before=before)
        arrays = self._describe(drawn)
        if hole is not None:
            high = hole.repeat(network.scale, 0).repeat(network.scale, 1)
            for values in arrays.values():
                values[..., high] = np.nan
        return arrays

    def member(self, i: int, tile: Tile) -> NDArray[np.float32]:
        """Member `i` on a tile, `band x y x x`, in the units of the image."""
        network, device = self._placed
        pixels, missing = self.image.window(*tile.window)
        y = torch.from_numpy(pixels).to(device)
        parts = []
        for band in range(0, len(y), network.bands):
            batches = members_of(network, y[band : band + network.bands], self._bounds, tile, self.plan, only=i)
            parts += [x[members.index(i)][(..., *tile.crop(network.scale))].cpu().numpy() for members, x in batches]
        values = self.image.to_units(np.concatenate(parts))
        if missing is not None:
            values[:, missing[tile.crop(1)].repeat(network.scale, 0).repeat(network.scale, 1)] = np.nan
        return values

    @property
    def _bounds(self) -> tuple[float, float] | None:
        """What a pixel can be, in network units."""
        bounds = self.image.bounds
        return None if bounds is None else (self.image.to_network(bounds[0]), self.image.to_network(bounds[1]))

    def _describe(self, drawn: Drawn) -> dict[str, NDArray[np.float32]]:
        image = self.image
        width = np.float32(image.value_range[1] - image.value_range[0])
        raw_std = np.sqrt(drawn.raw)
        factor = self.model.calibration.factors(raw_std)
        std = factor * raw_std * width
        mean = image.to_units(drawn.mean)
        reach = np.float32(self.half_width) * std + np.float32(0 if image.bounds is None else 0.5)
        lower, upper = mean - reach, mean + reach
        if image.bounds is not None:
            np.maximum(lower, np.float32(image.bounds[0]), out=lower)
            np.minimum(upper, np.float32(image.bounds[1]), out=upper)
        arrays = {
            "mean": mean,
            "variance": std * std,
            "std": std,
            "aleatoric": drawn.aleatoric * width**2,
            "epistemic": (drawn.raw - drawn.aleatoric) * width**2,
            "calibration": factor,
            "lower": lower,
            "upper": upper,
        }
        if drawn.samples is not None:
            for member in drawn.samples:  # one by one: all of them may take as much memory as there is
                member[...] = image.to_units(member)
            arrays["samples"] = drawn.samples
        if drawn.mask_means is not None:
            arrays[MASK_MEANS] = drawn.mask_means
        return {name: values for name, values in arrays.items() if name in self.variables}

    def _nothing(self, tile: Tile) -> Arrays:
        """NaN for all variables, in hardly any memory."""
        top, bottom, left, right = (self.model.scale * edge for edge in tile.core)
        shape = (len(self.image.data), bottom - top, right - left)
        lead = {"samples": (int(self.cost),), MASK_MEANS: (self.plan.masks - 1,)}
        nan = np.float32(np.nan)
        return {name: np.broadcast_to(nan, (*lead.get(name, ()), *shape)) for name in self.variables}


def before(job: Job, arrays: Arrays, n: int) -> Moments:
    """The moments of the first `n` members, from what the product says of them on a tile.

    With `K` masks of `L` latents each: ``sum_k sum_i (x_ki - m_k)^2 = K (L - 1) aleatoric``, or ``(L - 1)`` times
    the raw variance ``(std / calibration)^2`` where there is one mask.

    Parameters
    ----------
    job : Job
    arrays : mapping
        ``mean``, ``aleatoric``, ``std``, ``calibration`` and `MASK_MEANS`.
    n : int
    """
    low, high = job.image.value_range
    width = np.float32(high - low)
    masks = job.plan.masks
    latents = n // masks
    mean = (arrays["mean"] - np.float32(low)) / width
    apart = arrays.get(MASK_MEANS, np.empty((0, *mean.shape), np.float32))
    means = mean + np.concatenate([apart, -apart.sum(0, keepdims=True)])
    if latents == 1:
        within = np.zeros_like(mean)
    elif masks > 1:
        within = np.float32(masks * (latents - 1)) * arrays["aleatoric"] / width**2
    else:
        within = np.float32(latents - 1) * (arrays["std"] / arrays["calibration"] / width) ** 2
    return Moments(n, np.nan_to_num(means), np.nan_to_num(within))


NEEDED = ("mean", "aleatoric", "std", "calibration")
"""What `before` looks at, beside `MASK_MEANS`."""

ALL = tuple(product.VARIABLES)
"""The product's variables, but for the members."""
