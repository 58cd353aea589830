"""Draw the pictures of the tutorial, of the page on reading maps and of the gallery, from bundled images and models.

    python docs/figures.py [NAME ...]

Seeds are fixed. The pictures are written beside this file, on a white background, which is also readable on a dark
page. Maps of intensity are grey, maps of uncertainty use cividis, and classes have the colours of Okabe and Ito.
All of these can be distinguished with colour blindness and in grey print. Needs Matplotlib (the extra ``report``).
"""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import PIL.Image
import PIL.ImageOps
import run_examples  # beside this file
import skimage.data
import torch
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy import ndimage

import bayesr
from bayesr import observe, report

DOCS = Path(__file__).parent
EXAMPLES = DOCS.parent / "bayesr" / "examples"
BLUE, ORANGE, GREEN, SKY, INK, MUTED = "#0072B2", "#D55E00", "#009E73", "#56B4E9", "#1b1b1b", "#8a8a8a"
UNSURE = "cividis"
BOX = dict(y=slice(40, 240), x=slice(160, 440))
"""Cup, spoon and plate of the photograph, in high-resolution pixels."""
Array = NDArray[Any]

mpl.rcParams.update(
    {
        "font.size": 9, "axes.titlesize": 9.5, "axes.titlelocation": "left", "axes.titlepad": 5,
        "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": MUTED, "axes.labelcolor": INK,
        "xtick.color": INK, "ytick.color": INK, "text.color": INK, "legend.frameon": False,
        "image.interpolation": "nearest",
    }
)  # fmt: skip


@cache
def coffee() -> xr.Dataset:
    """Draw 32 members of the photograph."""
    return bayesr.sample(EXAMPLES / "coffee-x4.png", n=32).load()


@cache
def nuclei() -> xr.Dataset:
    """Draw 32 members of the fluorescence image."""
    return bayesr.sample(EXAMPLES / "nuclei-x4.png", n=32, model="fluorescence-x4").load()


def truth() -> Array:
    """Return the photograph from which the example was downsampled, `band x y x x`."""
    photograph: Array = np.moveaxis(skimage.data.coffee(), -1, 0).astype(float)
    return photograph


def bare(panel: Axes, title: str = "") -> Axes:
    """Return a panel for an image, without ticks and frame."""
    panel.set(xticks=[], yticks=[], title=title)
    panel.spines[:].set_visible(False)
    return panel


def save(figure: Figure, name: str, dpi: int = 140) -> None:
    """Write a picture without alpha channel, losslessly compressed as far as possible."""
    out = io.BytesIO()
    figure.savefig(out, dpi=dpi, facecolor="white")
    PIL.Image.open(out).convert("RGB").save(DOCS / f"{name}.png", optimize=True)
    print(f"{name}.png: {(DOCS / f'{name}.png').stat().st_size / 1000:.0f} kB")


def tutorial_members() -> None:
    """Draw the image, the mean, a member and the standard deviation, whole and in a window."""
    ds = nuclei()
    low = np.asarray(PIL.Image.open(EXAMPLES / "nuclei-x4.png"))
    figure = Figure(figsize=(8, 3.9), layout="constrained")
    panels = figure.subplots(2, 4)
    window = (slice(64, 136), slice(154, 226))  # rows and columns of high-resolution pixels
    columns: list[tuple[str, Array, dict[str, Any]]] = [
        ("the image", np.kron(low, np.ones((4, 4))), dict(cmap="gray", vmin=0, vmax=120)),
        ("mean of 32 members", ds["mean"].values[0], dict(cmap="gray", vmin=0, vmax=120)),
        ("one member", ds["samples"].values[4, 0], dict(cmap="gray", vmin=0, vmax=120)),
        ("standard deviation", ds["std"].values[0], dict(cmap=UNSURE, vmin=0, vmax=14)),
    ]
    for (above, below), (title, values, style) in zip(panels.T, columns, strict=True):
        shown = bare(above, title).imshow(values, **style)
        bare(below).imshow(values[window], **style)
        rows, cols = window
        above.add_patch(
            mpl.patches.Rectangle(
                (cols.start, rows.start), cols.stop - cols.start, rows.stop - rows.start, fill=False, ec=SKY, lw=1.2
            )
        )
    bar = figure.colorbar(shown, ax=panels[:, 3], shrink=0.85, aspect=30)
    bar.outline.set_visible(False)
    bar.set_label("grey levels")
    save(figure, "tutorial-members")


def tutorial_decision() -> None:
    """Draw the areas of nuclei with their intervals, and the decision for each."""
    ds = nuclei()
    found = bayesr.segment(ds, "nuclei")
    found = found.sel(object=found["existence"] > 0.5)
    chance = (found["member_area"] > 160).mean("realization").values
    verdict = np.where(chance > 0.95, 0, np.where(chance < 0.05, 2, 1))
    colours, words = (ORANGE, BLUE, MUTED), ("larger than 160", "image it again", "not larger")
    figure = Figure(figsize=(8, 3.7), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.15))
    bare(left, "the mean, and what follows for each nucleus").imshow(
        ds["mean"].values[0], cmap="gray", vmin=0, vmax=120
    )
    labels = found["labels"].values
    for label, kind in zip(found["object"].values, verdict, strict=True):
        left.contour(labels == label, levels=[0.5], colors=[colours[kind]], linewidths=1.6)
    order = np.argsort(found["area"].values)
    area, low, high = (found[name].values[order] for name in ("area", "area_lower", "area_upper"))
    place = np.arange(len(area))
    for kind in (0, 1, 2):
        at = verdict[order] == kind
        right.vlines(place[at], low[at], high[at], color=colours[kind], lw=2)
        right.plot(place[at], area[at], "o", color=colours[kind], ms=4, label=f"{words[kind]} ({at.sum()})")
    right.axhline(160, color=INK, lw=0.8, ls="--")
    right.set(xticks=[], xlabel="nuclei by area", ylabel="area, pixels; bars: 90% intervals", ylim=(0, None))
    right.legend(loc="upper left", reverse=True)
    save(figure, "tutorial-decision")


@cache
def scores() -> xr.Dataset:
    """Score a part of the photograph."""
    return bayesr.score(coffee().isel(BOX), np.moveaxis(truth(), 0, -1)[BOX["y"], BOX["x"]].astype(np.uint8))


def tutorial_reference() -> None:
    """Draw truth, mean, error and std of a part of the photograph, and errors against the errors that std predicts."""
    ds, found = coffee().isel(BOX), scores()
    reference = truth()[:, BOX["y"], BOX["x"]]
    error = np.abs(ds["mean"].values - reference).mean(0)
    figure = Figure(figsize=(8, 3.75), layout="constrained")
    places = figure.subplot_mosaic([["truth", "mean", "plot"], ["error", "std", "plot"]], width_ratios=(1, 1, 1.05))
    bare(places["truth"], "the truth").imshow(np.moveaxis(reference, 0, -1).astype(np.uint8))
    bare(places["mean"], "mean of 32 members").imshow(
        np.moveaxis(ds["mean"].values, 0, -1).clip(0, 255).astype(np.uint8)
    )
    bare(places["error"], "error of the mean, absolute").imshow(error, cmap=UNSURE, vmin=0, vmax=40)
    bare(places["std"], "standard deviation").imshow(ds["std"].mean("band"), cmap=UNSURE, vmin=0, vmax=40)
    plot = places["plot"]
    top = float(found["bin_std"].max()) * 1.1
    plot.plot([0, top], [0, top], color=MUTED, lw=0.8, ls="--")
    plot.plot(found["bin_std"], found["bin_rmse"], "o-", color=BLUE, ms=4, lw=1.2)
    plot.set(
        title="are errors as large as std says?", xlabel="error that std predicts, grey levels", ylabel="error found"
    )
    plot.set(xlim=(0, top), ylim=(0, top), box_aspect=1)
    plot.text(0.72 * top, 0.78 * top, "as predicted", rotation=45, color=MUTED, ha="center", va="center")
    save(figure, "tutorial-reference", dpi=100)  # photographs compress badly


def reading_profile() -> None:
    """Draw a line through the photograph, and power by frequency: the mean is smoother than any scene."""
    ds, found = coffee(), scores()
    row, band, columns = 122, 1, slice(400, 480)
    figure = Figure(figsize=(8, 3.3), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.5, 1))
    line = ds.isel(y=row, band=band, x=columns)
    x = np.arange(columns.start, columns.stop)
    left.fill_between(x, line["lower"], line["upper"], color=SKY, alpha=0.35, lw=0, label="90% interval")
    for member in (0, 1):
        left.plot(
            x, line["samples"][member], color=ORANGE, lw=0.8, alpha=0.9, label="two members" if not member else None
        )
    left.plot(x, line["mean"], color=BLUE, lw=1.8, label="mean")
    left.plot(x, truth()[band, row, columns], color=INK, lw=1.2, label="truth")
    left.set(
        title="one line of the photograph: cup, saucer, table", xlabel="column, pixels", ylabel="green, grey levels"
    )
    left.legend(ncols=2, fontsize=8)
    # The three agree near frequency 0. The input has no information above its Nyquist frequency.
    for name, style, label in (
        ("reference", dict(color=INK, lw=1.6), "truth"),
        ("members", dict(color=ORANGE, lw=1.2), "members"),
        ("mean", dict(color=BLUE, lw=1.8), "mean"),
    ):
        right.semilogy(found["frequency"], found[f"spectrum_{name}"], label=label, **style)
    right.axvline(0.125, color=MUTED, lw=0.8, ls="--")
    right.text(
        0.13, 0.97, "above: not seen\nby the image", transform=right.get_xaxis_transform(), va="top", color=MUTED
    )
    right.set(title="power", xlabel="frequency, cycles per pixel", xlim=(0.01, 0.5), yticks=[])
    right.minorticks_off()
    right.legend(loc="lower left", fontsize=8, frameon=True, framealpha=1, edgecolor="white")
    save(figure, "reading-profile")


def reading_regions() -> None:
    """Draw errors of regional means, and their predictions by members and by summed variances."""
    ds = coffee().isel(y=slice(40, 232), x=slice(160, 416))  # a whole number of the largest cells
    reference = truth()[:, 40:232, 160:416]
    sides = (1, 2, 4, 8, 16, 32, 64)
    curves: dict[str, list[float]] = {"found": [], "members": [], "summed": []}
    for side in sides:
        fields = bayesr.aggregate(ds, side, "mean")
        high, wide = reference.shape[1] // side, reference.shape[2] // side
        real = reference.reshape(3, high, side, wide, side).mean((2, 4)).reshape(3, -1).T
        for name, errors in zip(curves, (fields["value"] - real, fields["std"], fields["naive_std"]), strict=True):
            curves[name].append(float(np.sqrt((errors**2).mean())))
    figure = Figure(figsize=(6.4, 3.5), layout="constrained")
    panel = figure.subplots()
    panel.loglog(sides, curves["summed"], "s--", color=ORANGE, ms=4, label="summed pixel variances (naive_std)")
    panel.loglog(sides, curves["members"], "o-", color=BLUE, ms=5, label="spread of members (std)")
    panel.loglog(sides, curves["found"], "^-", color=INK, ms=5, lw=1, label="error found")
    panel.set(xticks=sides, xticklabels=[f"{side} x {side}" for side in sides], xlabel="pixels of a region")
    panel.set(ylabel="error of the regional mean, grey levels", yticks=(0.03, 0.1, 0.3, 1, 3))
    panel.minorticks_off()
    panel.yaxis.set_major_formatter("{x:g}")
    panel.legend()
    save(figure, "reading-regions")


def degraded(low: Array) -> Iterable[tuple[str, Array]]:
    """Yield the photograph as in calibration, and degraded in several ways."""
    yield "as in calibration", low
    yield "blurred", np.rint(ndimage.gaussian_filter(low.astype(float), (1, 1, 0))).astype(np.uint8)
    file = io.BytesIO()
    PIL.Image.fromarray(low).save(file, "JPEG", quality=50)
    yield "JPEG, quality 50", np.asarray(PIL.Image.open(file))
    noise = np.random.default_rng(0).normal(0, 10, low.shape)
    yield "noise of 10 grey levels", np.rint(low + noise).clip(0, 255).astype(np.uint8)


def reading_inputs() -> None:
    """Draw the coverage of intervals for images that are out of distribution."""
    figure = Figure(figsize=(8, 2.45), layout="constrained")
    panels = figure.subplots(2, 4, height_ratios=(1, 0.28))
    low = np.asarray(PIL.Image.open(EXAMPLES / "coffee-x4.png"))
    for (above, below), (title, image) in zip(panels.T, degraded(low), strict=True):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", bayesr.errors.UnfamiliarInput)
            ds = bayesr.sample(image, n=8)
        inside = ((truth() >= ds["lower"].values) & (truth() <= ds["upper"].values)).mean()
        warned = ds.attrs["input_check"] != "as in calibration"
        bare(above, title).imshow(image[20:60, 40:110])
        below.barh(0, inside, color=ORANGE if warned else BLUE, height=0.5)
        below.axvline(0.9, color=INK, lw=1, ls="--")
        width = float((ds["upper"] - ds["lower"]).mean())
        below.set(xlim=(0, 1), ylim=(-0.4, 0.4), yticks=[], xticks=[0, 0.9], xticklabels=["0", "90%"])
        below.spines["left"].set_visible(False)
        below.set_xlabel(f"{inside:.0%} inside, {width:.0f} wide" + (", warned" if warned else ""))
    save(figure, "reading-inputs")


def members_before_after() -> None:
    """Draw a member of the model of photographs of version 0.1.0, and one of today's, beside the truth."""
    crops = [
        (skimage.data.astronaut(), (slice(64, 160), slice(168, 264))),
        (skimage.data.chelsea(), (slice(88, 184), slice(124, 220))),
        (skimage.data.coffee(), (slice(96, 192), slice(360, 456))),
    ]
    figure = Figure(figsize=(8, 6.2), layout="constrained")
    titles = ("the image", "a member, natural-x4-fast", "a member, natural-x4", "the truth")
    for row, (picture, window) in enumerate(crops):
        height, width = (size // 4 * 4 for size in picture.shape[:2])
        high = torch.from_numpy(np.moveaxis(picture[:height, :width], -1, 0).astype(np.float32))
        low = observe.bicubic(4).observe(high).round().clamp(0, 255).numpy().astype(np.uint8)
        shown = [np.kron(low, np.ones((1, 4, 4)))]
        shown += [
            bayesr.sample(low, 2, model=model)["samples"][1].values for model in ("natural-x4-fast", "natural-x4")
        ]
        for column, values in enumerate([*shown, high.numpy()]):
            panel = bare(figure.add_subplot(len(crops), len(titles), row * len(titles) + column + 1))
            panel.set_title(titles[column] if row == 0 else "")
            panel.imshow(np.moveaxis(values[(..., *window)], 0, -1).clip(0, 255).astype(np.uint8))
    save(figure, "members-before-after")


def tutorial_report() -> None:
    """Take a screenshot of the page that ``bayesr report`` writes, if chromium is installed."""
    browser = shutil.which("chromium")
    if browser is None:
        print("tutorial-report.png: not drawn, because chromium is not installed")
        return
    with tempfile.TemporaryDirectory() as scratch:
        page, shot = Path(scratch) / "nuclei.html", Path(scratch) / "shot.png"
        store = Path(scratch) / "nuclei.zarr"
        bayesr.sample(EXAMPLES / "nuclei-x4.png", n=32, model="fluorescence-x4", store=store, keep_samples=True)
        report.write(store, page)
        call = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--screenshot={shot}"]
        subprocess.run(
            [*call, "--window-size=1280,1160", "--virtual-time-budget=5000", page.as_uri()],
            check=True,
            capture_output=True,
        )
        picture = PIL.ImageOps.expand(PIL.Image.open(shot).convert("RGB"), border=1, fill=MUTED)
        picture.save(DOCS / "tutorial-report.png", optimize=True)
    print(f"tutorial-report.png: {(DOCS / 'tutorial-report.png').stat().st_size / 1000:.0f} kB")


def gallery() -> None:
    """Run the code of the gallery, which draws its pictures in Matplotlib's own style, and keep them."""
    page = DOCS / "gallery.md"
    with mpl.rc_context(), run_examples.scratch(page):
        mpl.rcdefaults()
        run_examples.run(page, write=False)
        for drawn in sorted(Path().glob("gallery-*.png")):
            PIL.Image.open(drawn).convert("RGB").save(DOCS / drawn.name, optimize=True)
            print(f"{drawn.name}: {(DOCS / drawn.name).stat().st_size / 1000:.0f} kB")


DRAWN: tuple[Callable[[], None], ...] = (
    tutorial_members,
    tutorial_decision,
    tutorial_reference,
    tutorial_report,
    reading_profile,
    reading_regions,
    reading_inputs,
    members_before_after,
    gallery,
)

if __name__ == "__main__":
    for draw in DRAWN:
        if len(sys.argv) == 1 or draw.__name__.replace("_", "-") in sys.argv[1:]:
            draw()
