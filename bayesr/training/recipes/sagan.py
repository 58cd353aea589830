"""SAGAN: self-attention and spectral normalisation in generator and discriminator, with the hinge loss.

The published network draws images from noise, with Adam at 1e-4 for the generator. Here the generator is first
trained with the L1 loss, which also remains in the adversarial stage. Attention depends on the whole image, so that
tiles differ from the whole; `Model.promises` reports this.

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
