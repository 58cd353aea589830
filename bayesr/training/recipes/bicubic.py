"""Bicubic interpolation (Keys, a = -1/2), without training."""

from bayesr.training.recipe import interpolation_recipe

RECIPE = interpolation_recipe("bicubic")
