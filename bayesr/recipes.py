"""The recipes by name: `names` lists them, and `recipe` returns one.

Each recipe is a file in ``bayesr/training/recipes``. A recipe of your own is a Python file that defines ``RECIPE``
(`bayesr.training.recipe.Recipe`). `bayesr.train` takes its path, and a file that is added to that folder gets a name.
"""

from bayesr.training.recipes import names, recipe

__all__ = ["names", "recipe"]
