"""The recipe of the recorded checkpoint: ``bayes-srgan`` of 0.1.0, in small."""

from bayesr.training.recipe import Recipe, Stage

PATCHES, BANDS = {4: 0.5, 8: 0.5}, {8: 1.0}

RECIPE = Recipe(
    "small",
    network=dict(width=4, blocks=4, head_width=4, head_blocks=2, latent=4, gaussian_dropout=True, direct=True, mix=4),
    stages=(
        Stage("fidelity", steps=10500, rate=1e-3, batch=2, members=0, loss="fidelity"),
        Stage("score", steps=2000, rate=8e-4, batch=2, members=4, patches=PATCHES, bands=BANDS),
        Stage("critic", steps=1500, rate=4e-4, batch=2, members=4, patches=PATCHES, bands=BANDS, features=0.2),
    ),
    patch=8,
)
