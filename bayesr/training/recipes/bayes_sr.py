"""``bayes-srgan`` without its discriminator: a sampler that learns from proper scores of pixels, patches and block cosines.

The last training of the bundled `natural-x4` was of this kind: 800 steps with a discriminator brought no better score, and
members that are easier to tell from the truth (`bayesr bench realism`).
"""

from bayesr.training.recipe import Recipe, Stage
from bayesr.training.recipes import bayes_srgan

RECIPE = Recipe(
    "bayes-sr",
    network=bayes_srgan.RECIPE.network,
    stages=(
        bayes_srgan.RECIPE.stages[0],
        Stage("score", steps=3500, rate=8e-4, members=4, patches=bayes_srgan.PATCHES, bands=bayes_srgan.BANDS),
    ),
    discriminators={},
)
