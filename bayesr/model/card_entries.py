"""The entries of cards that are formatted or computed with; all other entries may be anything that JSON holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bayesr.calibration.plain import mapping, number, text, whole
from bayesr.errors import InvalidModel

_TEXTS = ("domain", "use", "limits", "licence", "recipe", "device", "commit")
_COUNTS = ("parameters", "images", "processes")


def check_card(card: Mapping[str, Any]) -> None:
    """Check the card of a model or a segmenter.

    Raises
    ------
    InvalidModel
        If an entry that is formatted or computed with is of another kind; the message names it.
    """
    present = {name: value for name, value in card.items() if value is not None}
    for name in _TEXTS:
        if not isinstance(present.get(name, ""), str | list):
            text(f"card.{name}", present[name])
    for name in _COUNTS:
        if name in present:
            whole(f"card.{name}", present[name])
    _check_origin("card", present)
    for data, row in mapping("card.scores", present.get("scores", {})).items():
        for figure, value in mapping(f"card.scores.{data}", row).items():
            if not (value is None or isinstance(value, str | bool)):
                _finite_or_nan(f"card.scores.{data}.{figure}", value)
    for name, value in mapping("card.held_out", present.get("held_out", {})).items():
        _finite_or_nan(f"card.held_out.{name}", value)


def _check_origin(name: str, entries: Mapping[str, Any]) -> None:
    """Check what a training and each that it started from say about themselves."""
    steps = entries.get("steps")
    for stage, count in steps.items() if isinstance(steps, Mapping) else [("steps", 0 if steps is None else steps)]:
        whole(f"{name}.steps.{stage}", count)
    if entries.get("seconds") is not None:
        number(f"{name}.seconds", entries["seconds"], 0)
    for entry in ("sha256", "attributions"):
        if not isinstance(entries.get(entry, ""), str):
            raise InvalidModel(f"{name}.{entry} must be a text.")
    start = entries.get("start")
    if isinstance(start, Mapping):
        _check_origin(f"{name}.start", start)


def _finite_or_nan(name: str, value: Any) -> None:
    if value == value:  # NaN is a score that could not be measured
        number(name, value)
