"""Nearest-neighbour interpolation, without training."""

from bayesr.training.recipe import Recipe, Stage

RECIPE = Recipe(
    "nearest",
    network=dict(interpolation="nearest"),
    stages=(Stage("nothing", steps=0, rate=0.0, members=0),),
    consistent=False,
    discriminators={},
)
