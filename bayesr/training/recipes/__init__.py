"""The recipes of the systems that bayesr trains.

Every module defines a recipe as ``RECIPE``, named after the file with hyphens for underscores. To add a recipe, add a
file. Other distributions add theirs by entry points (`bayesr.plugins`).
"""

from __future__ import annotations

import pkgutil
from importlib import import_module
from pathlib import Path
from runpy import run_path
from typing import Any

from bayesr import plugins
from bayesr.errors import TrainingFailed
from bayesr.training.recipe import Recipe


def names() -> list[str]:
    """Return the names of all recipes, sorted."""
    return sorted({*_own(), *plugins.names(plugins.RECIPES)})


def _own() -> set[str]:
    return {module.name.replace("_", "-") for module in pkgutil.iter_modules(__path__)}


def recipe(name: str | Path | Recipe) -> Recipe:
    """Return a recipe.

    Parameters
    ----------
    name : str, Path or Recipe
        A name (see `names`), the path of a Python file that defines ``RECIPE``, or a recipe, returned unchanged.

    Raises
    ------
    TrainingFailed
        If there is no such recipe.
    PluginFailed
        If the distribution that adds the name cannot be loaded.
    """
    if isinstance(name, Recipe):
        return name
    if Path(name).suffix == ".py":
        defined = _run(Path(name)).get("RECIPE")
    elif name in _own():
        defined = import_module(f"{__name__}.{str(name).replace('-', '_')}").RECIPE
    elif (defined := plugins.load(plugins.RECIPES, str(name))) is None:
        raise TrainingFailed(
            f"There is no recipe {str(name)!r}: use one of {', '.join(names())}, or a Python file that defines RECIPE."
        )
    if not isinstance(defined, Recipe):
        raise TrainingFailed(f"{name} defines no RECIPE: add RECIPE = Recipe(...) at its end.")
    return defined


def _run(file: Path) -> dict[str, Any]:
    if not file.is_file():
        raise TrainingFailed(f"There is no recipe file {file}.")
    return run_path(str(file))
