"""CycleGAN: high-resolution images without a single pair, from two heaps of images of the same kind of batch.

G makes y look like the high-resolution images, B makes x look like the low-resolution ones, and what went there and
back again must be what it was: ``G(B(x)) = x``, ``B(G(y)) = y``. Neither is told of the observation: G adds its
detail to plain interpolation, and B learns what the instrument does.

As published: least squares in both games, discriminators of patches, the weights of cycle (10) and identity (5). Not as
published: a learning rate of 5e-4 (2e-4), for fewer steps; backbones without normalisation, so that tiles of an image
agree; values in [0, 1], which halves what both weights weigh; discriminators see the newest images alone, not a pool.

J.-Y. Zhu, T. Park, P. Isola, A. A. Efros, "Unpaired image-to-image translation using cycle-consistent adversarial
networks", 2017, arXiv:1703.10593.
"""

from bayesr.networks.backward import Backward
from bayesr.training.adversarial import LEAST_SQUARES
from bayesr.training.cycle import cycle, high_resolution_inputs, identity, low_resolution_inputs
from bayesr.training.recipe import Adversary, Recipe, Stage, patch_discriminator


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
