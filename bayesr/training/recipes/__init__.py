"""The systems that bayesr trains, a file each: what is in this folder is a recipe, under its file's name."""

from __future__ import annotations

import pkgutil
from importlib import import_module
from pathlib import Path
from runpy import run_path
from typing import Any

from bayesr.errors import TrainingFailed
from bayesr.training.recipe import Recipe


def names() -> list[str]:
    """The names of all recipes, in their order."""
    return sorted(module.name.replace("_", "-") for module in pkgutil.iter_modules(__path__))


def recipe(name: str | Path | Recipe) -> Recipe:
    """The recipe of this name, or of a Python file that defines a ``RECIPE``; a recipe of your own is itself.

    Raises
    ------
    TrainingFailed
        When there is none.
    """
    if isinstance(name, Recipe):
        return name
    if Path(name).suffix == ".py":
        found = _run(Path(name)).get("RECIPE")
    elif name in names():
        found = import_module(f"{__name__}.{str(name).replace('-', '_')}").RECIPE
    else:
        raise TrainingFailed(
            f"Unknown recipe {str(name)!r}: use one of {', '.join(names())}, or a Python file that defines a RECIPE."
        )
    if not isinstance(found, Recipe):
        raise TrainingFailed(f"{name} defines no RECIPE: let it end in RECIPE = Recipe(...).")
    return found


def _run(file: Path) -> dict[str, Any]:
    if not file.is_file():
        raise TrainingFailed(f"There is no recipe file {file}.")
    return run_path(str(file))
