"""A conditional GAN with a structure loss that is convex in the output.

The loss is the L1 error weighted by the gradients and the structure tensor of the reference
(`bayesr.training.terms.structure`). The discriminator receives the input together with the image.

CSM-SR (github.com/aaivu/CSM-SR) is such a GAN for images of materials. The loss used here is our own.
"""

from functools import partial

from bayesr.networks.discriminators import ImageDiscriminator
from bayesr.training.adversarial import PLAIN
from bayesr.training.recipe import Adversary, Recipe, Stage
from bayesr.training.terms import structure

RECIPE = Recipe(
    "structure",
    network=dict(width=64, blocks=8, head_blocks=0),
    stages=(
        Stage("fidelity", steps=12000, rate=1e-3, members=0, loss=None, terms={structure: 1.0}),
        Stage("adversarial", steps=4000, rate=2e-4, members=0, loss=None, terms={structure: 1.0}, adversarial=1e-3),
    ),
    consistent=False,
    discriminators={"critic": Adversary(partial(ImageDiscriminator, conditional=True), PLAIN)},
)
