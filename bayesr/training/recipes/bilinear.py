"""Bilinear interpolation, without training."""

from bayesr.training.recipe import Recipe, Stage

RECIPE = Recipe(
    "bilinear",
    network=dict(interpolation="bilinear"),
    stages=(Stage("nothing", steps=0, rate=0.0, members=0),),
    consistent=False,
    discriminators={},
)
