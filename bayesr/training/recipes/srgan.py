"""SRGAN: SRResNet, fine-tuned with ``content + 1e-3 adversarial`` and the non-saturating loss -log D(G(y)).

The generator is first trained with the mean squared error. The adversarial stage begins with the discriminator alone.
The first stage trains the content network from scratch, to classify the training images by folder or size. Learning
rate, batch size and crops (64 x 64 to 256 x 256) are those of a study of satellite images. With ``--patience`` the
adversarial stage stops on its losses.

C. Ledig et al., "Photo-realistic single image super-resolution using a generative adversarial network", 2017,
arXiv:1609.04802.
"""

from bayesr.networks.discriminators import ImageDiscriminator
from bayesr.networks.features.mini_vgg import MiniVGG
from bayesr.training.adversarial import PLAIN
from bayesr.training.recipe import Adversary, Recipe, Stage
from bayesr.training.recipes.srresnet import NETWORK
from bayesr.training.terms import classification, content


def content_network(bands: int, scale: int, classes: int) -> MiniVGG:
    return MiniVGG(bands, classes)


CLASSIFY = Stage("classify", steps=1500, rate=1e-3, members=0, loss=None, terms={classification: 1.0})

RECIPE = Recipe(
    "srgan",
    network=NETWORK,
    stages=(
        CLASSIFY,
        Stage("fidelity", steps=15000, rate=2e-4, members=0, loss="squared_error"),
        Stage(
            "adversarial",
            steps=5000,
            rate=2e-4,
            members=0,
            loss=None,
            terms={content: 1.0},
            adversarial=1e-3,
            warmup=500,
        ),
    ),
    patch=64,
    consistent=False,
    discriminators={"critic": Adversary(ImageDiscriminator, PLAIN)},
    helpers={"content": content_network},
)
