"""Bilinear interpolation, without training."""

from bayesr.training.recipe import interpolation_recipe

RECIPE = interpolation_recipe("bilinear")
