"""ESRGAN: residual-in-residual dense blocks and the relativistic average adversarial loss.

The loss is ``content + 5e-3 adversarial + 1e-2 L1``. Published: 23 blocks, crops of 32 x 32 to 128 x 128, batches of
16, Adam at 2e-4 for L1 and at 1e-4 after that. The published output head interpolates and convolves; here it is the
sub-pixel head of SRGAN. The content network is that of `srgan`.

X. Wang et al., "ESRGAN: enhanced super-resolution generative adversarial networks", 2018, arXiv:1809.00219.
"""

from torch import Tensor

from bayesr.networks.discriminators import ImageDiscriminator
from bayesr.training import losses
from bayesr.training.adversarial import RELATIVISTIC
from bayesr.training.batch import TrainingBatch
from bayesr.training.recipe import Adversary, Recipe, Stage
from bayesr.training.recipes.srgan import CLASSIFY, content_network
from bayesr.training.terms import content


def absolute_error(batch: TrainingBatch) -> Tensor:
    return losses.absolute_error(batch.x, batch.truth)


RECIPE = Recipe(
    "esrgan",
    network=dict(backbone="rrdb", width=64, blocks=23, output="staged", head_blocks=0),
    stages=(
        CLASSIFY,
        Stage("fidelity", steps=15000, rate=2e-4, batch=16, members=0, loss="absolute_error"),
        Stage(
            "adversarial",
            steps=5000,
            rate=1e-4,
            batch=16,
            members=0,
            loss=None,
            terms={content: 10.0, absolute_error: 1e-2},
            adversarial=5e-3,
        ),
    ),
    consistent=False,
    discriminators={"critic": Adversary(ImageDiscriminator, RELATIVISTIC)},
    helpers={"content": content_network},
)
