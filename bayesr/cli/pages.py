"""``bayesr report``: pages to look at, of a product, or of recorded tables and training histories."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from bayesr.cli import plugins


@click.command()
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
@click.option("--reference", metavar="IMG", help="The truth, of the product's size: shows errors and coverage.")
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE.html", help="By default SOURCE with .html.")
@click.option("--img", help="The low-resolution image, where the product does not hold it.")
@click.option("--window", type=(int, int, int, int), metavar="TOP BOTTOM LEFT RIGHT", help="High-resolution pixels.")
@click.option("--model", help="The model file, where it does not lie under its recorded name.")
@click.option("--redraw", type=click.IntRange(0), default=0, help="Draw so many members again, where none are held.")
def report(
    sources: tuple[str, ...], reference: str | None, out: Path | None, window: tuple[int, ...] | None, **options: Any
) -> None:
    """Write one HTML file to look at, which asks no address for anything.

    SOURCE is the store of a product: maps, members, a profile and, with --reference, how far its intervals hold. Or it
    is recorded tables (.json), a folder of them, or training histories (.jsonl), as many as there are.
    """
    from bayesr.errors import InvalidArgument

    wrong = [one for one in sources if not _is_table(one) and Path(one).is_file()]
    if wrong:
        raise InvalidArgument(
            f"{wrong[0]} is no store of a product (.zarr), recorded table (.json) or history (.jsonl)."
        )
    if not all(map(_is_table, sources)):
        from bayesr import report as pages

        if len(sources) > 1:
            raise InvalidArgument(f"A page shows one product, not {len(sources)}: call report for each of them.")
        source = sources[0]
        part = None if window is None else (slice(*window[:2]), slice(*window[2:]))
        target = out or Path(f"{source.rstrip('/').rpartition('/')[2] if '://' in source else Path(source)}")
        target = target if out else target.with_suffix(".html")
        path = pages.write(source, target, reference, window=part, progress=True, **options)
    else:
        write = plugins.page("tables")
        if write is None:
            raise InvalidArgument(
                f"{sources[0]} is no product. Pages of recorded tables and histories are part of bayesr-bench, which"
                f" is not installed: {plugins.INSTALL}."
            )
        given = {"reference": reference, "window": window, **options}
        wrong = [f"--{name}" for name, value in given.items() if value]
        if wrong:
            raise InvalidArgument(f"{', '.join(wrong)}: of products, and {sources[0]} is recorded tables or histories.")
        paths = [Path(source) for source in sources]
        path = write(paths, out or paths[0].absolute().with_suffix(".html"))
    click.echo(f"The page lies at {path.absolute()} ({path.stat().st_size / 1e6:.1f} MB)")


def _is_table(source: str) -> bool:
    """Whether it is no store: a table, a history, or a folder that is no Zarr group."""
    path = Path(source)
    if "://" in source or path.suffix == ".zarr":
        return False
    return path.suffix in (".json", ".jsonl") or (path.is_dir() and not (path / "zarr.json").exists())
