"""Self-contained HTML pages: a template with its styles, its scripts and its data in one file."""

from __future__ import annotations

import html
import json
import math
import re
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from bayesr.files import write_atomically

POLICY = "default-src 'none'; img-src data: blob:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
"""Content security policy: the browser refuses every address but that of the page, so no data can leave it."""

SHARED = "bayesr.report"
"""The package whose assets all pages can use."""

_PLACEHOLDER = re.compile(r"\{\{(style|script|data|title|policy|picture)(?::([\w.-]+))?\}\}")


def page(
    template: str,
    data: Mapping[str, Any],
    title: str,
    *,
    assets: str = SHARED,
    pictures: Mapping[str, str] | None = None,
) -> str:
    """Fill in a template, a file in a folder ``assets``, and return one HTML string without external references.

    Placeholders are ``{{style}}`` for `base.css`, ``{{style:NAME.css}}``, ``{{script:NAME.js}}``, ``{{data}}``,
    ``{{title}}``, ``{{policy}}``, and ``{{picture:NAME}}`` for the data URI of one of the `pictures`. Scripts read the
    data with ``JSON.parse(document.getElementById("data").textContent)``; NaN and infinities become null, and arrays
    become lists. Data and title, which is plain text, are escaped: no ``<`` in them ends a script or begins an element.
    The folder of the package `assets` is searched before that of this one.
    """

    def fill(match: re.Match[str]) -> str:
        kind, name = match.groups()
        if kind == "title":
            return html.escape(title)
        if kind == "picture":
            return html.escape((pictures or {}).get(name, "data:,"))
        if kind == "policy":
            return f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        if kind == "style":
            return f"<style>\n{_asset(assets, name or 'base.css')}</style>"
        if kind == "script":
            return f"<script>\n{_asset(assets, name)}</script>"
        text = json.dumps(_plain(data), allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
        return f'<script type="application/json" id="data">{text}</script>'

    return _PLACEHOLDER.sub(fill, _asset(assets, template))  # in one pass: inserted text is not searched again


def save(text: str, out: Path) -> Path:
    """Write a page and replace an existing file atomically.

    Raises
    ------
    StoreFailed
        When the page cannot be written.
    """
    write_atomically(out, text)
    return out


def _asset(package: str, name: str) -> str:
    places = (files(one) / "assets" / name for one in dict.fromkeys((package, SHARED)))
    return next(place for place in places if place.is_file()).read_text("utf-8")


def _plain(value: Any) -> Any:
    """Return a value with the types of JSON."""
    if isinstance(value, Mapping):
        return {str(name): _plain(inner) for name, inner in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value
