"""Compare what bayesr reads, and what its members show, with what independent readers say of many files.

    bayesr bench reading

Files of many layouts are written with the libraries that people use. Each is read by another reader than bayesr, and
sampled. Compared are values (scale, offset and photometry applied), missing pixels, bounds or transform or ground
control points, CRS, units, and the type of the numbers. The forward operator of every member must give the image again.
A row says "equal", "refused" with the message where the file must be refused, or "DIFFERS" with the differences. The
exit status is 1 if any file differs. Layouts that need a library that is not installed are skipped, by name:
pip install 'bayesr[geo]' installs those that most of them need.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import click

from bayesr.errors import InvalidArgument
from bayesr_bench.harness import Result, option, table
from bayesr_bench.options import NEW_FOLDER
from bayesr_bench.reading import LAYOUTS
from bayesr_bench.reading.comparison import outcome
from bayesr_bench.reading.layout import Layout
from bayesr_bench.record import versions_of

PACKAGES = ("rasterio", "rioxarray", "pyproj", "tifffile", "imagecodecs", "pillow", "xarray", "netCDF4", "zarr")
"""The libraries that write and read the files."""


def row_of(layout: Layout, folder: Path) -> dict[str, Any]:
    """Write the file of a layout below a folder, and return its row."""
    row = {"layout": layout.name, "written by": layout.written_by, "read by": layout.read_by, "right": layout.expected}
    if layout.lacking:
        return {**row, "outcome": f"skipped: {', '.join(layout.lacking)} is not installed"}
    path = layout.written(folder)
    # The folder of this run helps nobody.
    return {**row, "outcome": outcome(layout, path).replace(f"{path.parent}/", "")}


def counted(rows: Sequence[dict[str, Any]]) -> str:
    """Return the number of files by outcome."""
    counts = Counter(row["outcome"].partition(":")[0] for row in rows)
    kinds = (("equal", "equal"), ("refused", "refused as they must or may be"), ("DIFFERS", "differ"))
    said = [f"{counts[kind]} {words}" for kind, words in kinds]
    return f"{len(rows) - counts['skipped']} files: {', '.join(said)}; layouts skipped: {counts['skipped']}"


def chosen(words: Sequence[str]) -> list[Layout]:
    """Return the layouts whose name holds one of some words; all if there are none."""
    found = [one for one in LAYOUTS if not words or any(word.lower() in one.name.lower() for word in words)]
    if not found:
        raise InvalidArgument(f"No layout has {', '.join(words)} in its name: call without --layout to list all.")
    return found


@table(
    estimators="values to 1e-5 of the range, the forward operator of members to 0.5% of it, bounds to 1e-6 pixels",
    n=2,
)
def command(
    layouts: Annotated[
        tuple[str, ...], option("--layout", help="Only layouts with this in their name; may be repeated.")
    ] = (),
    files: Annotated[
        Path | None, option("--files", type=NEW_FOLDER, help="Folder to keep the files in, which must not exist.")
    ] = None,
) -> Iterator[Result]:
    """Return one row per layout, and end with status 1 if any file differs."""
    if files is not None and files.exists():
        raise InvalidArgument(f"{files} exists: name a folder that does not, or remove it.")
    wanted = chosen(layouts)
    with tempfile.TemporaryDirectory() as scratch:
        rows = [row_of(layout, files or Path(scratch)) for layout in wanted]
    yield Result(rows, {"written and read with": versions_of(PACKAGES), "counts": counted(rows)})
    fail_if_any_differs(rows)


def fail_if_any_differs(rows: Sequence[dict[str, Any]]) -> None:
    """End with exit status 1, and the differences, if a file differs.

    Raises
    ------
    click.ClickException
    """
    differing = [f"{row['layout']}: {row['outcome']}" for row in rows if row["outcome"].startswith("DIFFERS")]
    if differing:
        raise click.ClickException("\n".join([f"{len(differing)} of {len(rows)} files differ:", *differing]))
