"""What the table of published networks shows: which system is best by each figure, and which aims of bayesr hold."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from bayesr_bench.figures import merit

REALISM = 0.5
KINDS = ("", "member ", f"realism {REALISM:g}: ")
"""Beginnings of the figures of the mean or output, of members, and of displays."""
CONSISTENT = 58.0
"""LR-PSNR of every member that bayesr promises, in dB."""
STRONGEST, BEHIND, SHARE = "DAT-light", 0.3, 0.1
"""The network of the highest PSNR, and the aim: how far the mean may be behind, in dB, in which share of its time."""

Row = dict[str, Any]


def winners(rows: Sequence[Row]) -> dict[str, str]:
    """Return, for each set, which system is best by each figure; of LPIPS, which of its images."""
    found = {}
    for name in dict.fromkeys(row["set"] for row in rows):
        here, said = [row for row in rows if row["set"] == name], []
        for figure in ("PSNR-Y", "SSIM", "LPIPS", "LPIPS VGG", "CRPS", "LR-PSNR"):
            better = merit(figure)
            known = [
                (row[kind + figure], row["system"], kind) for row in here for kind in KINDS if kind + figure in row
            ]
            known = [one for one in known if not math.isnan(one[0])]
            if known and better is not None:
                value, system, kind = max(known, key=lambda one: better(one[0]))
                shown = f", {kind.strip(' :')}" if kind else ""
                said.append(f"{figure} {value:.4g}, {system}{shown}")
        found[f"best on {name}"] = "; ".join(said)
    return found


def aims(rows: Sequence[Row], models: Sequence[str], networks: Sequence[str], n: int) -> dict[str, str]:
    """Return for each aim of bayesr whether it holds, set by set.

    Parameters
    ----------
    rows : sequence of dict
    models, networks : sequence of str
        Labels of bayesr's models, and of published networks.
    n : int
        Number of members; the time of the mean is that of all of them.
    """
    found: dict[str, list[str]] = {}
    for row in rows:
        if row["system"] not in models:
            continue
        others = [other for other in rows if other["set"] == row["set"] and other["system"] in networks]
        said = {}
        judged = [other for other in others if "LPIPS" in other]
        if judged and "member LPIPS" in row:
            least = min(judged, key=lambda other: float(other["LPIPS"]))
            said["LPIPS of a member below every published network's"] = (
                row["member LPIPS"] < least["LPIPS"],
                f"{row['member LPIPS']:.4f}, {least['system']} {least['LPIPS']:.4f}",
            )
        said[f"LR-PSNR of {CONSISTENT:g} dB"] = row["LR-PSNR"] >= CONSISTENT, f"{row['LR-PSNR']:.1f}"
        for other in (other for other in others if other["system"].startswith(STRONGEST)):
            behind = other["PSNR-Y"] - row["PSNR-Y"]
            share = row[f"{n} members, seconds"] / other["one output, seconds"]
            said[f"mean within {BEHIND:g} dB of {STRONGEST} in {SHARE:g} of its time"] = (
                behind <= BEHIND and share <= SHARE,
                f"{behind:.2f} dB below, {share:.2f} of the time",
            )
        for aim, (holds, figures) in said.items():
            verdict = f"{row['system']} on {row['set']}: {'holds' if holds else 'does not hold'}, {figures}"
            found.setdefault(f"aim: {aim}", []).append(verdict)
    return {aim: "; ".join(verdicts) for aim, verdicts in found.items()}


def beside(rows: Sequence[Row], base: str, labels: Sequence[str]) -> dict[str, str]:
    """Return, for each set, how systems with uncertainty around a network compare with a model, better or worse.

    Parameters
    ----------
    rows : sequence of dict
    base : str
        Label of the model.
    labels : sequence of str
        Labels of the systems.
    """
    found = {}
    for own in (row for row in rows if row["system"] == base):
        said = []
        for other in (row for row in rows if row["set"] == own["set"] and row["system"] in labels):
            of_member = "member LPIPS" in other and not math.isnan(other["member LPIPS"])
            figures = ["CRPS", *(["member LPIPS"] if of_member else [])]
            parts = [f"{figure} {_compared(other[figure], own[figure])}" for figure in figures]
            held = (f"covered {row['covered']:.3f} with a width of {row['width']:.2f}" for row in (other, own))
            said.append(f"{other['system']}: {', '.join(parts)}; {' against '.join(held)}")
        if said:
            found[f"around networks against {base} on {own['set']}"] = "; ".join(said)
    return found


def _compared(value: float, reference: float) -> str:
    verdict = "equal to" if value == reference else "below" if value < reference else "above"
    return f"{value:.4g}, {verdict} {reference:.4g}"
