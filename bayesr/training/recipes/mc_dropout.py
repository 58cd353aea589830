"""MC dropout: L1 training with dropout that stays active when members are drawn, the only source of randomness.

Y. Gal, Z. Ghahramani, "Dropout as a Bayesian approximation: representing model uncertainty in deep learning", 2016,
arXiv:1506.02142.
"""

from bayesr.training.recipe import Recipe, Stage

RECIPE = Recipe(
    "mc-dropout",
    network=dict(width=64, blocks=8, head_width=64, head_blocks=2, latent=0, dropout=0.2),
    stages=(
        Stage("fidelity", steps=10000, rate=1e-3, members=0, loss="fidelity"),
        Stage("dropout", steps=5000, rate=5e-4, members=1, loss="absolute_error"),
    ),
    discriminators={},
)
