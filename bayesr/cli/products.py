"""Commands that read a product, or sample an image first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

import bayesr
from bayesr.cli import cells
from bayesr.cli import options as shared
from bayesr.files import write_atomically


@click.command(
    epilog=shared.examples(
        "bayesr export photo.zarr mean.png", "bayesr export photo.zarr maps.tif --variables mean,std"
    )
)
@click.argument("store", metavar="STORE.zarr")
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--variables", help="Variables to write, such as mean,std.")
@click.option("--member", type=int, help="Write this member instead.")
@click.option("--zarr-format", type=int, help="Version of a .zarr store, 2 or 3; GDAL before 3.12 reads 2 alone.")
@shared.overwrite
def export(store: str, out: Path, variables: str | None, **options: Any) -> None:
    """Write a product to OUT, a file that other programs open: .png, .tif, .qml, .nc, .zarr or .ome.zarr."""
    names = variables.split(",") if variables is not None else None
    bayesr.export(store, out, variables=names, **options)
    click.echo(f"{out.absolute()} is written")


@click.command(epilog=shared.examples("bayesr score photo.zarr truth.png"))
@click.argument("store", metavar="STORE.zarr")
@click.argument("reference")
@click.option("--out", type=click.Path(path_type=Path), help="A Zarr store for maps and figures.")
@shared.overwrite
@click.option("--img", help="The low-resolution image, where the store holds no members.")
@shared.recorded_model
@click.option("--dims", help='Names of the axes of REFERENCE where they are ambiguous: "yxb" or "byx".')
@click.option("--seed", default=0, show_default=True, help="Seed of the random numbers that break ties.")
@shared.noise
@shared.as_json
def score(store: str, reference: str, out: Path | None, overwrite: bool, as_json: bool, **options: Any) -> None:
    """Score the product STORE.zarr against the high-resolution image REFERENCE."""
    from bayesr.store.places import check  # slow to import

    if out is not None:
        check(str(out), 0, overwrite=overwrite, resume=False)
    scores = bayesr.score(store, reference, progress=True, **options)
    if out is not None:
        _to_zarr(scores, out, overwrite)
    if as_json:
        shared.print_json(_figures(scores) | _place(out))
        return
    _show_scores(scores)
    if out is not None:
        click.echo(f"The maps and curves are at {out.absolute()}")


def _figures(scores: Any) -> dict[str, Any]:
    """Return the figures of `bayesr.score` without its maps; those by level have one value for each of the levels."""
    chosen = {name: figure for name, figure in scores.data_vars.items() if figure.dims in ((), ("level",))}
    return {
        "n": scores.attrs["n"],
        "model": scores.attrs["model"],
        "level": scores["level"].values,
        "figures": {
            name: {
                "value": figure.values,
                "units": figure.attrs.get("units", "1"),
                "meaning": figure.attrs["long_name"],
                "by_level": figure.dims == ("level",),
            }
            for name, figure in chosen.items()
        },
    }


def _show_scores(scores: Any) -> None:
    from rich.console import Console  # slow to import
    from rich.table import Table  # slow to import

    table = Table("figure", "value", "meaning", title=f"n = {scores.attrs['n']}, {scores.attrs['model']}")
    for name, figure in scores.data_vars.items():
        units, meaning = figure.attrs.get("units", "1").removesuffix("1"), figure.attrs["long_name"]
        if figure.dims == ("level",):
            meaning += " at " + ", ".join(f"{level:g}" for level in figure["level"].values)
        if figure.dims in ((), ("level",)):
            table.add_row(str(name), ", ".join(f"{v:.4g}" for v in figure.values.flat) + f" {units}", meaning)
    Console().print(table)
    click.echo(f"check of the data: {scores.attrs['data_check']}")


@click.command(epilog=shared.examples("bayesr components photo.zarr -k 3 --window 120 144 300 324"))
@click.argument("source", metavar="STORE_OR_IMG")
@click.option("-k", default=4, show_default=True, help="Number of components, fewer than members.")
@shared.img_without_members
@shared.window
@click.option("--out", type=click.Path(path_type=Path), help="A Zarr store for images and scores.")
@shared.if_sampled
@shared.as_json
def components(
    source: str,
    k: int,
    img: str | None,
    window: tuple[int, ...] | None,
    out: Path | None,
    model: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Compute the K principal components of the members of a product's store, or of an image that is sampled first."""
    shared.require_new(out)
    part = shared.slices(window)
    ds = bayesr.components(source, k, img=img, window=part, model=model, progress=True, **shared.given(**options))
    if out is not None:
        _to_zarr(ds, out)
    if as_json:
        shared.print_json({"share": ds["share"].values} | _place(out))
        return
    click.echo(f"component  share of the variance ({ds['share'].attrs['comment']})")
    for i, share in enumerate(ds["share"].values):
        click.echo(f"{i:<9}  {share:.3f}")
    if out is not None:
        click.echo(f"The images and scores are at {out.absolute()}")


@click.command(
    epilog=shared.examples(
        "bayesr segment cells.zarr objects.zarr", "bayesr segment cells.png objects.zarr --model fluorescence-x4 -n 32"
    )
)
@click.argument("source", metavar="STORE_OR_IMG")
@click.argument("out", metavar="OUT.zarr", type=click.Path(path_type=Path))
@click.option(
    "--segmenter", default="nuclei", show_default=True, help="A bundled name, a segmenter file, otsu or watershed."
)
@shared.img_without_members
@shared.level
@shared.threshold
@shared.smallest
@click.option("--keep-members", is_flag=True, help="Write the probability and labels of every member, too.")
@shared.overwrite
@click.option("--resume", is_flag=True, help="Complete an unfinished store.")
@shared.if_sampled
@shared.as_json
def segment(
    source: str, out: Path, segmenter: str, n: int | None, seed: int | None, as_json: bool, **options: Any
) -> None:
    """Segment every member of a product's store, or of an image that is sampled first, and write OUT.zarr."""
    sampling = shared.given(n=n, seed=seed)
    ds = bayesr.segment(source, segmenter, store=out, progress=True, **options, **sampling)
    foreground = float(ds["probability"].mean())
    if as_json:
        counts = {name: float(ds[name]) for name in ("count", "count_lower", "count_upper") if name in ds}
        facts = {name: ds.attrs[name] for name in ("segmenter", "n", "level")}
        shared.print_json(facts | {"foreground": foreground} | counts | _place(out))
        return
    click.echo(f"segmenter {ds.attrs['segmenter']}, {ds.attrs['n']} members; foreground {foreground:.1%} of the pixels")
    if "count" in ds:
        lower, upper = float(ds["count_lower"]), float(ds["count_upper"])
        click.echo(
            f"{float(ds['count']):.1f} objects, {lower:g} to {upper:g} at level {options['level']:g}; "
            f"{int((ds['existence'] >= 0.5).sum())} exist in at least half of the members"
        )
    click.echo(f"The segmentation is at {out.absolute()}")
    click.echo(f"Open it with: xarray.open_zarr({str(out)!r})")


def _regions(ctx: click.Context, param: click.Parameter, value: str) -> Any:
    """Return the cells of a grid, such as 64 or 32x64; else the path."""
    sides = value.split("x")
    if len(sides) <= 2 and all(side.isdecimal() for side in sides):
        return int(value) if len(sides) == 1 else tuple(map(int, sides))
    return value


@click.command(
    epilog=shared.examples(
        "bayesr aggregate photo.zarr 64 --exceed 20", "bayesr aggregate photo.zarr fields.geojson --out fields.csv"
    )
)
@click.argument("source", metavar="STORE_OR_IMG")
@click.argument("regions", callback=_regions)
@click.option(
    "--statistic", type=click.Choice(["mean", "sum", "min", "max", "median", "share"]), default="mean",
    show_default=True, help="Statistic of the pixels of a region.",
)  # fmt: skip
@click.option("--threshold", type=float, help="For the share: the value that counted pixels exceed.")
@click.option("--exceed", type=float, help="Also report the probability that the statistic exceeds this value.")
@shared.level
@click.option(
    "--quantisation-step", type=float, help="Quantisation step of the values, where the product does not state it."
)
@click.option("--raw", is_flag=True, help="Use the members without calibration.")
@shared.img_without_members
@click.option("--out", type=click.Path(path_type=Path), help="A Zarr store, or a .csv file, to write.")
@shared.if_sampled
@shared.as_json
def aggregate(
    source: str, regions: Any, raw: bool, out: Path | None, n: int | None, seed: int | None, as_json: bool,
    **options: Any,
) -> None:  # fmt: skip
    """Compute a statistic of every region, with its interval, from a product's store or an image that is sampled first.

    REGIONS is an image of labels, a file of polygons (.geojson), or the side of grid cells in high-resolution pixels:
    64, or 32x64 (height x width).
    """
    shared.require_new(out)
    sampling = shared.given(n=n, seed=seed)
    ds = bayesr.aggregate(source, regions, calibrated=not raw, progress=True, **options, **sampling)
    table = ds.drop_dims("realization").to_dataframe()
    if out is not None and out.suffix == ".csv":
        plain = table.reset_index().map(lambda value: cells.cell(value) if isinstance(value, str) else value)
        write_atomically(out, plain.to_csv(index=False))
    elif out is not None:
        _to_zarr(ds, out)
    if as_json:
        rows = table.reset_index().to_dict("records")
        shared.print_json({name: ds.attrs[name] for name in ("statistic", "level")} | {"regions": rows} | _place(out))
        return
    click.echo(table.to_string(max_rows=40, float_format="{:.4g}".format))
    if out is not None:
        click.echo(f"The table is at {out.absolute()}")


def _place(out: Path | None) -> dict[str, str]:
    """Return where a result was written, for a JSON document."""
    return {} if out is None else {"out": str(out.absolute())}


def _to_zarr(ds: Any, out: Path, overwrite: bool = False) -> None:
    from bayesr.store import results  # slow to import

    results.write(ds, str(out), overwrite=overwrite)
