"""Commands that estimate an instrument's point-spread function and noise from its images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import bayesr
from bayesr.cli import options as shared

if TYPE_CHECKING:
    import xarray as xr

_plot = click.option("--plot", type=click.Path(path_type=Path), help="Draw the result to this image file.")
_out = click.option(
    "--out", type=click.Path(path_type=Path), help="Write the posterior to this Zarr store, for bayesr sample."
)
_level = click.option("--level", default=0.9, show_default=True, help="Level of the intervals.")


@click.group()
def observe() -> None:
    """Estimate an instrument's blur and noise from images."""


@observe.command()
@click.argument("image")
@click.option("--scale", default=1, show_default=True, help="Scale factor of a model that is to assume the result.")
@click.option("--psf", type=click.Choice(["gaussian", "airy", "measured"]), default="gaussian", show_default=True)
@_level
@_out
@_plot
def beads(image: str, out: Path | None, plot: Path | None, **options: Any) -> None:
    """Fit the point-spread function to an IMAGE of isolated beads."""
    shared.require_new(out)
    found = bayesr.observe.fit_beads(_plane(image), **options)
    _say("width of the point-spread function", found, "psf_width", "high-resolution pixels")
    click.echo(f"beads: {found.attrs['beads']}")
    _write(found, out)
    if plot is not None:
        _draw(plot, found["x"], found["width"], "x", "width of a bead")


@observe.command()
@click.argument("images", nargs=-1, required=True)
@click.option("--offset", default=0.0, show_default=True, help="Value without light.")
@_plot
def noise(images: tuple[str, ...], offset: float, plot: Path | None) -> None:
    """Estimate photon gain and read noise from an image, or from several IMAGES of one scene."""
    planes = [_plane(image) for image in images]
    found = bayesr.observe.estimate_noise(planes[0] if len(planes) == 1 else planes, offset=offset)
    _say("gain", found, "gain", "units per photoelectron")
    _say("read noise", found, "read_noise", "units of the image")
    if plot is not None:
        _draw(plot, found["signal"], found["variance"], "signal", "variance of the noise")


@observe.command()
@click.argument("low")
@click.argument("high")
@click.option("--psf", type=click.Choice(["gaussian", "airy"]), default="gaussian", show_default=True)
@_level
@click.option("--draws", default=1000, show_default=True, help="Number of draws.")
@shared.seed
@_out
@_plot
def fit(low: str, high: str, out: Path | None, plot: Path | None, **options: Any) -> None:
    """Sample the posterior of blur and noise, given registered images LOW and HIGH of one scene."""
    shared.require_new(out)
    found = bayesr.observe.fit(_planes(low), _planes(high), **options)
    _say("width of the point-spread function", found, "psf_width", "high-resolution pixels")
    _say("noise", found, "noise", "units of the images")
    click.echo(f"r-hat {found.attrs['r_hat']:.3f}, effective sample size {found.attrs['n_eff']:.0f}")
    _write(found, out)
    if plot is not None:
        _draw(plot, found["psf_width"], found["noise"], "width of the point-spread function", "noise")


def _write(found: xr.Dataset, out: Path | None) -> None:
    if out is None:
        return
    from bayesr.store import results  # slow to import

    results.write(found, str(out), overwrite=False)
    click.echo(f"The posterior is at {out.absolute()}: use it with bayesr sample --forward-operator")


def _planes(image: str) -> Any:
    """Read an image, `band x y x x`."""
    from bayesr import images  # slow to import

    return images.read(image).data.to_numpy()


def _plane(image: str) -> Any:
    planes = _planes(image)
    if len(planes) > 1:
        raise click.BadParameter(f"{image} has {len(planes)} bands: give an image of one.")
    return planes[0]


def _say(title: str, found: xr.Dataset, name: str, units: str) -> None:
    low, high = found.attrs[f"{name}_interval"]
    centre = found.attrs[name] if name in found.attrs else float(found[name].mean())
    click.echo(f"{title}: {centre:.4g} {units} ({found.attrs['level']:.0%} interval {low:.4g} to {high:.4g})")


def _draw(path: Path, x: Any, y: Any, across: str, up: str) -> None:
    try:
        from matplotlib.figure import Figure  # optional package
    except ImportError as error:
        raise click.ClickException("The plot needs matplotlib: pip install 'bayesr[report]'.") from error
    shared.require_folder(path)
    figure = Figure(figsize=(5, 4), layout="constrained")
    panel = figure.subplots()
    panel.plot(x, y, ".")
    panel.set(xlabel=across, ylabel=up)
    figure.savefig(path)
