"""SRResNet: the generator of SRGAN, trained with the mean squared error.

Published: 16 blocks, crops of 96 x 96 (24 x 24 at low resolution), batches of 16, Adam at 1e-4, 1e6 steps.

C. Ledig et al., "SRGAN", 2017, arXiv:1609.04802.
"""

from bayesr.training.recipe import Recipe, Stage

NETWORK = dict(backbone="srresnet", width=64, blocks=16, output="staged", head_blocks=0)

RECIPE = Recipe(
    "srresnet",
    network=NETWORK,
    stages=(Stage("fidelity", steps=20000, rate=1e-4, batch=16, members=0, loss="squared_error"),),
    patch=24,
    consistent=False,
    discriminators={},
)
