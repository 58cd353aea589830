"""Commands that read a product, or draw it first: ``score``, ``components``, ``segment``, ``aggregate``."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import click


@click.command()
@click.argument("store", metavar="STORE.zarr")
@click.argument("reference")
@click.option("--out", type=click.Path(path_type=Path), help="Write maps and figures to this Zarr store.")
@click.option("--overwrite", is_flag=True, help="Replace a store that is there.")
@click.option("--img", help="The low-resolution image, where the store holds no members.")
@click.option("--model", help="The model file, where it does not lie under its recorded name.")
@click.option("--dims", help='Names of the axes of REFERENCE where they are ambiguous: "yxb" or "byx".')
@click.option("--seed", default=0, show_default=True, help="Of the random numbers that break ties.")
def score(store: str, reference: str, out: Path | None, overwrite: bool, **options: Any) -> None:
    """Score the product STORE.zarr against the high-resolution image REFERENCE."""
    from rich.console import Console
    from rich.table import Table

    import bayesr
    from bayesr.store.places import check

    if out is not None:
        check(str(out), 0, overwrite=overwrite, resume=False)
    scores = bayesr.score(store, reference, progress=True, **options)
    table = Table("figure", "value", "what it is", title=f"n = {scores.attrs['n']}, {scores.attrs['model']}")
    for name, figure in scores.data_vars.items():
        units, meaning = figure.attrs.get("units", "1").removesuffix("1"), figure.attrs["long_name"]
        if figure.dims == ("level",):
            meaning += " at " + ", ".join(f"{level:g}" for level in figure["level"].values)
        if figure.dims in ((), ("level",)):
            table.add_row(str(name), ", ".join(f"{v:.4g}" for v in figure.values.flat) + f" {units}", meaning)
    Console().print(table)
    if out is not None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that consolidation is not in the Zarr v3 specification yet
            scores.to_zarr(out, mode="w" if overwrite else "w-")
        click.echo(f"Maps and curves lie at {out.absolute()}")


@click.command()
@click.argument("source", metavar="STORE_OR_IMG")
@click.option("-k", default=4, show_default=True, help="Components, fewer than members.")
@click.option("--img", help="The image that was sampled, for a store without members.")
@click.option("--window", type=(int, int, int, int), metavar="TOP BOTTOM LEFT RIGHT", help="High-resolution pixels.")
@click.option("--out", type=click.Path(path_type=Path), help="A Zarr store to write them to.")
@click.option("--model", help="A bundled name, or a model file.")
@click.option("-n", type=int, help="Members, for an image.")
@click.option("--seed", type=int, help="For an image.")
def components(
    source: str,
    k: int,
    img: str | None,
    window: tuple[int, ...] | None,
    out: Path | None,
    model: str | None,
    **options: Any,
) -> None:
    """The K ways in which the answer varies most, of a product's store or of an image that is sampled first."""
    import bayesr
    from bayesr.errors import StoreExists

    if out is not None and out.exists():
        raise StoreExists(f"{out} is already there: choose another name.")
    part = None if window is None else (slice(*window[:2]), slice(*window[2:]))
    given = {name: value for name, value in options.items() if value is not None}
    ds = bayesr.components(source, k, img=img, window=part, model=model, progress=True, **given)
    click.echo(f"component  share of the variance ({ds['share'].attrs['comment']})")
    for i, share in enumerate(ds["share"].values):
        click.echo(f"{i:<9}  {share:.3f}")
    if out is not None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that consolidation is not in the Zarr v3 specification yet
            ds.to_zarr(out, zarr_format=3)
        click.echo(f"Images and scores lie at {out.absolute()}")


@click.command()
@click.argument("source", metavar="STORE_OR_IMG")
@click.argument("out", metavar="OUT.zarr", type=click.Path(path_type=Path))
@click.option("--segmenter", default="nuclei", show_default=True, help="A name, a trained file, otsu or watershed.")
@click.option("--img", help="The image that was sampled, for a store without members.")
@click.option("--level", default=0.9, show_default=True, help="Of the intervals, in (0, 1).")
@click.option("--threshold", default=0.5, show_default=True, help="Probability from which on a pixel is foreground.")
@click.option("--smallest", default=0, show_default=True, help="Pixels below which a region is no object.")
@click.option("--keep-members", is_flag=True, help="Write every member's probability and labels too.")
@click.option("--overwrite", is_flag=True, help="Replace a store that is there.")
@click.option("--resume", is_flag=True, help="Go on with an unfinished store.")
@click.option("--model", help="A bundled name, or a model file.")
@click.option("-n", type=int, help="Members, for an image.")
@click.option("--seed", type=int, help="For an image.")
def segment(source: str, out: Path, segmenter: str, n: int | None, seed: int | None, **options: Any) -> None:
    """Segment every member of a product's store, or of an image that is sampled first, and write OUT.zarr."""
    import bayesr

    given: dict[str, Any] = {name: value for name, value in (("n", n), ("seed", seed)) if value is not None}
    ds = bayesr.segment(source, segmenter, store=out, progress=True, **options, **given)
    foreground = float(ds["probability"].mean())
    click.echo(f"segmenter {ds.attrs['segmenter']}, {ds.attrs['n']} members; foreground {foreground:.1%} of the pixels")
    if "count" in ds:
        lower, upper = float(ds["count_lower"]), float(ds["count_upper"])
        click.echo(
            f"{float(ds['count']):.1f} objects, {lower:g} to {upper:g} at level {options['level']:g}; "
            f"{int((ds['existence'] >= 0.5).sum())} that half of the members see"
        )
    click.echo(f"The segmentation lies at {out.absolute()}")
    click.echo(f"Open it with: xarray.open_zarr({str(out)!r})")


def _regions(ctx: click.Context, param: click.Parameter, value: str) -> Any:
    """A grid, as 64 or 32x64; else a path."""
    sides = value.split("x")
    if len(sides) <= 2 and all(side.isdecimal() for side in sides):
        return int(value) if len(sides) == 1 else tuple(map(int, sides))
    return value


@click.command()
@click.argument("source", metavar="STORE_OR_IMG")
@click.argument("regions", callback=_regions)
@click.option(
    "--statistic", type=click.Choice(["mean", "sum", "min", "max", "median", "share"]), default="mean",
    show_default=True,
)  # fmt: skip
@click.option("--threshold", type=float, help="Of the share: of pixels above it.")
@click.option("--exceed", type=float, help="Say how probably the statistic exceeds this.")
@click.option("--level", default=0.9, show_default=True, help="Of the interval, in (0, 1).")
@click.option("--quantum", type=float, help="Step of rounded values, where the product does not say it.")
@click.option("--raw", is_flag=True, help="Members as they are, not calibrated.")
@click.option("--img", help="The image that was sampled, for a store without members.")
@click.option("--out", type=click.Path(path_type=Path), help="A Zarr store, or a .csv file, to write.")
@click.option("--model", help="A bundled name, or a model file.")
@click.option("-n", type=int, help="Members, for an image.")
@click.option("--seed", type=int, help="For an image.")
def aggregate(
    source: str, regions: Any, raw: bool, out: Path | None, n: int | None, seed: int | None, **options: Any
) -> None:
    """A statistic of every region, with its interval, from a product's store, or an image that is sampled first.

    REGIONS is an image of labels, a file of polygons (.geojson), or the side of a grid's cells in high-resolution
    pixels: 64, or 32x64 (height x width).
    """
    import bayesr
    from bayesr.errors import StoreExists

    if out is not None and out.exists():
        raise StoreExists(f"{out} is already there: choose another name.")
    given: dict[str, Any] = {name: value for name, value in (("n", n), ("seed", seed)) if value is not None}
    ds = bayesr.aggregate(source, regions, calibrated=not raw, progress=True, **options, **given)
    table = ds.drop_dims("realization").to_dataframe()
    click.echo(table.to_string(max_rows=40, float_format="{:.4g}".format))
    if out is None:
        return
    if out.suffix == ".csv":
        table.to_csv(out)
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that consolidation is not in the Zarr v3 specification yet
            ds.to_zarr(out, zarr_format=3)
    click.echo(f"The table lies at {out.absolute()}")
