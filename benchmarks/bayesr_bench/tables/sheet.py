"""Draw a contact sheet of twelve crops: input, mean, four members, standard deviation, truth.

    bayesr bench sheet --data FOLDER --model natural-x4

Each row shows one crop: the input, the mean, four members, the calibrated standard deviation, and the truth. FOLDER
holds ``set5``, ``set14`` and ``bsd100`` (or ``bsd100_jpg``), and the crops are a fixed list. With ``--set`` or
``--images`` they come from another set, or from a folder: the crop of highest contrast from each of twelve images.
Colour images are shown unchanged. The contrast of grey images is stretched, equally for all images of a row.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont
from matplotlib import colormaps
from numpy.typing import NDArray

import bayesr
from bayesr.errors import InvalidArgument
from bayesr.files import make_folder, write_atomically
from bayesr_bench.sets import SET_FOLDERS, Picture, answer, read_folder, read_set

CROPS = (
    ("set5", "baby", 164, 132),
    ("set5", "butterfly", 92, 92),
    ("set5", "woman", 68, 72),
    ("set14", "baboon", 20, 136),
    ("set14", "barbara", 392, 472),
    ("set14", "comic", 100, 84),
    ("set14", "ppt3", 244, 36),
    ("set14", "zebra", 180, 452),
    ("bsd100", "108005", 84, 200),
    ("bsd100", "86000", 72, 120),
    ("bsd100", "148026", 268, 112),
    ("bsd100", "69015", 76, 116),
)
"""``(set, image, top, left)``, in high-resolution pixels."""
SIDE, ZOOM = 72, 2
MEMBERS = 4
COLUMNS = ("input", "mean", *(f"member {i}" for i in range(MEMBERS)), "std", "truth")
GAP, MARGIN, HEAD, FOOT = 4, 104, 30, 46
INK = (30, 30, 30)

Array = NDArray[Any]


class Row(NamedTuple):
    """A row of the sheet.

    Attributes
    ----------
    name : str
    images : list of ndarray
        All columns except `std`: 8-bit colour images of shape ``y x x x 3``.
    spread : ndarray
        Root mean square over bands of the standard deviation, as a fraction of the row's contrast. Of shape ``y x x``.
    """

    name: str
    images: list[NDArray[np.uint8]]
    spread: Array


def highest_contrast(pixels: Array, side: int) -> tuple[int, int]:
    """Return the corner ``(top, left)`` of the crop of highest contrast, on a grid of half its side."""
    step = side // 2
    corners = [
        (top, left)
        for top in range(0, pixels.shape[0] - side + 1, step)
        for left in range(0, pixels.shape[1] - side + 1, step)
    ]
    return max(corners, key=lambda at: float(pixels[at[0] : at[0] + side, at[1] : at[1] + side].std()))


def row_of(model: bayesr.Model, name: str, picture: Picture, corner: tuple[int, int], n: int, seed: int) -> Row:
    """Sample the whole image, so that the crop has its surroundings, and cut the crop out."""
    scale = model.scale
    found = answer(model, picture, n, seed)
    side = SIDE // scale * scale
    top, left = (value // scale * scale for value in corner)
    window = (..., slice(top, top + side), slice(left, left + side))
    low = found.low[top // scale : (top + side) // scale, left // scale : (left + side) // scale]
    given = low.repeat(scale, 0).repeat(scale, 1).transpose(2, 0, 1)
    shown = [given, found.mean[window], *found.members[:MEMBERS][window], found.truth[window]]
    darkest, brightest = 0.0, 255.0
    if picture.grey or len(found.truth) == 1:
        darkest, brightest = np.percentile(found.truth[window], (0.5, 99.5))
        brightest = max(brightest, darkest + 8)  # so that a constant crop does not show rounding noise
    stretched = [np.clip((image - darkest) * (255 / (brightest - darkest)), 0, 255) for image in shown]
    images = [
        np.broadcast_to(np.rint(image.transpose(1, 2, 0)), (side, side, 3)).astype(np.uint8) for image in stretched
    ]
    spread = np.sqrt(np.mean(np.square(found.std[window], dtype=np.float64), 0)) / (brightest - darkest)
    return Row(name, images, spread)


def draw(rows: list[Row], title: str) -> PIL.Image.Image:
    """Draw the sheet. Its colour scale ends at the 99.5% quantile of all standard deviations."""
    top = float(np.quantile(np.concatenate([row.spread.ravel() for row in rows]), 0.995)) or 1e-3
    colours = colormaps["viridis"]
    tile = rows[0].spread.shape[0] * ZOOM
    width, height = MARGIN + len(COLUMNS) * (tile + GAP), HEAD + len(rows) * (tile + GAP) + FOOT
    sheet = PIL.Image.new("RGB", (width, height), (255, 255, 255))
    pen, font, small = PIL.ImageDraw.Draw(sheet), PIL.ImageFont.load_default(18), PIL.ImageFont.load_default(14)
    for k, column in enumerate(COLUMNS):
        pen.text((MARGIN + k * (tile + GAP) + tile / 2, HEAD / 2), column, INK, font, anchor="mm")
    for r, row in enumerate(rows):
        y = HEAD + r * (tile + GAP)
        pen.multiline_text((MARGIN - 8, y + tile / 2), row.name, INK, small, anchor="rm", align="right")
        spread = (colours(np.minimum(row.spread / top, 1))[..., :3] * 255).round().astype(np.uint8)
        for k, image in enumerate([*row.images[:-1], spread, row.images[-1]]):
            enlarged = image.repeat(ZOOM, 0).repeat(ZOOM, 1)
            sheet.paste(PIL.Image.fromarray(enlarged), (MARGIN + k * (tile + GAP), y))
    x, y = MARGIN + 6 * (tile + GAP), height - FOOT + 8
    bar = (colours(np.linspace(0, 1, tile))[:, :3] * 255).round().astype(np.uint8)
    sheet.paste(PIL.Image.fromarray(np.broadcast_to(bar, (12, tile, 3)).copy()), (x, y))
    pen.text((x, y + 16), "0", INK, small)
    pen.text((x + tile, y + 16), f"{top:.1%}", INK, small, anchor="ra")
    pen.text((x - 10, y + 6), "std, of the row's contrast (of 255 in colour)", INK, small, anchor="rm")
    pen.text((MARGIN, y + 16), title, INK, small)
    return sheet


def chosen(pictures: dict[str, Picture], prefix: str) -> list[tuple[str, Picture, tuple[int, int]]]:
    """Choose twelve images, evenly spaced in the order of their names, and the crop of highest contrast of each."""
    fit = [(name, picture) for name, picture in pictures.items() if min(picture.pixels.shape[:2]) >= SIDE]
    if not fit:
        raise InvalidArgument(f"No image has the {SIDE} x {SIDE} pixels of a crop: give larger images.")
    picked = [fit[k] for k in np.unique(np.linspace(0, len(fit) - 1, min(len(CROPS), len(fit))).astype(int))]
    return [(f"{prefix}\n{name[:12]}", picture, highest_contrast(picture.pixels, SIDE)) for name, picture in picked]


@click.command()
@click.option("--model", default="natural-x4", show_default=True, help="Model that is drawn, by name or file.")
@click.option("--data", type=click.Path(path_type=Path, exists=True, file_okay=False), help="Folder of the sets.")
@click.option("--set", "name", type=click.Choice(list(SET_FOLDERS)), help="Set to take crops from.")
@click.option(
    "--images", type=click.Path(path_type=Path, exists=True, file_okay=False), help="Folder to take crops from."
)
@click.option("-n", default=32, show_default=True, help="Members for the mean and the standard deviation.")
@click.option("--seed", default=0, show_default=True, help="Seed of the members.")
@click.option("--out", type=click.Path(path_type=Path), help="PNG to write; docs/MODEL.png by default.")
def command(
    model: str, data: Path | None, name: str | None, images: Path | None, n: int, seed: int, out: Path | None
) -> None:
    """Draw twelve crops: input, mean, four members, standard deviation, and truth, as one picture."""
    if n < MEMBERS:
        raise click.BadParameter(f"the sheet shows {MEMBERS} members", param_hint="-n")
    if (data is None) == (images is None):
        raise click.UsageError("Give either the folder of the sets (--data) or a folder of images (--images).")
    network = bayesr.load(model)
    if images is not None:
        rows = chosen(read_folder(images, network.scale), images.name)
    elif data is not None and name is not None:
        rows = chosen(read_set(data, name, network.scale), name)
    elif data is not None:
        sets = {kind: read_set(data, kind, network.scale) for kind, *_ in CROPS}
        rows = [(f"{kind}\n{image}", sets[kind][image], (top, left)) for kind, image, top, left in CROPS]
    drawn = [row_of(network, title, picture, corner, n, seed) for title, picture, corner in rows]
    target = out or Path("docs") / f"{network.name}.png"
    make_folder(target.parent)
    title = (
        f"{network.name} ({network.sha256[:12]}), x{network.scale}; mean and std of {n} members, seed {seed}; "
        "crops enlarged twice"
    )
    encoded = io.BytesIO()
    draw(drawn, title).save(encoded, "PNG", optimize=True)
    write_atomically(target, encoded.getvalue())
    click.echo(f"Contact sheet written to {target} ({target.stat().st_size / 2**20:.2f} MiB)")
