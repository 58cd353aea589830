"""The recipes by name: `names` lists them, `recipe` finds one.

Each recipe is a file in ``bayesr/training/recipes``.
"""

from bayesr.training.recipes import names, recipe

__all__ = ["names", "recipe"]
