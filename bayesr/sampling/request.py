"""What a product is to be: a checked request, and the attributes and the template that follow from it."""

from __future__ import annotations

import datetime
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

import bayesr
from bayesr import images, product
from bayesr.errors import InvalidArgument, TilesDiffer, warn
from bayesr.model.model import Model
from bayesr.sampling import engine
from bayesr.sampling.job import ALL, MASK_MEANS, Job
from bayesr.sampling.members import Plan


@dataclass(frozen=True)
class Request:
    """What `bayesr.sample` was asked for, checked; the image is not read yet.

    Attributes
    ----------
    network : Model
    array : DataArray
        The image, ``(band, y, x)``, perhaps lazy.
    plan : Plan
    device, level
        As of `bayesr.sample`.
    variables : tuple of str
        What is drawn (`wanted`).
    reading : dict
        ``nodata`` and ``value_range``, as they were given.
    dims : sequence of str or None
        As they were given.
    """

    network: Model
    array: xr.DataArray
    plan: Plan
    device: str
    level: float
    variables: tuple[str, ...]
    reading: dict[str, Any]
    dims: Sequence[str] | None

    @property
    def bytes(self) -> int:
        """How much the product takes, before compression."""
        lead = {"samples": self.plan.n, MASK_MEANS: self.plan.masks - 1}
        maps = sum(lead.get(name, 1) for name in self.variables)
        return 4 * int(self.array.size) * self.network.scale**2 * maps

    def job(self, image: images.Image) -> Job:
        """The work, now that the image is known."""
        return Job(self.network, image, self.plan, self.device, self.level, self.variables)

    def attributes(self, image: images.Image) -> dict[str, Any]:
        """All that is needed to draw the product again; warns where the image is unlike the calibration's."""
        network, plan = self.network, self.plan
        verdict = network.check(image.overview())
        verdict.warn(network.name)
        if not network.promises["one_image"] and plan.tile < max(self.array.shape[1:]):
            _, height, width = self.array.shape
            warn(
                f"{network.name} sees all of an image, and {height} x {width} pixels are drawn in tiles of "
                f"{plan.tile}: members depend on where tiles lie. Give tile={max(height, width)} if memory allows, or "
                "use a model that keeps the promise 'one_image'.",
                TilesDiffer,
            )
        now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        ran = {"tile": plan.tile} | engine.describe(self.device)
        how = {"dims": None if self.dims is None else list(self.dims), "nodata": self.reading["nodata"]}
        call = f"sample(n={plan.n}, model={network.name}, seed={plan.seed})"
        return {
            "history": f"{now} bayesr {bayesr.__version__}: {call}",
            "bayesr_version": bayesr.__version__,
            "model": network.name,
            "model_sha256": network.sha256,
            "input_sha256": image.sha256,
            "scale": network.scale,
            "n": plan.n,
            "masks": plan.masks,
            "seed": plan.seed,
            "level": self.level,
            "value_range": list(image.value_range),
            "quantum": 0.0 if image.bounds is None else 1.0,
            "observation": json.dumps(network.observation.describe()),
            "engine": json.dumps(ran),
            "calibration_source": network.calibration.source,
            "input": json.dumps(how),
            "input_check": str(verdict),
        }

    def template(self, attributes: dict[str, Any]) -> xr.Dataset:
        """The product without its values, backed by dask."""
        import dask.array

        frame = product.frame(self.array, self.network.scale)
        shape = (frame.bands, frame.y.size, frame.x.size)
        lead = {"samples": (self.plan.n,)}
        arrays = {
            name: dask.array.zeros((*lead.get(name, ()), *shape), dtype=np.float32, chunks=-1)
            for name in self.variables
            if name != MASK_MEANS
        }
        return product.dataset(frame, arrays, attributes, self.plan.n, self.plan.masks)


def wanted(variables: Sequence[str] | None, keep_samples: bool | None, *, in_memory: bool) -> tuple[str, ...]:
    """What is drawn: the variables asked for, and members where they are kept."""
    if variables is None:
        keep = in_memory if keep_samples is None else keep_samples
        return (*ALL, *(("samples",) if keep else ()))
    named = [variables] if isinstance(variables, str) else list(variables)
    unknown = [name for name in named if name not in (*ALL, "samples")]
    if unknown or not named:
        raise InvalidArgument(
            f"variables are some of {', '.join((*ALL, 'samples'))}, not {', '.join(map(repr, unknown))}."
        )
    if keep_samples is False and "samples" in named:
        raise InvalidArgument("keep_samples=False and 'samples' in variables contradict each other: choose one.")
    keep = "samples" in named or bool(keep_samples)
    return (*(name for name in ALL if name in named), *(("samples",) if keep else ()))
