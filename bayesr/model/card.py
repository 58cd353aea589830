"""Model cards: the metadata of a model file as Markdown, without loading weights or torch.

Missing metadata is marked, so that no card looks more complete than it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bayesr.errors import InvalidArgument
from bayesr.model.attributions import lists, names, read
from bayesr.model.catalogue import locate, models
from bayesr.model.header import read_header, write_card
from bayesr.model.sections import read_sections
from bayesr.networks.stored import read_architecture

MISSING = "*not recorded*"
TEXTS = ("use", "limits", "domain", "data", "licence", "attributions", "settings", "hardware")
"""Texts that `store_text` writes."""
_TRAINING = {"recipe", "settings", "steps", "seconds", "device", "hardware", "processes", "seed", "commit", "start"}
_OWN_ROWS = _TRAINING | {"domain", "use", "limits", "licence", "data", "images", "parameters", "scores", "attributions"}
_INTRODUCTION = """# Models

This page is generated from the bundled model files by `bayesr card --out docs/models.md`.
`bayesr models` lists the models, and `bayesr card MODEL` prints the card of any model file.
"""


def markdown(name_or_path: str | Path, level: int = 1) -> str:
    """Return the card of a model as Markdown.

    Parameters
    ----------
    name_or_path : str or Path
        The name of a bundled model, or a model file.
    level : int
        Level of the first heading.
    """
    path = locate(name_or_path)
    sections = read_sections(path)
    header, architecture = sections.header, read_architecture(sections.architecture)
    card: Mapping[str, Any] = header["card"]
    parts = [
        ("", f"**Intended use.** {_text(card.get('use'))}\n\n**Limits.** {_text(card.get('limits'))}"),
        (
            "",
            _facts(
                {
                    "domain": card.get("domain"),
                    "scale": f"x{architecture['scale']}",
                    "bands": f"{architecture['bands']} at once"
                    + (", any number one by one" if architecture["bands"] == 1 else ""),
                    "forward operator": header.get("observation"),
                    "values": header.get("value_scaling"),
                    "parameters": _number(card.get("parameters")),
                    "file": f"{path.stat().st_size / 2**20:.2f} MiB, weights as fp16",
                    "checksum of the weights": f"`{header['sha256']}`",
                    "range of influence of a pixel": f"at most {sections.halo} low-resolution pixels",
                }
            ),
        ),
        (
            "Data and licence",
            _facts(
                {"data": card.get("data"), "images": _number(card.get("images")), "licence": card.get("licence")}
                | ({"attributions": _attributions(path, card)} if lists(card) else {})
                | {name: value for name, value in card.items() if name not in _OWN_ROWS and value not in ("", {}, [])}
            ),
        ),
        ("Training", _training(card)),
        ("Architecture", _facts({k: v for k, v in architecture.items() if k not in ("scale", "bands")})),
        ("Calibration", _calibration(header.get("calibration") or {})),
        ("Out-of-distribution check", _inputs(header.get("inputs"))),
        ("Scores", _scores(card.get("scores") or {})),
    ]
    text = [f"{'#' * level} {path.stem}"]
    for title, body in parts:
        text += ([f"{'#' * (level + 1)} {title}"] if title else []) + [body]
    return "\n\n".join(text) + "\n"


def page(folder: Path) -> str:
    """Return the cards of all bundled models as one page, with the contact sheets ``NAME.png`` in `folder`."""
    infos = models()
    rows = [
        [
            f"[{info.name}](#{info.name})",
            info.domain or MISSING,
            f"x{info.scale}",
            str(info.bands),
            f"{info.parameters:,}",
            f"{info.bytes / 2**20:.1f} MiB",
        ]
        for info in infos
    ]
    text = [_INTRODUCTION, _table(["model", "domain", "scale", "bands", "parameters", "size"], rows) + "\n"]
    for info in infos:
        text.append(markdown(info.path, 2))
        if (folder / f"{info.name}.png").is_file():
            text.append(
                f"### Contact sheet\n\n![Input, mean, four members, standard deviation and truth of twelve crops]"
                f"({info.name}.png)\n"
            )
    return "\n".join(text)


def store_text(path: Path, name: str, text: str) -> None:
    """Write one of the `TEXTS` of a card into a model file."""
    if name not in TEXTS:
        raise InvalidArgument(f"A card has no text {name!r}: choose one of {', '.join(TEXTS)}.")
    write_card(path, {**read_header(path)["card"], name: text})


def store_scores(path: Path, scores: Mapping[str, Mapping[str, Any]]) -> None:
    """Write scores by data set into a model file; scores of other data sets are unchanged.

    Scores of the same images, n and seed are merged; others replace recorded ones: a row never mixes measurements.
    """
    card = read_header(path)["card"]
    merged: dict[str, Any] = dict(card.get("scores") or {})
    for name, new in scores.items():
        old = merged.get(name, {})
        same = all(old.get(key) == new.get(key) for key in ("images", "n", "seed"))
        merged[name] = {**(old if same else {}), **new}
    write_card(path, {**card, "scores": merged})


# -- sections --


def _attributions(path: Path, card: Mapping[str, Any]) -> str:
    """Say which lists of attributions there are, and how to see them."""
    found = ", ".join(
        f"{name} ({len(read(name)):,} images with source and licence)" if name in names() else name
        for name in lists(card)
    )
    bundled = path in (info.path for info in models())
    return f"{found}: `bayesr card {path.stem if bundled else path.name} --attributions` prints them"


def _training(card: Mapping[str, Any]) -> str:
    seconds, hardware = card.get("seconds"), card.get("hardware") or card.get("device")
    if hardware and card.get("processes", 1) > 1:
        hardware = f"{hardware}, {card['processes']} processes"
    return _facts(
        {
            "recipe": card.get("recipe"),
            **({"settings": card["settings"]} if card.get("settings") else {}),
            "stages": _stages(card.get("steps")),
            "time": None if seconds is None else f"{seconds / 60:,.0f} minutes",
            "hardware": hardware,
            "started from": _origin(card["start"]) if "start" in card else None,
            "seed": card.get("seed"),
            "commit": card.get("commit"),
        }
    )


def _stages(steps: Any) -> str | None:
    if isinstance(steps, Mapping):
        return ", ".join(f"{stage} {count:,} steps" for stage, count in steps.items())
    return f"{steps:,} steps" if steps else None


def _origin(start: Any) -> str:
    """Describe what training started from, recursively, up to a model that has a card of its own."""
    if not isinstance(start, Mapping) or not start:
        return str(start) if start else "random weights"
    if name := _name(start.get("sha256")):
        return f"{name}, `{start['sha256'][:12]}`: see its card"
    minutes = f"{start['seconds'] / 60:,.0f} minutes" if start.get("seconds") else ""
    hardware = _text(start["hardware"]) if start.get("hardware") else ""
    facts = [
        str(start.get("model") or start.get("checkpoint") or MISSING),
        f"`{start['sha256'][:12]}`" if start.get("sha256") else "",
        *(_text(start[name]) for name in ("recipe", "settings") if start.get(name)),
        _stages(start.get("steps")) or "",
        " on ".join(filter(None, (minutes, hardware))),
        *(f"{name}: {_text(start[name])}" for name in ("data", "licence", "attributions") if start.get(name)),
    ]
    text = ", ".join(fact for fact in facts if fact)
    return f"{text}; which started from {_origin(start['start'])}" if start.get("start") else text


def _name(sha256: str | None) -> str | None:
    """Return the name of the model that has these weights, or None."""
    infos = models() if sha256 else ()
    return next((info.name for info in infos if read_header(info.path)["sha256"] == sha256), None)


def _calibration(calibration: Mapping[str, Any]) -> str:
    if not calibration.get("missed"):
        return "Not calibrated: intervals assume a Gaussian with the raw standard deviation."
    provenance, tables = calibration.get("provenance") or {}, calibration.get("coverage") or {}
    facts = {
        "images": calibration.get("source"),
        "images for the intervals": f"{calibration['images']} of these, enough for levels up to "
        f"{calibration['images'] / (calibration['images'] + 1):.3f}",
        "members": ", ".join(map(str, provenance.get("members", calibration["missed"]))),
        "date": provenance.get("date"),
        "checksum of the calibrated weights": provenance.get("model_sha256") and f"`{provenance['model_sha256'][:12]}`",
    }
    if not tables:
        return _facts(facts) + f"\n\nEmpirical coverage: {MISSING}."
    columns = ("level", "coverage", "standard_error", "worst", "width")
    rows = [
        [f"{value:.3g}" if value is not None else "–" for value in row]
        for row in zip(*(tables[name] for name in columns), strict=True)
        if row[0] in (0.5, 0.8, 0.9, 0.95, 0.99)
    ]
    introduction = (
        "Empirical coverage on images that fitted neither the factor nor the interval, "
        f"n = {tables.get('n')}; widths relative to `value_range`:"
    )
    names = ["level", "coverage", "standard error", "worst image", "width"]
    return f"{_facts(facts)}\n\n{introduction}\n\n{_table(names, rows)}"


def _inputs(inputs: Mapping[str, Any] | None) -> str:
    if not inputs:
        return "None: the model stores no statistics of its calibration images, so no input is reported."
    images = inputs.get("images")
    return f"Inputs are compared with statistics of {images or MISSING} calibration images before sampling."


def _scores(scores: Mapping[str, Mapping[str, Any]]) -> str:
    if not scores:
        return f"{MISSING.capitalize()}."
    about = ("images", "n", "seed")
    figures = list(dict.fromkeys(k for row in scores.values() for k in row))
    figures = [k for k in figures if k not in (*about, "estimators") and not k.endswith(" ±")]

    def cell(row: Mapping[str, Any], figure: str) -> str:
        value, error = row.get(figure), row.get(f"{figure} ±")
        return "–" if value is None else f"{value:.4g}" + (f" ± {error:.2g}" if error is not None else "")

    rows = [
        [name, *(str(row.get(k, "?")) for k in about), *(cell(row, figure) for figure in figures)]
        for name, row in scores.items()
    ]
    estimators = list(dict.fromkeys(row.get("estimators", "") for row in scores.values()))
    notes = "\n".join(f"- {text}." for text in estimators if text) or f"Estimators: {MISSING}."
    return f"{_table(['set', *about, *figures], rows)}\n\n{notes}"


# -- Markdown --


def _facts(facts: Mapping[str, Any]) -> str:
    return _table(["", ""], [[name, _text(value)] for name, value in facts.items()])


def _text(value: Any) -> str:
    if value is None or value == "" or value == []:
        return MISSING
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_text(part)}" for name, part in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_text(part) for part in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _number(value: Any) -> str | None:
    return f"{value:,}" if isinstance(value, int) else None


def _table(names: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    names = list(names)
    escaped = [[cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in (names, ["---"] * len(names), *escaped))
