"""Command ``bayesr report``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from bayesr.cli import options as shared
from bayesr.cli import plugins
from bayesr.errors import InvalidArgument


@click.command(
    epilog=shared.examples("bayesr report photo.zarr", "bayesr report photo.zarr --reference truth.png --out page.html")
)
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
@click.option("--reference", metavar="IMG", help="The ground truth, of the size of the product.")
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="FILE.html", help="The page to write; SOURCE.html by default."
)
@click.option("--img", help="The low-resolution image, where the product does not hold it.")
@shared.window
@shared.recorded_model
@click.option(
    "--redraw", type=click.IntRange(0), default=0, help="Number of members to draw again, where the store holds none."
)
def report(
    sources: tuple[str, ...], reference: str | None, out: Path | None, window: tuple[int, ...] | None, **options: Any
) -> None:
    """Write one self-contained HTML page.

    SOURCE is the store of a product: the page shows maps, members, a profile and, with --reference, errors and the
    empirical coverage of intervals. Or SOURCE is one or more recorded tables (.json), folders of them, or training
    histories (.jsonl).
    """
    unknown = [source for source in sources if not _is_table(source) and Path(source).is_file()]
    if unknown:
        raise InvalidArgument(
            f"{unknown[0]} is no store of a product (.zarr), recorded table (.json) or history (.jsonl)."
        )
    if all(map(_is_table, sources)):
        path = _tables(sources, out, {"reference": reference, "window": window, **options})
    else:
        path = _product(sources, out, reference, window, **options)
    click.echo(f"The page is at {path.absolute()} ({path.stat().st_size / 1e6:.1f} MB)")


def _product(
    sources: tuple[str, ...], out: Path | None, reference: str | None, window: tuple[int, ...] | None, **options: Any
) -> Path:
    from bayesr.report import write  # slow to import

    if len(sources) > 1:
        raise InvalidArgument(f"A page shows one product, not {len(sources)}: call report for each of them.")
    source = sources[0]
    name = Path(source.rstrip("/").rpartition("/")[2] if "://" in source else source)
    target = out or name.with_suffix(".html")
    return write(source, target, reference, window=shared.slices(window), progress=True, **options)


def _tables(sources: tuple[str, ...], out: Path | None, product_options: dict[str, Any]) -> Path:
    write = plugins.page("tables")
    if write is None:
        raise InvalidArgument(
            f"{sources[0]} is no product. Pages of recorded tables and histories are part of bayesr-bench, which"
            f" is not installed: {plugins.INSTALL}."
        )
    unused = [f"--{name}" for name, value in product_options.items() if value]
    if unused:
        raise InvalidArgument(
            f"{', '.join(unused)}: for products only, but {sources[0]} is recorded tables or histories."
        )
    paths = [Path(source) for source in sources]
    path: Path = write(paths, out or paths[0].absolute().with_suffix(".html"))
    return path


def _is_table(source: str) -> bool:
    """Whether the source is a table, a history, or a folder that is no Zarr group."""
    path = Path(source)
    if "://" in source or path.suffix == ".zarr":
        return False
    return path.suffix in (".json", ".jsonl") or (path.is_dir() and not (path / "zarr.json").exists())
