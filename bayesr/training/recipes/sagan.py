"""SAGAN's self-attention in generator and discriminator, both with spectral normalisation, and the hinge game.

Published for drawing images from noise: Adam at 1e-4 for the generator. As a generator for super-resolution it is
trained for L1 first, which keeps a part in the adversarial stage. Attention sees all of the image, so tiles differ
from the whole, and `Model.promises` says so.

H. Zhang et al., "Self-attention generative adversarial networks", 2019, arXiv:1805.08318.
"""

from bayesr.networks.discriminators import AttentionDiscriminator
from bayesr.training.adversarial import HINGE
from bayesr.training.recipe import Adversary, Recipe, Stage

RECIPE = Recipe(
    "sagan",
    network=dict(backbone="attention", width=64, blocks=8, head_blocks=0),
    stages=(
        Stage("fidelity", steps=15000, rate=4e-4, members=0, loss="absolute_error"),
        Stage("adversarial", steps=5000, rate=1e-4, members=0, loss="absolute_error", adversarial=5e-3),
    ),
    consistent=False,
    discriminators={"critic": Adversary(AttentionDiscriminator, HINGE)},
)
