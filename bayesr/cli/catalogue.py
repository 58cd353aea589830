"""Commands that list and describe models, and write them for other programs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import bayesr
from bayesr.cli import options as shared
from bayesr.files import write_atomically

if TYPE_CHECKING:
    from rich.table import Table

    from bayesr.model.catalogue import ModelInfo
    from bayesr.segmentation.catalogue import SegmenterInfo


@click.command(epilog=shared.examples("bayesr models", "bayesr models --json"))
@shared.as_json
def models(as_json: bool) -> None:
    """List the models and segmenters that have names: of bayesr, and of other distributions."""
    from rich.console import Console  # slow to import

    from bayesr.segmentation.catalogue import segmenters  # slow to import

    infos, known = bayesr.models(), segmenters()
    if as_json:
        described = {info.name: {**info.card, **asdict(info)} for info in known}
        for one in described.values():
            del one["name"], one["card"]  # the one is the key, and the entries of the other are beside
        shared.print_json({"models": [asdict(info) for info in infos], "segmenters": described})
        return
    Console().print(_table_of_models(infos))
    Console().print(_table_of_segmenters(known))


def _table_of_models(infos: Iterable[ModelInfo]) -> Table:
    from rich.table import Table  # slow to import

    table = Table("name", "domain", "scale", "bands", "parameters", "size", "PSNR, fair CRPS of the mean of n")
    for info in infos:
        scores = "\n".join(
            f"{name}: {value['PSNR']:.2f} dB, {value['fair CRPS']:.2f}" + (f", n={value['n']}" if "n" in value else "")
            for name, value in info.scores.items()
            if "PSNR" in value and "fair CRPS" in value
        )
        size = f"{info.bytes / 2**20:.1f} MiB"
        table.add_row(info.name, info.domain, f"x{info.scale}", str(info.bands), f"{info.parameters:,}", size, scores)
    return table


def _table_of_segmenters(infos: Iterable[SegmenterInfo]) -> Table:
    from rich.markup import escape  # slow to import
    from rich.table import Table  # slow to import

    table = Table(
        "segmenter", "from", "trained on, or what it does", "inputs", "parameters", "scores on held-out images"
    )
    for info in infos:
        held_out, count = info.card.get("held_out") or {}, info.card.get("parameters")
        scores = ", ".join(f"{k} {v:.3f}" for k, v in held_out.items() if k != "cases")
        parameters = "" if count is None else f"{count:,}"
        texts = (info.name, info.source, info.description, " + ".join(info.inputs), parameters, scores)
        table.add_row(*map(escape, texts))
    return table


@click.command(epilog=shared.examples("bayesr card natural-x4", "bayesr card mine.safetensors --set licence CC-BY-4.0"))
@click.argument("model", required=False)
@click.option("--out", type=click.Path(path_type=Path), help="The Markdown file to write; standard output by default.")
@click.option(
    "--set", "texts", type=(str, str), multiple=True, metavar="NAME TEXT",
    help="First write a text into the model file: use, limits, domain, data, licence, attributions, settings or "
    "hardware.",
)  # fmt: skip
@click.option(
    "--attributions", is_flag=True,
    help="Print a table of the training images instead, as CSV: source and licence of each.",
)  # fmt: skip
@shared.as_json
def card(
    model: str | None, out: Path | None, texts: tuple[tuple[str, str], ...], attributions: bool, as_json: bool
) -> None:
    """Print the card of MODEL as Markdown, or, without MODEL, the cards of all bundled models on one page."""
    from bayesr.model.attributions import table  # slow to import
    from bayesr.model.card import markdown, page, store_text  # slow to import
    from bayesr.model.catalogue import locate  # slow to import
    from bayesr.model.header import read_header  # slow to import

    if as_json and (out or attributions):
        raise click.UsageError("--json prints to standard output: leave out --out and --attributions.")
    if model is None:
        if texts or attributions:
            raise click.UsageError("--set and --attributions need a model: bayesr card MODEL ...")
        content = page(out.parent if out else Path())
    else:
        for name, text in texts:
            store_text(locate(model), name, text)
        content = table(read_header(locate(model))["card"]) if attributions else markdown(model)
    if as_json:
        shared.print_json(_facts(locate(model)) if model else [_facts(info.path) for info in bayesr.models()])
        return
    if not content:
        raise click.ClickException(f"The card of {model} names no list of attributions.")
    if out is None:
        click.echo(content, nl=False)
        return
    write_atomically(out, content)
    click.echo(f"The {'table' if attributions else 'card'} is at {out.absolute()}")


@click.command(
    "export-model",
    epilog=shared.examples("bayesr export-model natural-x4-fast onnx", "bayesr export-model fluorescence-x4 model.zip"),
)
@click.argument("model")
@click.argument("out", metavar="FOLDER|OUT.zip", type=click.Path(path_type=Path))
@click.option(
    "--size", type=(int, int), metavar="HEIGHT WIDTH",
    help="Size of all images, in pixels; any by default, and 64 64 for OUT.zip.",
)  # fmt: skip
@shared.overwrite
def export_model(model: str, out: Path, size: tuple[int, int] | None, overwrite: bool) -> None:
    """Write MODEL for other programs: the network as two ONNX graphs, or a package of the BioImage Model Zoo.

    FOLDER then holds backbone.onnx and head.onnx; OUT.zip is a package.
    """
    if out.suffix.lower() == ".zip":
        from bayesr.exporting import bioimage  # slow to import

        paths = [bioimage.write(bayesr.load(model), out, size=size or (64, 64), overwrite=overwrite)]
    else:
        paths = bayesr.load(model).to_onnx(out, size=size, overwrite=overwrite)
    for path in paths:
        click.echo(f"{path.absolute()}")


def _facts(path: Path) -> dict[str, Any]:
    """Return what a model file states of itself, without the curves of its calibration."""
    from bayesr.model.header import read_header  # slow to import
    from bayesr.networks.stored import read_architecture  # slow to import

    header = read_header(path)
    calibration = header.get("calibration") or {}
    kept = ("images", "source", "provenance", "coverage")
    return {
        "name": path.stem,
        "sha256": header.get("sha256"),
        "architecture": read_architecture(header.get("architecture") or {}),
        "forward_operator": header.get("observation"),
        "card": header.get("card"),
        "calibration": {name: calibration[name] for name in kept if name in calibration},
    }
