"""Cases of damaged stores, and of products in memory that a user has cut, transposed or renamed."""

from __future__ import annotations

import gc
import logging
import time
from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np
import xarray as xr

import bayesr
from bayesr import report
from tests.fuzz import mutations
from tests.fuzz.place import MODEL, Case, Place
from tests.fuzz.seeds import SIDE, SMALL

_USES = (
    "check", "repair", "extend", "resume", "overwrite", "report", "segment", "aggregate", "score", "components",
    "replay", "sample",
)  # fmt: skip


class _NotOpened(Exception):
    """xarray refused a damaged store, which is not ours to do."""


def store(r: Random, place: Place) -> Case:
    """A damaged product in a store, and one of the functions that take one."""
    name, use = r.choice(["product.zarr", "product.zarr", "bundled.zarr"]), r.choice(_USES)
    target = place.work / "p.zarr"
    mutations.of_store(place.seeds / name, target, r)
    model = MODEL if name == "bundled.zarr" else place.seeds / "tiny.safetensors"
    options: dict[str, Any] = {"model": model, "store": target, "tile": 4, "progress": False}
    calls: dict[str, Callable[[], Any]] = {
        "check": lambda: bayesr.check(target, progress=False),
        "repair": lambda: bayesr.check(target, repair=True, progress=False),
        "extend": lambda: bayesr.extend(target, 8, progress=False),
        "resume": lambda: bayesr.sample(SMALL, 4, resume=True, **options),
        "overwrite": lambda: bayesr.sample(SMALL, 4, overwrite=True, **options),
        "report": lambda: report.write(target, place.work / "o.html", progress=False, redraw=r.choice([0, 1])),
        "sample": lambda: bayesr.sample(str(target / "mean"), 2, model=MODEL, progress=False),
        "replay": lambda: bayesr.replay(_opened(target), 1, SMALL),
    }
    return Case(f"{name} {use}", calls.get(use, lambda: use_product(str(target), use)))


def _opened(target: Any) -> xr.Dataset:
    try:
        return xr.open_zarr(target)
    except Exception as error:
        refusal = str(error)
    tasks = logging.getLogger("asyncio")  # it prints errors of tasks that zarr has left alone, when they are collected
    tasks.disabled = True
    time.sleep(0.1)  # some still run
    gc.collect()
    tasks.disabled = False
    raise _NotOpened(refusal)


def use_product(product: Any, use: str) -> None:
    """Give a product to one of the functions that take a Dataset or a store."""
    if use == "segment":
        bayesr.segment(product, "otsu", img=SMALL, progress=False)
    elif use == "aggregate":
        bayesr.aggregate(product, 8, level=0.3, img=SMALL, progress=False)
    elif use == "score":
        bayesr.score(product, np.zeros((SIDE, SIDE), np.uint8), progress=False)
    elif use == "components":
        bayesr.components(product, 1, img=SMALL, progress=False)


def segments(r: Random, place: Place) -> Case:
    """A damaged store of a segmentation, which is resumed."""
    target = place.work / "s.zarr"
    mutations.of_store(place.seeds / "segments.zarr", target, r)
    product = str(place.seeds / "product.zarr")
    return Case("segments", lambda: bayesr.segment(product, "otsu", store=target, resume=True, progress=False))


def product(r: Random, place: Place) -> Case:
    """A product in memory of another form."""
    ds, name = _changed(place.product, r)
    use = r.choice(["segment", "aggregate", "score", "components", "replay", "report"])

    def call() -> None:
        if use == "replay":
            bayesr.replay(ds, r.choice([0, 3, 4, -1]), SMALL)
        elif use == "report":
            report.write(ds, place.work / "o.html", img=r.choice([None, SMALL]), progress=False)
        else:
            use_product(ds, use)

    return Case(f"{name} {use}", call)


def _changed(ds: xr.Dataset, r: Random) -> tuple[Any, str]:
    """Return a product as a user may have changed it, and what was changed."""
    changes: dict[str, Callable[[], Any]] = {
        "transposed": lambda: ds.transpose("x", "y", ...),
        "squeezed": lambda: ds.squeeze(),
        "cut": lambda: ds.isel(y=slice(0, 5)),
        "gaps": lambda: ds.isel(y=[0, 2]),
        "empty": lambda: ds.isel(x=slice(0, 0)),
        "one member": lambda: ds.isel(realization=0),
        "member 2": lambda: ds.isel(realization=[2]),
        "without members": lambda: ds.drop_vars("samples"),
        "without attributes": lambda: ds.drop_attrs(),
        "only the mean": lambda: ds[["mean"]],
        "an array": lambda: ds["mean"],
        "averaged": lambda: ds.mean(),
        "renamed": lambda: ds.rename(y="q"),
        "without coordinates": lambda: ds.drop_vars(["y", "x"]),
        "reset": lambda: ds.reset_coords(),
        "NaN": lambda: ds.where(ds["mean"] > 50),
        "strings": lambda: ds.assign(mean=ds["mean"].astype(str)),
        "double": lambda: ds.astype(np.float64),
        "chunks": lambda: ds.chunk(x=7),
        "reversed": lambda: ds.isel(y=slice(None, None, -1)),
        "an attribute": lambda: ds.assign_attrs({r.choice(sorted(ds.attrs)): r.choice(mutations.ODD)}),
        "attributes": lambda: ds.assign_attrs(
            {name: r.choice(mutations.ODD) for name in r.sample(sorted(ds.attrs), 3)}
        ),
        "a variable less": lambda: ds.drop_vars(r.choice(sorted(ds.variables))),
        "expanded": lambda: ds.expand_dims(time=2),
    }
    name = r.choice(sorted(changes))
    return changes[name](), name
