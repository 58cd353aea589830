"""``bayes-srgan`` without the discriminator: proper scores of pixels, patches and block cosine coefficients.

The last training of the bundled `natural-x4` used this recipe. 800 steps with a discriminator did not improve its
score, and made its members easier to distinguish from the truth (`bayesr bench realism`).
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
