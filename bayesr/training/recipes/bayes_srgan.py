"""The main recipe: a residual backbone and a stochastic head, trained with proper scores.

The scores are of pixels, patches, block cosine coefficients and discriminator features. Members are data-consistent,
and calibrated because the true posterior minimises the scores.
"""

from bayesr.training.recipe import Recipe, Stage

PATCHES, BANDS = {4: 0.5, 8: 0.5}, {8: 1.0}

RECIPE = Recipe(
    "bayes-srgan",
    network=dict(
        width=64, blocks=8, head_width=16, head_blocks=2, latent=8, gaussian_dropout=True, direct=True, mix=64
    ),
    stages=(
        Stage("fidelity", steps=10500, rate=1e-3, members=0, loss="fidelity"),
        Stage("score", steps=2000, rate=8e-4, members=4, patches=PATCHES, bands=BANDS),
        Stage("critic", steps=1500, rate=4e-4, members=4, patches=PATCHES, bands=BANDS, features=0.2),
    ),
)
