"""``bayes-srgan`` without its critic: a sampler that proper scores of pixels, patches and block cosines alone have taught.

The bundled models are of this kind: their critic's stage brought no better score, and members easier to tell from the
truth (`bayesr bench realism`).
"""

from bayesr.recipes import bayes_srgan
from bayesr.training.recipe import Recipe, Stage

RECIPE = Recipe(
    "bayes-sr",
    network=bayes_srgan.RECIPE.network,
    stages=(
        bayes_srgan.RECIPE.stages[0],
        Stage("score", steps=3500, rate=8e-4, members=4, patches=bayes_srgan.PATCHES, bands=bayes_srgan.BANDS),
    ),
    critics={},
)
