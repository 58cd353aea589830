"""CycleGAN: super-resolution learnt from low- and high-resolution images that do not correspond to each other.

G maps low-resolution images y to high resolution, B maps high-resolution images x to low resolution, and each undoes
the other: ``G(B(x)) = x``, ``B(G(y)) = y``. Neither uses the forward operator: G adds detail to plain interpolation,
and B learns the degradation.

As published: least-squares adversarial losses, patch discriminators, and the weights of the cycle (10) and identity (5)
losses. Different: a learning rate of 5e-4 (2e-4) for fewer steps; backbones without normalisation, so that the tiles of
an image agree; values in [0, 1] (published: [-1, 1]), which halves the effect of both weights; and discriminators
without a pool of earlier images.

J.-Y. Zhu, T. Park, P. Isola, A. A. Efros, "Unpaired image-to-image translation using cycle-consistent adversarial
networks", 2017, arXiv:1703.10593.
"""

from bayesr.networks.backward import Backward
from bayesr.training.adversarial import LEAST_SQUARES
from bayesr.training.recipe import Adversary, Recipe, Stage, patch_discriminator
from bayesr.training.terms import cycle, high_resolution_inputs, identity, low_resolution_inputs


def backward(bands: int, scale: int, classes: int) -> Backward:
    return Backward(bands, scale)


RECIPE = Recipe(
    "cyclegan",
    network=dict(width=64, blocks=8, head_blocks=0),
    stages=(
        Stage(
            "cycle",
            steps=8000,
            rate=5e-4,
            batch=4,
            members=0,
            loss=None,
            terms={cycle: 10.0, identity: 5.0},
            adversarial=1.0,
            warmup=0,
        ),
    ),
    consistent=False,
    discriminators={
        "high": Adversary(patch_discriminator, LEAST_SQUARES, high_resolution_inputs),
        "low": Adversary(patch_discriminator, LEAST_SQUARES, low_resolution_inputs),
    },
    helpers={"backward": backward},
    unpaired=True,
)
