"""mSRGAN: ``0.4 MSE + 0.8 content + 1e-5 adversarial``, with a content network trained on classes of the domain.

The content network is a miniVGG19. The classes of the study are 13 localisations of proteins; here they are derived
from the folders or sizes of the images (`bayesr.training.pairs.labels_of`). Published: 15 blocks, crops of 24 x 24 to
96 x 96. The study's released code never trains the discriminator and applies the model with dropout; here the
discriminator is trained, without dropout.

S. Gawande, "Generative adversarial networks for single image super resolution in microscopy images", KTH, 2018,
TRITA-EECS-EX-2018:10.
"""

from torch import Tensor

from bayesr.networks.discriminators import ImageDiscriminator
from bayesr.training import losses
from bayesr.training.adversarial import PLAIN
from bayesr.training.batch import TrainingBatch
from bayesr.training.recipe import Adversary, Recipe, Stage
from bayesr.training.recipes.srgan import CLASSIFY, content_network
from bayesr.training.terms import content


def squared_error(batch: TrainingBatch) -> Tensor:
    return losses.squared_error(batch.x, batch.truth)


RECIPE = Recipe(
    "msrgan",
    network=dict(backbone="srresnet", width=64, blocks=15, output="staged", head_blocks=0),
    stages=(
        CLASSIFY,
        Stage("fidelity", steps=15000, rate=2e-4, members=0, loss="squared_error"),
        Stage(
            "adversarial",
            steps=5000,
            rate=1e-4,
            members=0,
            loss=None,
            terms={squared_error: 0.4, content: 0.8},
            adversarial=1e-5,
        ),
    ),
    patch=24,
    consistent=False,
    discriminators={"critic": Adversary(ImageDiscriminator, PLAIN)},
    helpers={"content": content_network},
)
