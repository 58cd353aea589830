"""Lanczos interpolation (a = 3), without training."""

from bayesr.training.recipe import interpolation_recipe

RECIPE = interpolation_recipe("lanczos")
