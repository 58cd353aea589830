"""Quantile regression: ten quantiles per pixel, trained with the pinball loss.

A. N. Angelopoulos et al., "Image-to-image regression with distribution-free uncertainty quantification and applications
in imaging", 2022, arXiv:2202.05265.
"""

from bayesr.training.recipe import Recipe, Stage

RECIPE = Recipe(
    "quantile",
    network=dict(width=64, blocks=8, head="quantile"),
    stages=(
        Stage("fidelity", steps=10000, rate=1e-3, members=0, loss="fidelity"),
        Stage("quantiles", steps=5000, rate=5e-4, members=0, loss="pinball"),
    ),
    discriminators={},
)
