"""A job: a picklable object that decides all values of a product, and draws any of its tiles."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from bayesr import images, product
from bayesr.calibration.input_check import InputCheck
from bayesr.calibration.intervals import bounds
from bayesr.errors import TilesDiffer, warn
from bayesr.grid import Tile, tiles
from bayesr.images import Image
from bayesr.isolation import isolated
from bayesr.model.model import Model
from bayesr.observe import from_description
from bayesr.product import MASK_MEANS, SAMPLES, Arrays, Provenance
from bayesr.sampling import device as devices
from bayesr.sampling.members import Drawn, draw, members_of
from bayesr.sampling.moments import Moments
from bayesr.sampling.plan import Plan


@dataclass(frozen=True)
class Job:
    """What is drawn from which image, and how it is described.

    Attributes
    ----------
    model, image, plan
    device : str
        As in `bayesr.sampling.device.resolve`.
    level : float
        Level of the interval, in (0, 1).
    variables : tuple of str
        Variables to compute, of `bayesr.product.MAPS`, ``samples`` and `MASK_MEANS`.
    dims, nodata
        As given to `bayesr.sample`.
    """

    model: Model
    image: Image
    plan: Plan
    device: str
    level: float
    variables: tuple[str, ...]
    dims: tuple[str, ...] | None = None
    nodata: float | None = None

    @classmethod
    def from_provenance(
        cls,
        provenance: Provenance,
        model: Model,
        image: Image,
        variables: tuple[str, ...] = (),
        *,
        n: int | None = None,
        first: int = 0,
        device: str | None = None,
    ) -> Job:
        """Return the job of a product, with `variables` to compute for `n` members from number `first` on.

        By default `n` and `device` are as recorded.
        """
        n = provenance.n if n is None else n
        operators = tuple(map(from_description, provenance.forward_operators))
        plan = Plan(n, provenance.masks, provenance.seed, provenance.tile, first, provenance.precision, operators)
        return cls(model, image, plan, devices.resolve(device or provenance.device), provenance.level, variables)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the network on its device, which every process makes for itself."""
        return {name: value for name, value in vars(self).items() if name != "_placed"}

    # -- the product ----

    @cached_property
    def frame(self) -> product.Frame:
        return product.frame(self.image.data, self.model.scale)

    @property
    def bytes(self) -> int:
        """Size of the product in single precision."""
        pixels = math.prod(self.frame.shape)
        return pixels * product.bytes_per_pixel(self.variables, self.plan.n, self.plan.masks)

    def shape_of(self, name: str) -> tuple[int, ...]:
        """Return a variable's shape on the whole grid."""
        return self.frame.shape_of(name, self.plan.n, self.plan.masks)

    @cached_property
    def input_checks(self) -> list[InputCheck]:
        """Whether each slice of the image is in the distribution of the calibration images; empty slices are not."""
        empty = [one_slice.empty for one_slice in self.image.slices] or [False]
        return [
            InputCheck({}, "it has no data") if is_empty else self.model.check(self.image.at(place).overview())
            for is_empty, place in zip(empty, images.places(self.image.data), strict=True)
        ]

    @cached_property
    def input_check(self) -> InputCheck:
        """Whether the image, or all of a stack, is in the distribution of the calibration images."""
        if not self.image.surveyed:
            return InputCheck({}, "the image is still read")
        return InputCheck.of_all(self.input_checks)

    def warn(self) -> None:
        """Warn where the image is out of distribution, or tiles would show."""
        self.input_check.warn(self.model.name)
        height, width = self.image.data.shape[-2:]
        if not self.model.promises["one_image"] and self.plan.tile < max(height, width):
            warn(
                f"{self.model.name} sees all of an image, and {height} x {width} pixels are drawn in tiles of "
                f"{self.plan.tile}: members depend on where tiles lie. Give tile={max(height, width)} if memory "
                "allows, or use a model that keeps the promise 'one_image'.",
                TilesDiffer,
            )

    @cached_property
    def provenance(self) -> Provenance:
        """All that is needed to draw the product again."""
        model, plan, image = self.model, self.plan, self.image
        low, high = image.value_range
        return Provenance(
            model=model.name,
            model_sha256=model.sha256,
            input_sha256=image.sha256,
            scale=model.scale,
            n=plan.n,
            masks=plan.masks,
            seed=plan.seed,
            level=self.level,
            value_range=(low, high),
            quantisation_step=image.quantisation_step,
            forward_operator=model.forward_operator.describe(),
            forward_operators=tuple(operator.describe() for operator in plan.operators),
            engine={"tile": plan.tile} | devices.describe(self.device, plan.precision),
            calibration_source=model.calibration.source,
            input={
                "dims": None if self.dims is None else list(self.dims),
                "nodata": self.nodata,
                "value_range": image.range_source,
                "per_band": image.per_band,
                "bounds": None if image.bounds is None else list(image.bounds),
            },
            input_check=str(self.input_check),
            history=product.history_entry(f"sample(n={plan.n}, model={model.name}, seed={plan.seed})"),
        )

    def dataset(self, arrays: Arrays) -> xr.Dataset:
        """Return the product of arrays on the whole grid."""
        ds = product.dataset(self.frame, arrays, self.provenance.attrs(), self.plan.n, self.plan.masks)
        sha256 = [one_slice.sha256 for one_slice in self.image.slices]
        return product.stacks.described(ds, sha256, [str(check) for check in self.input_checks] if sha256 else [])

    def template(self) -> xr.Dataset:
        """Return the product without values, backed by dask."""
        import dask.array  # slow to import, and only stores need it

        return self.dataset(
            {
                name: dask.array.zeros(self.shape_of(name), dtype=self.image.dtype, chunks=-1)
                for name in self.variables
                if name != MASK_MEANS
            }
        )

    # -- its tiles ----

    @property
    def cost(self) -> float:
        """The members to draw for a tile: the sum of what `draw` reports."""
        return self.plan.new_members

    def tiles(self) -> Iterator[Tile]:
        """Yield all tiles, row by row; those of a stack slice by slice."""
        height, width = self.image.data.shape[-2:]
        halo = self.model.halo + self.plan.reach
        for place in images.places(self.image.data):
            for tile in tiles(height, width, self.plan.tile, halo, self.model.generator.multiple):
                yield replace(tile, lead=place)

    @cached_property
    def _placed(self) -> tuple[Model, torch.device]:
        return devices.place(self.model, self.device)

    @cached_property
    def half_width(self) -> float:
        """Half the interval's width in standard deviations; NaN for one member."""
        return self.model.calibration.half_width(self.level, self.plan.n) if self.plan.n > 1 else np.nan

    @isolated  # also in threads of their own and in workers
    def draw(self, tile: Tile, advance: Callable[[float], None], before: Moments | None = None) -> Arrays:
        """Return the variables on a tile, in the units of the image; NaN where the image has no data.

        Parameters
        ----------
        tile : Tile
        advance : callable
            Called with the amount of work just done, of `cost`.
        before : Moments, optional
            Moments of the members before ``plan.first``, which the variables then describe as well; ``samples`` holds
            new members only.
        """
        model, device = self._placed
        pixels, missing = self.image.at(tile.lead).window(*tile.window)
        nodata = None if missing is None else missing[(..., *tile.crop(1))]
        if nodata is not None and nodata.all():
            advance(self.cost)
            return self._missing_tile(tile)
        drawn = draw(
            model, torch.from_numpy(pixels).to(device), self._bounds, tile, self.plan, advance,
            samples=SAMPLES in self.variables, mask_means=MASK_MEANS in self.variables, before=before,
        )  # fmt: skip
        arrays = self._describe(drawn)
        if nodata is not None:
            high = nodata.repeat(model.scale, 1).repeat(model.scale, 2)
            for values in arrays.values():
                values[np.broadcast_to(high, values.shape)] = np.nan
        return arrays

    @isolated
    def member(self, i: int, tile: Tile) -> NDArray[np.floating]:
        """Return member `i` on a tile, `band x y x x`, in the units of the image."""
        model, device = self._placed
        pixels, missing = self.image.at(tile.lead).window(*tile.window)
        y = torch.from_numpy(pixels).to(device)
        parts = []
        for band in range(0, len(y), model.bands):
            batches = members_of(model, y[band : band + model.bands], self._bounds, tile, self.plan, only=i)
            parts += [x[members.index(i)].cpu().numpy() for members, x in batches]
        values = self.image.to_units(np.concatenate(parts))
        if missing is not None:
            values[missing[(..., *tile.crop(1))].repeat(model.scale, 1).repeat(model.scale, 2)] = np.nan
        return values

    @property
    def _bounds(self) -> tuple[float, float] | None:
        """A pixel's smallest and largest value in network units."""
        bounds = self.image.bounds
        return None if bounds is None else (self.image.to_network(bounds[0]), self.image.to_network(bounds[1]))

    def _describe(self, drawn: Drawn) -> dict[str, NDArray[np.floating]]:
        image, variances = self.image, drawn.variances
        width = image.dtype.type(image.value_range[1] - image.value_range[0])
        raw_std = np.sqrt(variances.raw)
        factor = self.model.calibration.factors(raw_std)
        std = factor * raw_std * width
        mean = image.to_units(variances.mean)
        lower, upper = bounds(mean, std, self.half_width, image.quantisation_step, image.bounds)
        arrays = {
            "mean": mean,
            "variance": std * std,
            "std": std,
            "aleatoric": variances.aleatoric * width**2,
            "epistemic": (variances.raw - variances.aleatoric) * width**2,
            "calibration": factor.astype(image.dtype, copy=False),
            "lower": lower,
            "upper": upper,
            MASK_MEANS: variances.mask_means,
        }
        if drawn.samples is not None:
            arrays[SAMPLES] = drawn.samples.astype(image.dtype, copy=False)
            for member in arrays[SAMPLES]:  # one by one, because all may fill the memory
                member[...] = image.to_units(member)
        return {name: values for name, values in arrays.items() if name in self.variables}

    def _missing_tile(self, tile: Tile) -> Arrays:
        """Return NaN for all variables, in hardly any memory."""
        rows, columns = tile.high(self.model.scale)
        shape = (self.image.data.sizes["band"], rows.stop - rows.start, columns.stop - columns.start)
        nan = self.image.dtype.type(np.nan)
        return {
            name: np.broadcast_to(nan, (*product.leading_shape(name, self.plan.new_members, self.plan.masks), *shape))
            for name in self.variables
        }
