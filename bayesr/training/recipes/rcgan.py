"""rcGAN: L1 error of the mean of members, an adaptive reward for their spread, and a Wasserstein discriminator.

Network, head and projection are those of ``bayes-srgan`` without dropout, so that only the objective differs.

M. Bendel, R. Ahmad, P. Schniter, "A regularized conditional GAN for posterior sampling in image recovery
problems", 2023, arXiv:2210.13389.
"""

from bayesr.training.adversarial import WASSERSTEIN
from bayesr.training.recipe import Adversary, Recipe, Stage, patch_discriminator
from bayesr.training.recipes import bayes_srgan
from bayesr.training.terms import SpreadReward, rewarded


def reward(bands: int, scale: int, classes: int) -> SpreadReward:
    return SpreadReward()


RECIPE = Recipe(
    "rcgan",
    network=dict(bayes_srgan.RECIPE.network) | dict(gaussian_dropout=False, dropout=0.0),
    stages=(
        bayes_srgan.RECIPE.stages[0],
        Stage("reward", steps=3500, rate=8e-4, loss=None, terms={rewarded: 1.0}, adversarial=1e-4),
    ),
    discriminators={"critic": Adversary(patch_discriminator, WASSERSTEIN)},
    helpers={"reward": reward},
)
