"""The main recipe: a residual backbone and a stochastic head, whose members look like the truth and are calibrated.

Members are data-consistent. Their loss adds fair scores of pixels, patches and block cosine coefficients, the energy
score in the features of EfficientNet-Lite0, and a conditional relativistic adversarial loss. The true posterior
minimises each of them. Dropout rates follow the gradient of the scores alone, since an adversarial loss rewards wide
masks.
"""

from typing import Any

from bayesr.networks.discriminators import PairedDiscriminator
from bayesr.training.adversarial import PAIRED
from bayesr.training.batch import truth_and_members
from bayesr.training.recipe import Adversary, Recipe, Stage

SCORES: dict[str, Any] = dict(patches={4: 0.5, 8: 0.5, 16: 0.25}, bands={8: 1.0})
ADVERSARY = Adversary(PairedDiscriminator, PAIRED, truth_and_members)

RECIPE = Recipe(
    "bayes-srgan",
    network=dict(
        width=64, blocks=16, head_width=32, head_blocks=4, latent=6, dropout=0.02, gaussian_dropout=True, direct=True,
        mix=64, smooth=True,
    ),
    stages=(
        Stage("fidelity", steps=18000, rate=1e-3, batch=32, members=0, loss="fidelity"),
        Stage(
            "score", steps=10000, rate=5e-4, batch=16, members=3, **SCORES, features=0.5,
            adversarial=0.5, warmup=500, balanced=True, schedule="wsd", discriminator_rate=2e-4,
        ),
    ),
    discriminators={"paired": ADVERSARY},
    feature_network="efficientnet-lite0",
)  # fmt: skip
