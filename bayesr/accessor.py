"""The accessor ``ds.bayesr`` of products: pictures, members, profiles, files, and a summary.

It is registered with the first function of bayesr that is used, with ``import bayesr`` where xarray is loaded already,
and with ``import bayesr.accessor``.
"""

from __future__ import annotations

import io
import json
import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from bayesr import product
from bayesr.errors import InvalidArgument
from bayesr.exporting.selection import Selection
from bayesr.product import SAMPLES, Provenance, arguments

_PANEL, _TITLE = 3.2, 0.35
"""Width of a panel, and height of its title, in inches."""


@xr.register_dataset_accessor("bayesr")  # type: ignore[no-untyped-call]
class ProductAccessor:
    """Methods of products of `bayesr.sample`, in memory or from stores.

    Parameters
    ----------
    ds : Dataset
        A product, in any order of its dims.
    """

    def __init__(self, ds: xr.Dataset) -> None:
        self._ds = ds

    @property
    def _product(self) -> xr.Dataset:
        return product.canonical(self._ds)

    def rgb(self, name: str = "mean") -> xr.DataArray:
        """Return a variable as colours, ``(y, x, band)``, uint8, as `export` writes it to a picture.

        ``ds.bayesr.rgb("mean").plot.imshow()`` shows it. Other orders of axes, and values beyond 255, make white or
        mirrored pictures.

        Raises
        ------
        InvalidArgument
            When the product has no such map, or another number of bands than one and three.
        """
        ds = self._product
        return _colours(Selection.of(ds, [name], None, ()), ds)

    def member(self, i: int) -> xr.DataArray:
        """Return member `i`, ``(band, y, x)``, in the units of the image.

        Where a store was written without members, it is drawn again from the store's copy of the image (see
        `bayesr.replay`).

        Raises
        ------
        InvalidArgument
            When there is no such member.
        InvalidProduct
            When a product in memory has no members.
        """
        ds = self._product
        if SAMPLES not in ds:
            from bayesr.sampling.replaying import replay  # start-up time

            return replay(self._ds, i)
        found: xr.DataArray = Selection.of(ds, None, i, ()).ds[SAMPLES]
        return found

    def display(self, member: int = 0, realism: float = 0.5) -> xr.DataArray:
        """Return an image between the mean and a member, ``mean + realism (member - mean)``: for display alone.

        Deviations of members lie in the null space of an exact forward operator, so the image reproduces the input for
        every `realism`. 0 is the mean, with the least error, and 1 the member, which looks most like an image. It is no
        posterior sample, and no interval belongs to it: its attribute ``comment`` says so. Beyond 1 the deviations
        would be larger than those of any member, so that it is refused.

        Parameters
        ----------
        member : int
            Number of the member.
        realism : float
            In [0, 1].

        Returns
        -------
        DataArray
            ``(band, y, x)``, in the units of the image. The attributes ``realism`` and ``member`` say what it is of.

        Raises
        ------
        InvalidArgument
            When `realism` is outside its range, or there is no such member.
        InvalidProduct
            When a product in memory has no members.

        References
        ----------
        D. Freirich, T. Michaeli, R. Meir, "A theory of the distortion-perception tradeoff in Wasserstein space", 2021,
        arXiv:2107.02555.
        """
        share = arguments.number("realism", realism, "a number from 0 to 1", lambda real: 0 <= real <= 1)
        mean, chosen = self._product["mean"], self.member(member)
        shown = mean + mean.dtype.type(share) * (chosen.drop_vars(("realization", "mask"), errors="ignore") - mean)
        shown.attrs = {name: text for name, text in mean.attrs.items() if name != "cell_methods"} | {
            "long_name": f"display: mean + {share:g} (member {member} - mean)",
            "comment": "for display alone: no posterior sample, and no interval belongs to it",
            "realism": share,
            "member": int(member),
        }
        named: xr.DataArray = shown.rename("display")
        return named

    def profile(self, *, y: float | None = None, x: float | None = None) -> xr.Dataset:
        """Return mean, interval and members along a row or a column.

        Parameters
        ----------
        y, x : float
            One of them: the coordinate of the row or the column, of which the nearest is taken.

        Raises
        ------
        InvalidArgument
            When not exactly one is given.
        """
        if (y is None) == (x is None):
            raise InvalidArgument("Give y, the coordinate of a row, or x, that of a column.")
        ds = self._product
        names = [name for name in ("mean", "lower", "upper", SAMPLES) if name in ds]
        where: dict[str, Any] = {"y": y} if x is None else {"x": x}
        return ds[names].sel(where, method="nearest")

    def plot(self, members: int = 2) -> Any:
        """Draw input, mean, standard deviation, interval width and some members, upright, and return the figure.

        Parameters
        ----------
        members : int
            Number of members, as far as the product has them.

        Raises
        ------
        InvalidArgument
            When matplotlib is not installed, or the product has other numbers of bands than one and three.
        """
        if find_spec("matplotlib") is None:
            raise InvalidArgument("Plots need matplotlib: pip install 'bayesr[report]'.")
        ds = self._product
        panels: dict[str, Any] = {}
        if (given := self._input(ds)) is not None:
            panels["input"] = given
        panels["mean"] = self.rgb("mean").to_numpy()
        panels["std"] = ds["std"].mean("band").to_numpy()
        panels["width of the interval"] = (ds["upper"] - ds["lower"]).mean("band").to_numpy()
        for i in range(min(members, ds.sizes.get("realization", 0))):
            panels[f"member {i}"] = _colours(Selection.of(ds, None, i, ()), ds).to_numpy()
        columns = 2 if len(panels) == 4 else min(3, len(panels))
        rows = -(-len(panels) // columns)
        aspect = min(2.0, max(0.25, ds.sizes["y"] / ds.sizes["x"]))
        figure = _figure(_PANEL * columns, (_PANEL * aspect + _TITLE) * rows)
        places = figure.subplots(rows, columns, squeeze=False).ravel()
        for place, (title, values) in zip(places, panels.items(), strict=False):
            map_of_numbers = values.dtype != np.uint8
            grey = values[..., 0] if values.ndim == 3 and values.shape[-1] == 1 else values
            if map_of_numbers:
                most = float(np.nanpercentile(grey, 99.5)) or None  # few large values would darken all others
                shown = place.imshow(grey, vmin=0, vmax=most, interpolation="nearest")
                bar = place.inset_axes((1.02, 0, 0.04, 1))  # as high as the image, whose size it leaves alone
                figure.colorbar(shown, cax=bar, extend="max")
            else:
                place.imshow(grey, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
            place.set_title(title)
        for place in places:
            place.axis("off")
        return figure

    def _input(self, ds: xr.Dataset) -> Any:
        """Return the input as colours: what an exact forward operator makes of the mean; None for others."""
        import torch  # start-up time

        from bayesr import observe  # start-up time

        operator = observe.from_description(json.loads(product.attribute(ds, "forward_operator")))
        if not operator.exact or ds["mean"].isnull().any():
            return None
        low = operator.observe(torch.from_numpy(ds["mean"].to_numpy().astype(np.float64))).numpy()
        reduced = xr.Dataset({"mean": (("band", "y", "x"), low)}, attrs=ds.attrs)
        return Selection(reduced).picture()

    def report(self, path: str | os.PathLike[str], **options: Any) -> Path:
        """Write the report page; see `bayesr.report.write`."""
        from bayesr import report  # start-up time

        return Path(report.write(self._ds, path, **options))

    def export(self, path: str | os.PathLike[str], **options: Any) -> Path:
        """Write a file for other programs; see `bayesr.export`."""
        from bayesr.exporting.writing import export  # start-up time

        return export(self._ds, path, **options)

    def summary(self) -> str:
        """Return the product in five lines: what was drawn from what, spread, interval, and the check of the input."""
        ds = self._product
        known = Provenance.from_dataset(ds)
        bands, height, width = (ds.sizes[dim] for dim in product.DIMS)
        low, high = known.value_range
        lines = [f"{known.n} members ({known.masks} masks) of {height} x {width} pixels, {bands} band(s)"]
        lines.append(f"model: {known.model}, x{known.scale}; seed {known.seed}; values {low:g} to {high:g}")
        if "std" in ds:
            share = float(ds["std"].mean()) / (high - low)
            lines.append(f"mean standard deviation: {float(ds['std'].mean()):.3g} ({share:.1%} of the value range)")
        if {"aleatoric", "epistemic"} <= set(ds) and not ds["aleatoric"].isnull().all():
            total = float((ds["aleatoric"] + ds["epistemic"]).mean())
            part = float(ds["epistemic"].mean()) / total if total > 0 else 0.0
            lines.append(f"of the variance, {part:.0%} is epistemic; calibrated on {known.calibration_source}")
        lines.append(f"the input: {known.input_check}")
        return "\n".join(lines)


def _figure(width: float, height: float) -> Any:
    """Return a figure that notebooks show, whether pyplot was imported or not."""
    from matplotlib.figure import Figure  # optional package

    class Shown(Figure):
        def _repr_png_(self) -> bytes:
            file = io.BytesIO()
            self.savefig(file, format="png")
            return file.getvalue()

    return Shown(figsize=(width, height), layout="constrained")


def _colours(chosen: Selection, ds: xr.Dataset) -> xr.DataArray:
    pixels = chosen.picture()
    coords = {axis: ds[axis] for axis in ("y", "x") if axis in ds.coords}
    return xr.DataArray(pixels, coords, ("y", "x", "band"), name=str(next(iter(chosen.ds.data_vars))))
