"""mSRGAN: ``0.4 MSE + 0.8 content + 1e-5 adversarial``, content of a miniVGG19 that learnt the domain's own classes.

The study's classes are 13 localisations of proteins; here they are those of any labelled folders, or the images'
sources. Published: 15 blocks, crops of 24 x 24 to 96 x 96. In the study's released loop the discriminator is never trained and
dropout stays on when it is applied; here the discriminator trains, and there is no dropout.

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
