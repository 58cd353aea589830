"""Pages to look at: a product, or recorded tables and histories, as one self-contained HTML file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

__all__ = ["write"]


def write(
    product_or_store: Any,
    out: str | os.PathLike[str],
    reference: Any = None,
    *,
    img: Any = None,
    window: tuple[slice, slice] | None = None,
    redraw: int = 0,
    model: Any = None,
    progress: bool | None = None,
) -> Path:
    """Write the page of a product: one HTML file of less than 8 MB that asks no address for anything.

    Of products of more than 1024 x 1024 pixels it shows block means, or a `window` as it is. Values are rounded to
    steps that the page states; members are lossy pictures, as many as there is room for.

    Parameters
    ----------
    product_or_store : Dataset or path
        A product of `bayesr.sample`, in memory or opened from its store, or the path or URL of that store, which also
        holds the low-resolution image.
    out : path
        The HTML file; one that is there is replaced.
    reference : path, ndarray, Tensor, PIL image or DataArray, optional
        The truth, as of `bayesr.score`: the page then shows errors, and how far intervals hold.
    img : path, ndarray, Tensor, PIL image or DataArray, optional
        The low-resolution image, where the product does not hold it. Its checksum is compared.
    window : pair of slice, optional
        Rows and columns in high-resolution pixels, widened to whole low-resolution pixels.
    redraw : int
        Draw the first so many members again where the product does not hold its members, from the image and the model.
    model : str, Path or Model, optional
        Where the model lies, if not under its recorded name: for members drawn again, and intervals at other levels.
    progress : bool, optional
        True shows a bar, or plain lines where there is no terminal; None a bar on a terminal only.

    Returns
    -------
    Path
        `out`.

    Raises
    ------
    StoreFailed
        When there is no store, it is not finished, or the page cannot be written.
    InvalidProduct
        When it is no product of `bayesr.sample`, or the image or the reference belongs to another one.
    InvalidArgument, BandMismatch
        When the reference has another size or other bands, or the window is empty.
    """
    from bayesr.report.describe import described
    from bayesr.report.page import page, save

    out = Path(out)
    options = {"img": img, "window": window, "redraw": redraw, "model": model, "progress": progress}
    data = described(product_or_store, reference, out, **options)
    return save(page("product.html", data, f"{data['title']} · bayesr"), out)
