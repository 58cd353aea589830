"""``bayes-srgan`` without discriminator and feature network: proper scores of pixels, patches and block coefficients.

Dropout rates are learnt with all other weights.
"""

from bayesr.training.recipe import Recipe, Stage
from bayesr.training.recipes import bayes_srgan

RECIPE = Recipe(
    "bayes-sr",
    network={**bayes_srgan.RECIPE.network, "dropout": 0.1},
    stages=(
        bayes_srgan.RECIPE.stages[0],
        Stage("score", steps=8000, rate=8e-4, batch=16, members=4, **bayes_srgan.SCORES),
    ),
    discriminators={},
)
