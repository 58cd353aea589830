"""The public interface of bayesr as plain values: names, parameters, commands, a product, the layout of a store.

``python -m tests.compatibility.face`` writes it to ``tests/fixtures/face.json``. Do so only when a change of the
public interface is intended; the difference of the file then shows what changed.
"""

from __future__ import annotations

import inspect
import json
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import numpy as np
import xarray as xr
import zarr

import bayesr

FILE = Path(__file__).parents[1] / "fixtures" / "face.json"


def face() -> dict[str, Any]:
    """Return the public interface, in JSON's types only."""
    from bayesr.cli import main

    image = np.random.default_rng(0).integers(0, 255, (16, 12), np.uint8)
    how: dict[str, Any] = dict(model="fluorescence-x4", seed=5, masks=2, device="cpu")
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "product.zarr"
        stored = bayesr.sample(image, 4, store=place, tile=8, keep_samples=True, **how)
        found = {
            "names": dir(bayesr),
            "functions": {name: _parameters(getattr(bayesr, name)) for name in _functions()},
            "model": sorted(name for name in dir(bayesr.load("fluorescence-x4")) if not name.startswith("_")),
            "commands": dict(_commands(main, "bayesr")),
            "product": _product(bayesr.sample(image, 4, **how)),
            "stored product": _product(stored),
            "store": layout(place),
        }
    plain: dict[str, Any] = json.loads(json.dumps(found))
    return plain


def _functions() -> list[str]:
    public = {name: getattr(bayesr, name) for name in dir(bayesr) if not name.startswith("_")}
    return [name for name, value in public.items() if callable(value) and not isinstance(value, ModuleType | type)]


def _parameters(function: Any) -> list[str]:
    """Return every parameter with its kind and default, such as ``keyword-only seed=0``."""
    found = []
    for parameter in inspect.signature(function).parameters.values():
        default = "" if parameter.default is parameter.empty else f"={parameter.default!r}"
        found.append(f"{parameter.kind.description} {parameter.name}{default}")
    return found


def _commands(command: click.Command, name: str) -> list[tuple[str, Any]]:
    """Return every command with its options and arguments; for tables, the names alone."""
    if not isinstance(command, click.Group):
        return [(name, {one.name: _option(one) for one in command.params})]
    context = click.Context(command)
    names = command.list_commands(context)
    if name == "bayesr bench":
        return [(name, sorted(names))]
    found: list[tuple[str, Any]] = [(name, {one.name: _option(one) for one in command.params})]
    for one in sorted(names):
        inner = command.get_command(context, one)
        assert inner is not None
        found += _commands(inner, f"{name} {one}")
    return found


def _option(parameter: click.Parameter) -> dict[str, Any]:
    known = parameter.to_info_dict()
    chosen = ("opts", "secondary_opts", "multiple", "required", "nargs", "is_flag")
    found = {key: known[key] for key in chosen if key in known}
    kind = parameter.type
    found["type"] = kind.name if not isinstance(kind, click.Tuple) else [one.name for one in kind.types]
    if isinstance(kind, click.Choice):
        found["choices"] = sorted(map(str, kind.choices))
    default = parameter.default
    if default == float("inf"):  # JSON has none
        default = "inf"
    plain = isinstance(default, str | int | float | bool | tuple)
    # Versions of click differ in how they say that there is no default.
    found["default"] = default if plain and default is not False and default != () else None
    return {key: value for key, value in found.items() if value is not None and value is not False and value != []}


def _product(ds: xr.Dataset) -> dict[str, Any]:
    def described(values: xr.DataArray) -> dict[str, Any]:
        return {"dims": list(values.dims), "dtype": str(values.dtype), "attributes": sorted(values.attrs)}

    return {
        "attributes": sorted(ds.attrs),
        "sizes": {str(name): size for name, size in ds.sizes.items()},
        "variables": {str(name): described(values) for name, values in ds.data_vars.items()},
        "coordinates": {str(name): described(values) for name, values in ds.coords.items()},
    }


def layout(place: Path) -> dict[str, Any]:
    """Return every group and array of a store: attribute names, shape, dtype, chunks, shards, fill value, axes."""
    root = zarr.open_group(place, mode="r")
    groups, arrays = {"": sorted(root.attrs)}, {}
    for path, member in root.members(max_depth=None):
        if isinstance(member, zarr.Group):
            groups[path] = sorted(member.attrs)
            continue
        arrays[path] = {
            "shape": list(member.shape),
            "dtype": str(member.dtype),
            "chunks": list(member.chunks),
            "shards": None if member.shards is None else list(member.shards),
            "fill value": str(member.fill_value),
            "dims": list(member.metadata.dimension_names or ()),  # type: ignore[union-attr]
            "compressors": [type(one).__name__ for one in member.compressors],
            "attributes": sorted(member.attrs),
        }
    return {"groups": groups, "arrays": arrays}


if __name__ == "__main__":
    FILE.write_text(json.dumps(face(), indent=1, sort_keys=True) + "\n")
