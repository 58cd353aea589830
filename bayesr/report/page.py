"""One HTML file that needs nothing else: a template, its style, its scripts and its data, put together."""

from __future__ import annotations

import html
import json
import math
import os
import re
import tempfile
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from bayesr.errors import StoreFailed

POLICY = "default-src 'none'; img-src data: blob:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
"""What the browser is told to refuse: every address but that of the page itself. So nothing can leave it."""

SHARED = "bayesr.report"
"""The package whose assets all pages may use."""

_PLACE = re.compile(r"\{\{(style|script|data|title|policy)(?::([\w.-]+))?\}\}")


def page(template: str, data: Mapping[str, Any], title: str, *, assets: str = SHARED) -> str:
    """An asset template with all that it names inside, as one HTML string without any outside reference.

    Parameters
    ----------
    template : str
        The name of a file in a folder ``assets``. It says ``{{style}}`` for `base.css` and ``{{style:NAME.css}}`` for
        another style, ``{{script:NAME.js}}``, ``{{data}}``, ``{{title}}`` and ``{{policy}}``.
    data : mapping
        What scripts read with ``JSON.parse(document.getElementById("data").textContent)``. NaN and infinities become
        null, arrays lists.
    title : str
        Plain text.
    assets : str
        A package whose folder ``assets`` is searched first, before that of this package.

    Returns
    -------
    str
        Text from outside is escaped: no ``<`` of the data or the title ends a script or begins an element.
    """

    def put(found: re.Match[str]) -> str:
        kind, name = found.groups()
        if kind == "title":
            return html.escape(title)
        if kind == "policy":
            return f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        if kind == "style":
            return f"<style>\n{_asset(assets, name or 'base.css')}</style>"
        if kind == "script":
            return f"<script>\n{_asset(assets, name)}</script>"
        text = json.dumps(_plain(data), allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
        return f'<script type="application/json" id="data">{text}</script>'

    return _PLACE.sub(put, _asset(assets, template))  # in one pass: what is put in is never looked at again


def save(text: str, out: Path) -> Path:
    """Write a page in place of whatever file is there, whole or not at all.

    Raises
    ------
    StoreFailed
        When it cannot be written.
    """
    try:
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", dir=out.parent, suffix=".partial", delete=False
        ) as file:
            file.write(text)
        partial = Path(file.name)
        try:
            partial.chmod(0o666 & ~_umask())  # temporary files are private, pages are to be shown
            partial.replace(out)
        except OSError:
            partial.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise StoreFailed(f"{out} could not be written ({error}): choose another place with --out.") from error
    return out


def _umask() -> int:
    mask = os.umask(0)  # it cannot be read without being set
    os.umask(mask)
    return mask


def _asset(package: str, name: str) -> str:
    places = (files(one) / "assets" / name for one in dict.fromkeys((package, SHARED)))
    return next(place for place in places if place.is_file()).read_text("utf-8")


def _plain(value: Any) -> Any:
    """As JSON knows it."""
    if isinstance(value, Mapping):
        return {str(name): _plain(inner) for name, inner in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value
