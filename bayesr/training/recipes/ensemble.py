"""A deep ensemble: five networks that predict a normal distribution per pixel, trained by its likelihood.

Published: 5 networks that differ only in their initial weights. Here every step trains all of them on one batch.

B. Lakshminarayanan, A. Pritzel, C. Blundell, "Simple and scalable predictive uncertainty estimation using deep
ensembles", 2017, arXiv:1612.01474.
"""

from bayesr.training.recipe import Recipe, Stage

RECIPE = Recipe(
    "ensemble",
    network=dict(networks=5, width=64, blocks=8, head="gaussian"),
    stages=(
        Stage("fidelity", steps=10000, rate=1e-3, members=0, loss="fidelity"),
        Stage("likelihood", steps=5000, rate=5e-4, members=0, loss="gaussian_likelihood"),
    ),
    discriminators={},
)
