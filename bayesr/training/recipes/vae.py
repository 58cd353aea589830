"""A conditional variational autoencoder: the decoder is the generator, and an encoder infers its latents.

    log p(x | y) >= E_q log p(x | z, y) - KL(q(z | x, y) || N(0, 1))

Network, head and projection are those of ``bayes-srgan`` without dropout, so that only the objective differs. The
deterministic path is trained first, which keeps the decoder from ignoring its latents without an annealed divergence or
free bits. Members are means of the decoder, without pixel noise: their raw spread is too small by the noise, and
calibration corrects this.

D. P. Kingma, M. Welling, "Auto-encoding variational Bayes", 2014, arXiv:1312.6114. K. Sohn, H. Lee, X. Yan, "Learning
structured output representation using deep conditional generative models", 2015, NeurIPS 28.
"""

from torch import Tensor

from bayesr.networks.encoder import Encoder
from bayesr.training.batch import TrainingBatch
from bayesr.training.recipe import Recipe, Stage
from bayesr.training.recipes import bayes_srgan

NETWORK = dict(bayes_srgan.RECIPE.network) | dict(gaussian_dropout=False, dropout=0.0)


def encoder(bands: int, scale: int, classes: int) -> Encoder:
    return Encoder(bands, scale, NETWORK["latent"] * NETWORK["head_blocks"])


def negative_elbo(batch: TrainingBatch) -> Tensor:
    from bayesr.training.elbo import negative_elbo  # Pyro is slow to import

    return negative_elbo(batch)


RECIPE = Recipe(
    "vae",
    network=NETWORK,
    stages=(bayes_srgan.RECIPE.stages[0], Stage("elbo", steps=3500, rate=8e-4, loss=None, terms={negative_elbo: 1.0})),
    discriminators={},
    helpers={"encoder": encoder},
)
