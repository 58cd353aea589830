"""PNG pictures: one variable as a person would look at it."""

from __future__ import annotations

import io
from pathlib import Path

import PIL.Image

from bayesr.exporting.selection import Selection
from bayesr.files import write_atomically


def write(chosen: Selection, path: Path) -> None:
    """Write the single variable of a selection as PNG, whole or not at all."""
    pixels = chosen.picture()
    file = io.BytesIO()
    PIL.Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(file, "PNG")
    write_atomically(path, file.getvalue())
