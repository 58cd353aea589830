"""Lanczos interpolation (a = 3), without training."""

from bayesr.training.recipe import Recipe, Stage

RECIPE = Recipe(
    "lanczos",
    network=dict(interpolation="lanczos"),
    stages=(Stage("nothing", steps=0, rate=0.0, members=0),),
    consistent=False,
    discriminators={},
)
