"""A U-Net for regression, trained with the L1 loss; a study of satellite images names it as an alternative to SRGAN.

O. Ronneberger, P. Fischer, T. Brox, "U-Net: convolutional networks for biomedical image segmentation", 2015,
arXiv:1505.04597.
"""

from bayesr.training.recipe import Recipe, Stage

RECIPE = Recipe(
    "unet",
    network=dict(backbone="unet", width=48, blocks=3, head_blocks=0),
    stages=(Stage("fidelity", steps=15000, rate=1e-3, members=0, loss="absolute_error"),),
    consistent=False,
    discriminators={},
)
