"""SwinIR, lightweight: a backbone of shifted-window transformer blocks, trained with the L1 loss.

Published: 4 blocks of 6 layers, 60 channels, 6 heads, windows of 8 x 8, crops of 64 x 64 at low resolution, batches of
64, Adam at 2e-4. Tiles are exact: their windows are aligned with those of the whole image, and the halo covers the
receptive field.

J. Liang et al., "SwinIR: image restoration using Swin transformer", 2021, arXiv:2108.10257.
"""

from bayesr.training.recipe import Recipe, Stage

RECIPE = Recipe(
    "swinir",
    network=dict(backbone="swin", width=60, blocks=4, backbone_options=dict(depth=6, heads=6, window=8), head_blocks=0),
    stages=(Stage("fidelity", steps=20000, rate=2e-4, members=0, loss="absolute_error"),),
    consistent=False,
    discriminators={},
)
