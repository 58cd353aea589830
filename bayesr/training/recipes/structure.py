"""A conditional GAN with a structure-informed loss that is convex in the output: L1 weighted by the gradients and the
structure tensor of the reference (`bayesr.training.terms.structure`). Its discriminator sees the input beside the image.

The idea, a conditional GAN with a structure-informed convex loss for images of materials, is that of CSM-SR
(github.com/aaivu/CSM-SR); the loss is our own.
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
