"""``bayesr rate``."""

from __future__ import annotations

import csv
import signal
from collections.abc import Sequence
from pathlib import Path

import click

Row = dict[str, object]

MEANING = (
    "MOS: mean of all scores, 1 (bad) to 5 (excellent); 1 to 5: how many of each. Intervals at 95%: of the MOS by the "
    "pigeonhole bootstrap over raters and images, of differences by the bootstrap over images, raters as they are. "
    "p: Wilcoxon's signed-rank test over images, corrected by Holm for all pairs."
)


@click.command()
@click.argument("systems", nargs=-1, metavar="SYSTEM=FOLDER...")
@click.option("--reference", type=click.Path(path_type=Path), help="Originals to calibrate the rater on, not rated.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="The CSV that ratings are added to.")
@click.option("--rater", default="anonymous", show_default=True, help="Who rates: ratings of one rater go on.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Of the order, with the rater.")
@click.option("--zoom", default=1, show_default=True, help="Screen pixels along the side of a pixel.")
@click.option("--scale", default=4, show_default=True, help="Of the nearest neighbour that is shown for a 1.")
@click.option("--port", default=0, show_default=True, help="Of the local page; 0 takes a free one.")
@click.option("--no-open", is_flag=True, help="Print the address and open no browser.")
@click.option(
    "--summary", type=click.Path(path_type=Path), metavar="CSV", help="Say what the ratings of CSV say, and end."
)
def rate(
    systems: tuple[str, ...],
    reference: Path | None,
    out: Path | None,
    rater: str,
    seed: int,
    zoom: int,
    scale: int,
    port: int,
    no_open: bool,
    summary: Path | None,
) -> None:
    """Rate images of several systems blind, from 1 (bad) to 5 (excellent), on a page of this machine.

    Each SYSTEM=FOLDER names a system and the folder of its images; all folders hold images of the same names and
    sizes. Ratings are written at once: the same command goes on where a rater was. To have the original rated as
    well, give it as a system.
    """
    from bayesr.errors import InvalidArgument

    if summary is not None:
        if systems:
            raise InvalidArgument("--summary takes the ratings alone: leave the systems out.")
        _summarise(summary)
        return
    if out is None:
        raise InvalidArgument("Say where ratings go: --out ratings.csv.")
    from bayesr_bench.rating.ratings import Sheet
    from bayesr_bench.rating.server import RatingServer, Sitting
    from bayesr_bench.rating.study import gather

    pictures = gather(_folders(systems))
    sitting = Sitting(pictures, Sheet(out, pictures, rater, seed), reference, scale, zoom)
    with RatingServer(sitting, port) as server:
        state = sitting.state()
        click.echo(f"{state['total']} images to rate, {state['done']} of them rated by {rater}; ratings go to {out}")
        click.echo(f"Rate at {server.url} (Ctrl-C ends; the same command goes on)")
        if not no_open:
            import webbrowser

            webbrowser.open(server.url)
        # What a script begins in the background ignores Ctrl-C; and who tells it to terminate has ratings too.
        for told in (signal.SIGINT, signal.SIGTERM):
            signal.signal(told, signal.default_int_handler)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            state = sitting.state()
            click.echo(f"\n{state['done']} of {state['total']} are rated. What they say: bayesr rate --summary {out}")


def _folders(systems: Sequence[str]) -> dict[str, Path]:
    from bayesr.errors import InvalidArgument

    folders: dict[str, Path] = {}
    for given in systems:
        name, equals, folder = given.partition("=")
        if not (name.strip() and name.isprintable() and equals and folder):
            raise InvalidArgument(f"{given!r} names no system: give NAME=FOLDER.")
        if name in folders:
            raise InvalidArgument(f"The system {name!r} is given twice.")
        folders[name] = Path(folder)
    return folders


def _summarise(path: Path) -> None:
    from bayesr_bench.rating.opinion import differences, opinions
    from bayesr_bench.rating.ratings import read

    ratings = read(path)
    scores: list[Row] = [
        {
            "system": o.system, "MOS": o.mos, "from": o.low, "to": o.high,
            "ratings": o.ratings, "raters": o.raters, "images": o.images,
        } | {str(score): count for score, count in enumerate(o.counts, 1)}
        for o in opinions(ratings)
    ]  # fmt: skip
    pairs: list[Row] = [
        {
            "first": c.first, "second": c.second, "images": c.images, "difference": c.difference,
            "from": c.low, "to": c.high, "effect": c.effect, "p": c.p, "p, Holm": c.p_holm,
        }
        for c in differences(ratings)
    ]  # fmt: skip
    for what, rows in (("mos", scores), ("differences", pairs)):
        if rows:
            _show(rows, path.with_name(f"{path.stem}-{what}.csv"))
    if not pairs and len(scores) > 1:
        click.echo("No differences: no rater has rated an image by all systems yet.")
    click.echo(MEANING)


def _show(rows: Sequence[Row], out: Path) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(*rows[0])
    for row in rows:
        table.add_row(*(f"{cell:#.3g}" if isinstance(cell, float) else str(cell) for cell in row.values()))
    Console().print(table)
    with open(out, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    click.echo(f"Written to {out}")
