"""``bayesr rate``: mean-opinion-score tests on a local page, and their results."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import click

from bayesr.cli.options import examples

Row = dict[str, object]

MEANING = (
    "MOS: mean of all scores, 1 (bad) to 5 (excellent); 1 to 5: number of ratings with this score. 95% intervals: of "
    "the MOS by the pigeonhole bootstrap over raters and images, of differences by the bootstrap over images with "
    "fixed raters. p: Wilcoxon's signed-rank test over images, with Holm's correction for all pairs."
)


@click.command(epilog=examples("bayesr rate ours=members/ bicubic=bicubic/ --out ratings.csv"))
@click.argument("systems", nargs=-1, metavar="SYSTEM=FOLDER...")
@click.option(
    "--reference",
    type=click.Path(path_type=Path),
    help="Folder of originals that show the rater scores 1 and 5; they are not rated.",
)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="CSV to append ratings to.")
@click.option(
    "--rater", default="anonymous", show_default=True, help="Name of the rater, whose earlier ratings are continued."
)
@click.option(
    "--seed", default=0, show_default=True, type=click.IntRange(0), help="Seed of the order, together with the rater."
)
@click.option("--zoom", default=1, show_default=True, help="Screen pixels per image pixel along a side.")
@click.option(
    "--scale", default=4, show_default=True, help="Scale factor of the nearest-neighbour images that show score 1."
)
@click.option("--port", default=0, show_default=True, help="Port of the local page; 0 for any free one.")
@click.option("--no-open", is_flag=True, help="Print the address, and do not open a browser.")
@click.option(
    "--summary", type=click.Path(path_type=Path), metavar="CSV", help="Summarise the ratings in CSV, and exit."
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
    """Rate images of several systems blind, from 1 (bad) to 5 (excellent), on a local page.

    Each SYSTEM=FOLDER names a system and the folder of its images. All folders hold images of the same names and
    sizes. Every rating is saved at once, and the same command continues where the rater stopped. To have the originals
    rated too, give them as a system.
    """
    import signal  # start-up time

    from bayesr.errors import InvalidArgument  # start-up time

    if summary is not None:
        if systems:
            raise InvalidArgument("--summary needs the ratings only: leave the systems out.")
        _summarise(summary)
        return
    if out is None:
        raise InvalidArgument("Name the file for the ratings: --out ratings.csv.")
    from bayesr_bench.rating.ratings import RatingFile  # start-up time
    from bayesr_bench.rating.server import RatingServer  # start-up time
    from bayesr_bench.rating.session import Session  # start-up time
    from bayesr_bench.rating.study import gather  # start-up time

    pictures = gather(_folders(systems))
    session = Session(pictures, RatingFile(out, pictures, rater, seed), reference, scale, zoom)
    with RatingServer(session, port) as server, ExitStack() as stack:
        state = session.state()
        click.echo(f"{state['total']} images to rate, {state['done']} of them rated by {rater}; ratings go to {out}")
        click.echo(f"Rate at {server.url} (Ctrl-C ends; the same command continues)")
        # A process that a script starts in the background ignores SIGINT, and SIGTERM should end it as cleanly.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.default_int_handler)
        try:
            if not no_open:
                _open(server.url, stack)
            server.serve_forever()
        except KeyboardInterrupt:
            state = session.state()
            click.echo(f"\n{state['done']} of {state['total']} are rated. For the results: bayesr rate --summary {out}")


def _open(url: str, stack: ExitStack) -> None:
    """Open a browser, or say why not; `stack` removes what it needed."""
    import webbrowser  # start-up time

    try:
        webbrowser.open(stack.enter_context(_redirect(url)))
    except OSError as error:
        click.echo(f"No browser could be opened ({error}): open the address yourself.")


@contextmanager
def _redirect(url: str) -> Iterator[str]:
    """Write a file that leads a browser to `url`, which only its owner can read; yield its address.

    `url` contains the key of the page, and all users of a machine can read the arguments of a browser's process.
    """
    with tempfile.TemporaryDirectory(prefix="bayesr-rate-") as folder:
        path = Path(folder) / "rate.html"
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(f'<!doctype html><title>Rate</title><meta http-equiv="refresh" content="0; url={url}">\n')
        yield path.as_uri()


def _folders(systems: Sequence[str]) -> dict[str, Path]:
    from bayesr.errors import InvalidArgument  # start-up time

    folders: dict[str, Path] = {}
    for given in systems:
        name, equals, folder = given.partition("=")
        if not (name.strip() and name.isprintable() and equals and folder):
            raise InvalidArgument(f"{given!r} does not name a system: give NAME=FOLDER.")
        if name in folders:
            raise InvalidArgument(f"The system {name!r} is given twice.")
        folders[name] = Path(folder)
    return folders


def _summarise(path: Path) -> None:
    from bayesr.cli.cells import cell  # start-up time
    from bayesr_bench.rating.opinion import differences, opinions  # start-up time
    from bayesr_bench.rating.ratings import read  # start-up time

    ratings = read(path)
    scores: list[Row] = [
        {
            "system": cell(o.system), "MOS": o.mos, "from": o.low, "to": o.high,
            "ratings": o.ratings, "raters": o.raters, "images": o.images,
        } | {str(score): count for score, count in enumerate(o.counts, 1)}
        for o in opinions(ratings)
    ]  # fmt: skip
    pairs: list[Row] = [
        {
            "first": cell(c.first), "second": cell(c.second), "images": c.images, "difference": c.difference,
            "from": c.low, "to": c.high, "effect": c.effect, "p": c.p, "p, Holm": c.p_holm,
        }
        for c in differences(ratings)
    ]  # fmt: skip
    for kind, rows in (("mos", scores), ("differences", pairs)):
        if rows:
            _show(rows, path.with_name(f"{path.stem}-{kind}.csv"))
    if not pairs and len(scores) > 1:
        click.echo("There are no differences yet: no rater has rated an image of every system.")
    click.echo(MEANING)


def _show(rows: Sequence[Row], out: Path) -> None:
    from rich.console import Console  # start-up time
    from rich.table import Table  # start-up time

    from bayesr.files import write_atomically  # start-up time
    from bayesr_bench.recorded import as_csv  # start-up time

    table = Table(*rows[0])
    for row in rows:
        table.add_row(*(f"{cell:#.3g}" if isinstance(cell, float) else str(cell) for cell in row.values()))
    Console().print(table)
    write_atomically(out, as_csv(rows))
    click.echo(f"Written to {out}")
