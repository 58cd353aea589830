"""Data of the page of a product, as plain values. Arguments are checked first, and maps are read once."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from bayesr import images, product
from bayesr.errors import InvalidArgument, InvalidProduct, StoreFailed
from bayesr.progress import Advance
from bayesr.progress import progress as show_progress
from bayesr.report import panels, provenance
from bayesr.report.data_check import DataCheck
from bayesr.report.evidence import Reference, compare
from bayesr.report.panels import Array, Maps, View
from bayesr.report.pictures import encode_members, still
from bayesr.report.planes import Plane
from bayesr.sampling import replaying
from bayesr.sampling.products import open_product
from bayesr.sampling.replaying import replay
from bayesr.store import structure
from bayesr.store.journal import Journal
from bayesr.store.layout import Store
from bayesr.store.places import PROGRESS, names, place_of

_NEEDED = ("mean", "std", "lower", "upper")
_KEEP = "sample it with keep_samples=True (--keep-samples)"


def page_data(
    given: Any,
    reference: Any,
    out: Path,
    *,
    img: Any,
    window: Any,
    redraw: int,
    model: Any = None,
    progress: bool | None,
) -> dict[str, Any]:
    """Return the data of a page; see `bayesr.report.write` for the parameters."""
    if not out.absolute().parent.is_dir():
        raise StoreFailed(f"There is no folder {out.absolute().parent} to write {out.name} to: make it first.")
    ds, store = opened(given)
    product.require(ds, *_NEEDED)
    for name in ("value_range", "n", "masks", "seed", "level", "scale"):
        product.attribute(ds, name)
    view = panels.view_of(ds, _whole(ds, window))
    low = _input(ds, store, img)
    truth = None if reference is None else Reference.read(ds, reference, model)
    drawing = _members(ds, store, low, view, redraw, model)
    with show_progress("reading", 10, progress) as advance:
        return _assemble(ds, store, view, low, truth, drawing, advance, Path(str(given)).name if store else out.stem)


def opened(given: Any) -> tuple[xr.Dataset, Store | None]:
    """Open a product, and its store where `bayesr.sample` wrote it.

    Raises
    ------
    StoreFailed
        When the store does not exist or is not finished.
    InvalidProduct
        When it holds no product.
    """
    if not isinstance(given, str | os.PathLike):
        return product.canonical(given), None
    ds = open_product(given)
    place, store = place_of(given), Store(place_of(given))
    if "://" not in place and not Path(place).exists():
        raise StoreFailed(f"There is no store {place}: check the path (the working directory is {Path.cwd()}).")
    whole = ds is not None and PROGRESS not in names(place)
    if not whole:
        store.require()
    if ds is None:
        raise InvalidProduct(f"{place} holds no product: give a store that bayesr.sample wrote.")
    if whole:
        return ds, None
    structure.require(store)
    if more := Journal(store).members:
        raise StoreFailed(f"{place} is being extended to {more} members: finish bayesr.extend first.")
    done = store.finished()
    if not done.all():
        raise StoreFailed(
            f"{place} is not finished: {int(done.sum())} of its {done.size} tiles are drawn. Finish it "
            "first, with bayesr.sample(..., resume=True)."
        )
    return ds, store


def _whole(ds: xr.Dataset, window: tuple[slice, slice] | None) -> tuple[slice, slice] | None:
    """Return a window widened to whole low-resolution pixels."""
    if window is None:
        return None
    scale, whole = int(ds.attrs["scale"]), []
    for dim, part in zip(("y", "x"), window, strict=True):
        start, stop, step = part.indices(ds.sizes[dim])
        if step != 1 or stop <= start:
            raise InvalidArgument(
                f"The window {part.start}:{part.stop} along {dim} is empty; the product has {ds.sizes[dim]} pixels: "
                "give the first pixel and the one after the last, in high-resolution pixels."
            )
        whole.append(slice(start // scale * scale, min(-(-stop // scale) * scale, ds.sizes[dim])))
    return whole[0], whole[1]


def _input(ds: xr.Dataset, store: Store | None, img: Any) -> images.Image | None:
    """Return the low-resolution image, given or stored; None without one, or where the product is a part."""
    if img is not None:
        low: images.Image | None = replaying.image_of(product.Provenance.from_dataset(ds), img)
    elif store is not None and "input" in store.progress:
        low = replaying.stored_image(store).find(product.Provenance.from_dataset(ds).input_sha256)
    else:
        low = None
    return low if low is not None and product.covers(ds, low.data, int(ds.attrs["scale"])) else None


Drawing = tuple[list[int], Callable[[int, View], Array], bool]
"""Numbers of the available members, a function that returns one in a view, and whether it draws them again.

The view comes last, because the page may become coarser than was planned, so that its maps fit the budget.
"""


def _members(
    ds: xr.Dataset, store: Store | None, low: images.Image | None, view: View, redraw: int, model: Any
) -> Drawing | None:
    if "samples" in ds:
        samples = ds["samples"].transpose("realization", *product.DIMS)
        numbers = [int(i) for i in samples["realization"]] if "realization" in samples.coords else range(len(samples))
        place = {number: i for i, number in enumerate(numbers)}
        return list(place), lambda i, shown: panels.downsampled(samples[place[i], : panels.BANDS], shown), False
    if not redraw:
        return None
    n = int(ds.attrs["n"])
    if low is None:
        raise InvalidArgument(
            "Members cannot be drawn again without the image: give the image that was sampled as img=."
        )
    if view.factor > 1:
        raise InvalidArgument("Members are drawn again only at full resolution: give a smaller window=.")
    job = None if store is None else replaying.job_of(store, model, None, n)

    def draw(i: int, shown: View) -> Array:
        if job is None:
            return panels.downsampled(replay(ds, i, low.data, model=model)[: panels.BANDS], shown)
        out = np.empty((min(len(low.data), panels.BANDS), ds.sizes["y"], ds.sizes["x"]), job.image.dtype)
        for tile in job.tiles():
            rows, columns = tile.high(job.model.scale)
            if all(a.start < b.stop and b.start < a.stop for a, b in ((rows, shown.rows), (columns, shown.columns))):
                out[:, rows, columns] = job.member(i, tile)[: panels.BANDS]
        return panels.downsampled(xr.DataArray(out), shown)

    return list(range(min(redraw, n))), draw, True


def _assemble(
    ds: xr.Dataset, store: Store | None, view: View, low: images.Image | None, truth: Reference | None,
    drawing: Drawing | None, advance: Advance, title: str,
) -> dict[str, Any]:  # fmt: skip
    evidence, extra = (None, {}) if truth is None else compare(ds, truth, view)
    check = DataCheck.of(ds, low, view)
    advance(2)
    budget = panels.BYTES if drawing is None else round(panels.BYTES * (1 - panels.MEMBERS))
    while True:
        maps = panels.read(ds, view, advance)
        shown, fits = panels.encoded(maps, ds, extra | ({} if check is None else check.maps(view)), budget)
        if fits:
            break
        view = panels.view_of(ds, (view.rows, view.columns), view.factor + 1)
        if truth is not None:
            extra = {"reference": panels.downsampled(truth.image.data[: panels.BANDS], view)} | _region(
                extra, evidence, view
            )
    bottom, top = _display(ds, maps)
    drawn = None
    if drawing is not None:
        spent = sum(3 * len(plane["data"]) // 4 for plane in shown["planes"].values())
        numbers, draw, _ = drawing
        drawn = encode_members(lambda i: draw(i, view), numbers, *_range(ds, maps), panels.BYTES - spent)
        drawn |= {"of": int(ds.attrs["n"]), "redrawn": drawing[2]}
    advance(1)
    attrs = ds.attrs
    return {
        "title": title,
        "bands": panels.names_of_bands(ds),
        "of_bands": ds.sizes["band"],
        "units": str(ds["mean"].attrs.get("units", "")),
        "size": [ds.sizes["y"], ds.sizes["x"]],
        "window": [view.rows.start, view.rows.stop, view.columns.start, view.columns.stop],
        "factor": view.factor,
        "shape": list(view.shape),
        "axes": {dim: _axis(ds, dim) for dim in ("y", "x")},
        "display": [bottom, top],
        "still": still(maps["mean"], bottom, top),
        "model": str(attrs.get("model", "")),
        "scale": int(attrs["scale"]),
        "n": int(attrs["n"]),
        "masks": int(attrs["masks"]),
        "level": float(attrs["level"]),
        "input_check": str(attrs.get("input_check", "")),
        **shown,
        "input": None if low is None else _low(low, view, int(attrs["scale"]), top - bottom),
        "members": drawn,
        "evidence": evidence,
        "check": None if check is None else check.page(view),
        "missing": _missing(ds, maps, low, drawn, evidence, view) + ([] if check is None else check.missing()),
        "provenance": provenance.attributes(ds),
        "command": provenance.command(ds, title if store else "OUT.zarr", "samples" in ds),
    }


def _region(extra: Maps, evidence: dict[str, Any] | None, view: View) -> Maps:
    if evidence is None or "region" not in extra:
        return {}
    evidence["region"] = evidence["region"] * (view.factor - 1) / view.factor
    return {"region": extra["region"]}


def _axis(ds: xr.Dataset, dim: str) -> dict[str, Any]:
    """Return the centre of the first pixel, the distance to the next, and the units of an axis."""
    centres = ds[dim].to_numpy().astype(float) if dim in ds.coords else np.arange(ds.sizes[dim]) + 0.5
    step = float(centres[-1] - centres[0]) / (centres.size - 1) if centres.size > 1 else 1.0
    units = ds[dim].attrs.get("units", "") if dim in ds.coords else "pixels"
    return {"first": float(centres[0]), "step": step, "units": str(units)}


def _display(ds: xr.Dataset, maps: Maps) -> tuple[float, float]:
    """Return the values that are shown as black and white."""
    low, high = product.value_range_of(ds)
    if len(maps["mean"]) == 3 and product.quantisation_step_of(ds) and (low, high) == (0.0, 255.0):
        return low, high  # a photograph, whose colours stay as they are
    ends = np.nanpercentile(maps["mean"], [0.2, 99.8]) if np.isfinite(maps["mean"]).any() else (low, high)
    return (float(ends[0]), float(ends[1])) if ends[1] > ends[0] else (low, high)


def _range(ds: xr.Dataset, maps: Maps) -> tuple[float, float]:
    """Return the values of the codes 0 and 255 of members."""
    low, high = product.value_range_of(ds)
    if product.quantisation_step_of(ds) and (low, high) == (0.0, 255.0):
        return low, high
    shown = [maps[name] for name in ("mean", "lower", "upper") if name in maps]
    return min(float(np.nanmin(v)) for v in shown), max(float(np.nanmax(v)) for v in shown) + 1e-30


def _low(low: images.Image, view: View, scale: int, width: float) -> dict[str, Any]:
    """Return the visible low-resolution image, and the side of its pixels in pixels of the page."""
    rows, columns = (slice(part.start // scale, -(-part.stop // scale)) for part in (view.rows, view.columns))
    factor = max(1, view.factor // scale)
    values = panels.downsampled(low.masked()[: panels.BANDS], View(rows, columns, factor))
    return Plane(values, width / 1020).encoded() | {"side": scale * factor / view.factor}


def _missing(
    ds: xr.Dataset, maps: Maps, low: images.Image | None, drawn: Any, evidence: Any, view: View
) -> list[dict[str, str]]:
    """List the parts that the page cannot show, with the reason and the remedy."""
    out = []

    def lacks(what: str, why: str, place: str = "") -> None:
        out.append({"what": what, "why": why, "map": place})

    if low is None:
        lacks(
            "The low-resolution image",
            "The product does not hold it. Give it: img= (--img), or write a store.",
            "input",
        )
    if drawn is None:
        lacks(
            "Members",
            f"The product does not hold them: {_KEEP}, or have some drawn again (redraw=4, --redraw 4).",
            "member",
        )
        if evidence is not None:
            lacks("Rank histogram, CRPS and spectra", f"They need members, which the product does not hold: {_KEEP}.")
    one = int(ds.attrs["n"]) == 1
    for name in ("std", "calibration", "aleatoric", "epistemic"):
        if name not in maps:
            why = "The product was drawn without it (variables=)." if name not in ds else "It is NaN everywhere: "
            if name in ds:
                split = "the split needs at least two masks and two members of each."
                gone = split if name in panels.ROOTS else "all its values are missing."
                why += "one member has no spread." if one else gone
            lacks(name, why)
    if ds.sizes["band"] > panels.BANDS:
        lacks(f"Bands beyond the first {panels.BANDS}", "Cut the product: ds.isel(band=...).")
    if evidence is not None and view.factor > 1:
        lacks("Pixels outside the interval", "Blocks of pixels are averaged: give a smaller window.")
    return out
