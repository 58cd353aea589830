"""Figures that are kept in a file while a long table runs, so that a run that was interrupted can go on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bayesr.files import append_atomically, make_folder

Figures = dict[str, Any]


class Kept:
    """Figures by key, one line of JSON each.

    Parameters
    ----------
    file : Path or None
        The file, which need not exist. None keeps figures in memory only.
    """

    def __init__(self, file: Path | None) -> None:
        self.file = file
        self._known: dict[str, Figures] = {}
        if file is None:
            return
        make_folder(file.parent)
        text = file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""
        for line in text.splitlines():
            try:
                entry = json.loads(line)
                self._known[entry["key"]] = dict(entry["figures"])
            except (ValueError, KeyError, TypeError):
                continue  # cut short, when a run was killed
        if text and not text.endswith("\n"):
            append_atomically(file, "\n")

    def figures(
        self, key: str, measure: Callable[[], Figures], final: Callable[[Figures], bool] = lambda found: True
    ) -> Figures:
        """Return the figures with a key, which states all that they depend on. They are measured if not known.

        Figures that are not `final` are not kept: the next run measures them again.
        """
        if key not in self._known:
            found = measure()
            if not final(found):
                return found
            if self.file is not None:
                append_atomically(self.file, json.dumps({"key": key, "figures": found}) + "\n")
            self._known[key] = found
        return self._known[key]
