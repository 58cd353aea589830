"""Bicubic interpolation (Keys, a = -1/2), without training."""

from bayesr.training.recipe import Recipe, Stage

RECIPE = Recipe(
    "bicubic",
    network=dict(interpolation="bicubic"),
    stages=(Stage("nothing", steps=0, rate=0.0, members=0),),
    consistent=False,
    discriminators={},
)
