"""Report: a product as one self-contained HTML page."""

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
    """Write the page of a product: one self-contained HTML file of less than 8 MB.

    It shows block means of products of more than 1024 x 1024 pixels, or a `window` at full resolution. Values are
    rounded to steps that the page states. Members are lossy pictures, as many as there is room for.

    Parameters
    ----------
    product_or_store : Dataset or path
        A product of `bayesr.sample`, or the path or URL of its store, which also holds the low-resolution image.
    out : path
        The HTML file. An existing file is replaced.
    reference : path, ndarray, Tensor, PIL image or DataArray, optional
        The ground truth, as in `bayesr.score`, to show errors and the empirical coverage of intervals.
    img : path, ndarray, Tensor, PIL image or DataArray, optional
        The low-resolution image, where the product lacks it. Its checksum must agree.
    window : pair of slice, optional
        Rows and columns in high-resolution pixels, widened to whole low-resolution pixels.
    redraw : int
        Number of members to draw again, from the image and the model, where the product lacks them.
    model : str, Path or Model, optional
        The model, where its path differs from the recorded one, for members drawn again and intervals at other levels.
    progress : bool, optional
        True shows a progress bar, or plain lines without a terminal. None shows a bar on a terminal only.

    Returns
    -------
    Path
        `out`.

    Raises
    ------
    StoreFailed
        When the store does not exist or is not finished, or the page cannot be written.
    InvalidProduct
        When the Dataset is no product, or the image or the reference belongs to another one.
    InvalidArgument, BandMismatch
        When the reference has another size or other bands, the window is empty, or an argument is of another kind.
    """
    from bayesr.product import arguments  # slow to import
    from bayesr.report.describe import page_data  # slow to import
    from bayesr.report.page import page, save  # slow to import

    arguments.check({"model": model, "progress": progress}, optional=("model",))
    redraw = arguments.whole("redraw", redraw, "a whole number of members, 0 or more", 0)
    out, window = arguments.path("out", out), arguments.window("window", window)
    options = {"img": img, "window": window, "redraw": redraw, "model": model, "progress": progress}
    data = page_data(product_or_store, reference, out, **options)
    still = {"mean": data.pop("still")}
    return save(page("product.html", data, f"{data['title']} · bayesr", pictures=still), out)
