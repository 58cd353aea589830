"""Rows of `bayesr bench baselines`, and what they show: which systems beat the reference, and which aims hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from bayesr_bench.baselines import BUNDLED, OURS, RCPS, SAMPLERS, Outcome
from bayesr_bench.measures import Scores
from bayesr_bench.scores import COMPARED, Row, Times, averaged, compared, rounded_cells
from bayesr_bench.training import LEVEL

REFERENCE = OURS[0]
UNEQUAL = f"{BUNDLED} (bundled: trained longer)"
AIM = 100
"""The samplers of deepinv should take at least this many times as long as the reference."""


def title(name: str) -> str:
    """Return the label of a system's rows."""
    return SAMPLERS[name][0].name if name in SAMPLERS else UNEQUAL if name == BUNDLED else name


def row_of(scores: Scores, reference: Scores | None) -> Row:
    """Return the scores of a system on a set, and its differences from the reference."""
    row = averaged(scores, ("PSNR", "member PSNR")) | compared(scores, reference, REFERENCE)
    row |= averaged(scores, ("covered",))
    row["off nominal"] = abs(row["covered"] - LEVEL)
    return row | averaged(scores, ("width", "covered raw", "width raw", "spread/skill", "LR-PSNR"))


def rows_of(results: Mapping[str, Outcome], facts: Mapping[str, Row], times: Times, n: int) -> list[Row]:
    """Return the rows set by set, sorted by CRPS."""
    rows: list[Row] = []
    for name in next(iter(results.values())).scores if results else ():
        of_set = []
        for label, result in results.items():
            scores = result.scores[name]
            reference = results[REFERENCE].scores[name] if REFERENCE in results else None
            row: Row = {"set": f"{name} ({len(scores['PSNR'])})", "system": title(label)}
            row |= {"outputs": 1 if np.isnan(scores["covered"]).all() else n} | row_of(scores, reference)
            seconds, over = times.get(label, (float("nan"), float("nan")))
            row |= {f"seconds, {n}": seconds, f"seconds / {REFERENCE}'s": over}
            of_set.append(row | facts[label])
        rows += sorted(of_set, key=lambda row: float(row["CRPS"]))
    return rounded_cells(rows)


def winners(rows: Sequence[Row]) -> list[str]:
    """Return a statement, with its standard error, for each figure in which a system beats the reference.

    The bundled model is left out, since it was trained for longer.
    """
    statements = []
    for row in rows:
        other = next((one for one in rows if one["set"] == row["set"] and one["system"] == REFERENCE), None)
        if other is None or row is other or row["system"] == UNEQUAL:
            continue
        for figure in COMPARED:
            lower, error = -row[f"{figure} minus {REFERENCE}'s"], row[f"{figure} minus {REFERENCE}'s ±"]
            if lower > 0 and row["system"] != RCPS:  # its members are those of quantile
                statements.append(f"{row['system']}: {figure} lower by {lower:.3g} ± {error:.2g} on {row['set']}")
        if row["off nominal"] < other["off nominal"]:
            statements.append(
                f"{row['system']}: coverage {row['covered']:.3f}, nearer to {LEVEL:g} than {other['covered']:.3f}, "
                f"with a width of {row['width']:.1f} instead of {other['width']:.1f} on {row['set']}"
            )
    return statements


def aims(rows: Sequence[Row]) -> dict[str, str]:
    """Return for each aim whether it holds, set by set. The bundled model is left out."""
    found: dict[str, list[str]] = {}
    for name in dict.fromkeys(row["set"] for row in rows):
        here = [row for row in rows if row["set"] == name and row["system"] != UNEQUAL]
        ours = [row for row in here if row["system"] in OURS]
        others = [row for row in here if row["system"] not in OURS]
        if not ours or not others:
            continue
        for figure in COMPARED:
            verdict = _verdict(name, ours, others, figure, figure)
            found.setdefault(f"aim: {figure} below every baseline's", []).append(verdict)
        known = [row for row in others if not np.isnan(row["off nominal"])]
        if known:
            verdict = _verdict(name, ours, known, "off nominal", "covered")
            found.setdefault("aim: coverage nearest to nominal", []).append(verdict)
    slow = [row for row in rows if row["system"] in {title(one) for one in SAMPLERS}]
    for row in {row["system"]: row for row in slow if not np.isnan(row[f"seconds / {REFERENCE}'s"])}.values():
        over = row[f"seconds / {REFERENCE}'s"]
        found.setdefault(f"aim: {AIM} times as fast as samplers of deepinv", []).append(
            f"{'holds' if over >= AIM else 'does not hold'}: {row['system']} takes {over:.0f} times as long"
        )
    return {aim: "; ".join(verdicts) for aim, verdicts in found.items()}


def _verdict(name: str, ours: Sequence[Row], others: Sequence[Row], figure: str, shown: str) -> str:
    """Compare the least value of a figure on both sides; `shown` is the figure that the statement gives."""
    best, baseline = (min(side, key=lambda row: float(row[figure])) for side in (ours, others))
    holds = best[figure] < baseline[figure]
    return (
        f"{name}: {'holds' if holds else 'does not hold'}, {best['system']} {best[shown]:.3f}, "
        f"{baseline['system']} {baseline[shown]:.3f}"
    )
