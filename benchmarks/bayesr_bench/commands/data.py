"""``bayesr data``: the data sets that tables use."""

from __future__ import annotations

from pathlib import Path

import click

from bayesr.cli.options import examples


@click.group(epilog=examples("bayesr data list", "bayesr data fetch --help"))
def data() -> None:
    """List, fetch and verify data sets."""


def _folder(given: Path | None) -> Path | None:
    """Return the folder of data; None if there is none yet."""
    from bayesr.errors import DataNotFound  # start-up time
    from bayesr_bench.options import data_folder  # start-up time

    if given is not None:
        return data_folder(given)
    try:
        return data_folder()
    except DataNotFound:
        return None


_where = click.option(
    "--data", "folder", type=click.Path(path_type=Path),
    help="Folder of data.  [default: $BAYESR_DATA, else the folder of `bayesr data fetch`]",
)  # fmt: skip


@data.command("list", epilog=examples("bayesr data list"))
@_where
def show(folder: Path | None) -> None:
    """Show the name, size, licence and source of every set, and whether it is present."""
    from bayesr_bench.registry import known, place, verify  # start-up time

    root = _folder(folder)
    for name, one in known().items():
        state = "missing" if root is None else str(verify(one, place(one, root)))
        click.echo(f"{name} ({state}): {one.title}, {one.count} files, {one.bytes / 2**20:.1f} MiB")
        offered = "can be fetched" if one.addresses else f"cannot be fetched: {one.note}"
        for line in (one.about, f"licence: {one.licence}", f"from: {one.citation}; {one.source}", offered):
            click.echo(f"    {line}")
    click.echo(f"\nLooked in {root}." if root else "\nThere is no folder of data yet: see `bayesr data fetch --help`.")


@data.command(epilog=examples("bayesr data fetch set5 --to sets"))
@click.argument("names", nargs=-1)
@click.option(
    "--to", type=click.Path(path_type=Path, file_okay=False), help="Folder to write to, instead of the user's cache."
)
def fetch(names: tuple[str, ...], to: Path | None) -> None:
    """Download sets, by default all that are available, and check every file. Files that are present are kept.

    Sets are written to the folders bench and train of a cache folder, where tables look for them, or of --to.
    """
    from bayesr.files import make_folder  # start-up time
    from bayesr.progress import progress  # start-up time
    from bayesr_bench import registry  # start-up time
    from bayesr_bench.options import cache  # start-up time

    sets = registry.known()
    chosen = [registry.find(name, sets) for name in dict.fromkeys(names)]
    chosen = chosen or [one for one in sets.values() if one.addresses]
    root = cache() if to is None else to
    make_folder(root)
    for one in chosen:
        with progress(f"fetching {one.name}", one.count, None) as advance:
            place = registry.fetch(one, root, advance)
        click.echo(f"{one.name}: {one.count} files in {place}; licence: {one.licence}")


@data.command(epilog=examples("bayesr data verify set5"))
@click.argument("names", nargs=-1)
@_where
def verify(names: tuple[str, ...], folder: Path | None) -> None:
    """Compare sets in a folder, by default all that it holds, with their checksums."""
    from bayesr_bench import registry  # start-up time
    from bayesr_bench.options import data_folder  # start-up time

    root, sets = data_folder(folder), registry.known()
    chosen = [registry.find(name, sets) for name in dict.fromkeys(names)]
    chosen = chosen or [one for one in sets.values() if registry.place(one, root).is_dir()]
    for one in chosen:
        registry.check(one, registry.place(one, root))
        click.echo(f"{one.name}: all {one.count} files match the registry")
    if not chosen:
        click.echo(f"{root} holds none of the sets.")
