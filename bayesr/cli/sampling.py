"""Commands that write a product, and work on its store."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import bayesr
from bayesr.cli import many
from bayesr.cli import options as shared
from bayesr.errors import StoreExists
from bayesr.files import make_folder, write_atomically

if TYPE_CHECKING:
    import xarray as xr


@click.command(
    cls=shared.ValueRangeCommand,
    epilog=shared.examples(
        "bayesr sample photo.png photo.zarr",
        "bayesr sample scene.tif mean.tif --model aerial-x4 -n 8",
        "bayesr sample 'scans/*.tif' products/",
    ),
)
@click.argument("images", metavar="IN...", nargs=-1, required=True)
@click.argument("out", metavar="OUT.zarr")
@shared.drawing
@shared.parallel
@click.option("--resume", is_flag=True, help="Complete an unfinished store; finished tiles are kept.")
@shared.dims
@click.option("--nodata", type=float, help="Value of missing pixels.")
@shared.value_range
@shared.forward_operator
@click.option("--tile", type=int, help="Side of a tile, in input pixels; a tile is a file of every variable.")
@click.option("--variables", help="Variables to write, such as mean,std; all by default.")
@click.option("--keepbits", type=int, help="Bits of the significand to keep, 1 to 23; all by default.")
@click.option("--shards/--no-shards", default=None, help="Write shards of Zarr; by default for several tiles.")
@click.option(
    "--format", "suffix", help="Format of results in a folder OUT/: png, tif, nc, ome.zarr or zarr, the default."
)
def sample(images: tuple[str, ...], out: str, suffix: str | None, variables: str | None, **options: Any) -> None:
    """Draw members of the image IN and write the product to OUT.

    OUT.zarr, a path or a URL, is a store, which is written tile by tile and can be extended. OUT.png is a picture of
    the mean; OUT.tif a GeoTIFF, OUT.nc a NetCDF file and OUT.ome.zarr an image for microscopy, of all maps.

    Several images, a folder or a pattern are written to a folder: bayesr sample A.png 'scans/*.tif' OUT/ makes
    OUT/A.zarr and one store for each scan; --format changes it. An image that fails does not end the others, and
    --resume continues.
    """
    names = variables.split(",") if variables is not None else None
    if many.is_many(images, out):
        _sample_many(images, out, suffix or "zarr", options | {"variables": names})
        return
    if suffix is not None:
        raise click.UsageError(f"--format is for results in a folder, OUT/, and {out} has a suffix for it.")
    if "://" not in out and (out.lower().endswith(".ome.zarr") or Path(out).suffix.lower() not in ("", ".zarr")):
        _check_file_options(options, "resume")
        _check_file(images[0], Path(out), options)
        ds = _sample_to_file(images[0], Path(out), options | {"variables": names})
    else:
        with _resumable("the same command and --resume"):
            ds = _sample_to_store(images[0], out, options | {"variables": names})
    _summarise(ds, out)


def _sample_to_store(img: str, out: str, options: Mapping[str, Any]) -> xr.Dataset:
    given = shared.cluster_of(options)
    given["keep_samples"] = given["keep_samples"] or None  # --variables may ask for samples, too
    return bayesr.sample(img, given.pop("n"), store=out, progress=True, **given)


def _check_file_options(options: Mapping[str, Any], *flags: str) -> None:
    given = [name for name in ("workers", "cluster", "keepbits", "shards") if options[name] is not None]
    for name in (*given, *(flag for flag in flags if options[flag])):
        raise click.UsageError(f"--{name} is for stores: name the product OUT.zarr, and export it afterwards.")


def _check_file(img: str, out: Path, options: Mapping[str, Any]) -> None:
    """Check, before any work, that the product of an image can be written to a file."""
    from bayesr.exporting.writing import suffix_of  # slow to import
    from bayesr.images import leading, source  # slow to import

    suffix = suffix_of(out, of_values=True)
    shared.require_folder(out)
    if out.is_dir():
        raise click.UsageError(f"{out} is a folder, and is not replaced: remove it, or use another name.")
    if out.exists() and not options["overwrite"]:
        raise click.UsageError(f"{out} exists: use --overwrite, or another name.")
    many.require_format(leading(source(img, options["dims"], stack=True)), suffix)


def _sample_to_file(img: str, out: Path, options: Mapping[str, Any]) -> xr.Dataset:
    """Sample an image in memory, and export the product."""
    given = {name: value for name, value in options.items() if name not in _OF_STORES}
    overwrite = given.pop("overwrite")
    ds = bayesr.sample(img, given.pop("n"), progress=True, **given)
    bayesr.export(ds, out, variables=given["variables"], overwrite=overwrite)
    return ds


_OF_STORES = ("workers", "cluster", "resume", "keepbits", "shards")
"""Options that products in memory do not have."""


def _sample_many(images: Sequence[str], out: str, suffix: str, options: dict[str, Any]) -> None:
    """Sample images into a folder, after all that can be refused was refused."""
    from bayesr.exporting.writing import suffix_of  # slow to import

    ending = "." + suffix.lower().removeprefix(".")
    suffix_of(Path("result" + ending), of_values=True)
    if ending != ".zarr":
        _check_file_options(options)
        if "://" in out:
            raise click.UsageError(f"Files of the format {suffix} are written to a local folder, not to {out}.")
    model = many.check_options(shared.cluster_of(options), stores=ending == ".zarr")
    found, problems = many.images_of(images)
    tasks, colliding = many.tasks_of(found, out, ending)
    problems += colliding
    problems += many.places(out, images, tasks, overwrite=options["overwrite"], resume=options["resume"])
    problems += many.unreadable(tasks, model, options)
    many.refuse(problems)
    if "://" not in out:
        Path(out).mkdir(exist_ok=True)
    resume = options["resume"]

    def one(task: many.Task) -> str:
        present = task.exists
        if not task.is_store and present and resume:
            return "exists, and is kept"
        if task.is_store:
            ds = _sample_to_store(task.img, task.out, options | {"resume": resume and present})
        else:
            ds = _sample_to_file(task.img, Path(task.out), options)
        return f"{_sizes(ds)}; the input: {ds.attrs['input_check']}"

    with _resumable("the same command and --resume"):
        many.run(tasks, one)


@click.command(epilog=shared.examples("bayesr demo", "bayesr demo demo.zarr -n 8 --overwrite"))
@click.argument("out", metavar="[OUT.zarr]", default="bayesr-demo.zarr")
@shared.drawing
def demo(out: str, **options: Any) -> None:
    """Sample a bundled photograph."""
    image = bayesr.examples.coffee()
    _summarise(bayesr.sample(image, options.pop("n"), store=out, progress=True, **options), out)


@click.command(epilog=shared.examples("bayesr examples images"))
@click.argument("folder", default=".", type=click.Path(path_type=Path, file_okay=False))
def examples(folder: Path) -> None:
    """Copy the bundled images to FOLDER, by default the current one, and print their paths.

    A FOLDER that does not exist is made. A file with one of their names and another content is not replaced.
    """
    bundled = bayesr.examples
    images = {folder / path.name: path.read_bytes() for path in (getattr(bundled, name)() for name in bundled.__all__)}
    other = [path for path, content in images.items() if path.exists() and not _holds(path, content)]
    if other:
        raise StoreExists(f"{other[0]} is already there, and is another file: choose another folder.")
    make_folder(folder)
    for path, content in images.items():
        if not path.exists():
            write_atomically(path, content)
        click.echo(path)


def _holds(path: Path, content: bytes) -> bool:
    """Return whether a file has a content."""
    return path.is_file() and path.stat().st_size == len(content) and path.read_bytes() == content


@click.command(epilog=shared.examples("bayesr extend photo.zarr -n 64"))
@click.argument("store", metavar="STORE.zarr")
@click.option("-n", type=int, required=True, help="New number of members, a multiple of the number of masks.")
@shared.redrawing
@shared.parallel
def extend(store: str, n: int, **options: Any) -> None:
    """Add members to a finished product; existing members are not drawn again."""
    with _resumable("the same command"):
        ds = bayesr.extend(store, n, progress=True, **shared.cluster_of(options))
    _summarise(ds, store)


@click.command(epilog=shared.examples("bayesr check photo.zarr", "bayesr check photo.zarr --repair"))
@click.argument("store", metavar="STORE.zarr")
@click.option("--repair", is_flag=True, help="Draw damaged tiles again, and only these.")
@click.option("--img", help="The image that was sampled, where the copy in the store is damaged.")
@shared.redrawing
@shared.parallel
@shared.as_json
def check(store: str, as_json: bool, **options: Any) -> None:
    """Compare every tile of a product with its recorded checksums.

    The exit status is 1 where tiles are damaged or missing, and not repaired.
    """
    report = bayesr.check(store, progress=True, **shared.cluster_of(options))
    if as_json:
        damaged = [{"tile": tile, "variables": found} for tile, found in report.damaged.items()]
        shared.print_json(vars(report) | {"sound": report.sound, "damaged": damaged})
    else:
        click.echo(str(report))
    if report.unfinished or report.repaired < len(report.damaged) or (report.image and not options["repair"]):
        raise SystemExit(1)


@contextmanager
def _resumable(command: str) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        click.echo(f"\nInterrupted. Finished tiles are kept: continue with {command}.", err=True)
        raise SystemExit(130) from None


_TAKEN = {
    "given": "as given",
    "minmax": "minimum and maximum of the image",
    "percentiles": "percentiles 0.1 and 99.9 of the image",
    "type": "of the type of the image",
    "unit": "unit",
}
"""What value ranges are, by the word that a product records."""


def _value_range(attrs: Mapping[str, Any]) -> str:
    """Describe the values that the network saw as 0 and 1, and where they come from, if that is recorded."""
    low, high = attrs["value_range"]
    taken = json.loads(attrs.get("input", "{}")).get("value_range")
    return f"{low:.10g} to {high:.10g}" + (f" ({_TAKEN.get(taken, taken)})" if isinstance(taken, str) else "")


def _sizes(ds: xr.Dataset) -> str:
    sizes = " x ".join(f"{size} {dim}" for dim, size in next(iter(ds.values())).sizes.items() if dim != "realization")
    return f"{ds.attrs['n']} members of {sizes}"


def _summarise(ds: xr.Dataset, out: str) -> None:
    click.echo(f"{_sizes(ds)}, model {ds.attrs['model']}")
    if "std" in ds:
        click.echo(f"mean of std: {float(ds['std'].mean()):.3g}; interval at level {ds.attrs['level']:g}")
    click.echo(f"value range: {_value_range(ds.attrs)}")
    click.echo(f"the input: {ds.attrs['input_check']}")
    click.echo(f"The product is at {out if '://' in out else Path(out).absolute()}")
    if "://" in out or Path(out).is_dir():
        click.echo(f"Open it with: xarray.open_zarr({out!r})")
