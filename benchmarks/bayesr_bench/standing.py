"""Where the rivals stand: the rows of `bayesr bench rivals`, who wins, and whether what was aimed at holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bayesr_bench.contenders import BUNDLED, OURS, RCPS, SAMPLERS, Measured
from bayesr_bench.measures import Scores
from bayesr_bench.record import error_of_mean
from bayesr_bench.tables.systems import COMPARED
from bayesr_bench.trial import LEVEL

REFERENCE = OURS[0]
UNEQUAL = f"{BUNDLED} (bundled: trained longer)"
AIM = 100
"""So many times as long as the reference samplers of deepinv must take."""

Row = dict[str, Any]


def title(name: str) -> str:
    """What a row is called."""
    return SAMPLERS[name][0].name if name in SAMPLERS else UNEQUAL if name == BUNDLED else name


def row_of(scores: Scores, reference: Scores | None) -> Row:
    """What is shown of scores, and how they compare with the reference's, image by image."""
    row: Row = {figure: float(np.mean(scores[figure])) for figure in ("PSNR", "member PSNR")}
    for figure in COMPARED:
        row[figure], row[f"{figure} ±"] = float(np.mean(scores[figure])), error_of_mean(scores[figure])
        other = np.nan if reference is None or reference is scores else np.array(reference[figure])
        off = np.array(scores[figure]) - other
        row[f"{figure} minus {REFERENCE}'s"] = float(np.mean(off))
        row[f"{figure} minus {REFERENCE}'s ±"] = error_of_mean(off)
    row["covered"] = float(np.mean(scores["covered"]))
    row["off nominal"] = abs(row["covered"] - LEVEL)
    row |= {figure: float(np.mean(scores[figure])) for figure in ("width", "covered raw", "width raw", "spread/skill")}
    return row | {"LR-PSNR": min(scores["LR-PSNR"])}


def rows_of(
    results: Mapping[str, Measured], facts: Mapping[str, Row], times: Mapping[str, tuple[float, float]], n: int
) -> list[Row]:
    """The rows, set by set, those of the lowest CRPS first."""
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
    return [{k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()} for row in rows]


def winners(rows: Sequence[Row]) -> list[str]:
    """A sentence for every row on equal terms that is better than the reference, and how far that is beyond chance."""
    sentences = []
    for row in rows:
        other = next((one for one in rows if one["set"] == row["set"] and one["system"] == REFERENCE), None)
        if other is None or row is other or row["system"] == UNEQUAL:
            continue
        for figure in COMPARED:
            ahead, error = -row[f"{figure} minus {REFERENCE}'s"], row[f"{figure} minus {REFERENCE}'s ±"]
            if ahead > 0 and row["system"] != RCPS:  # whose members are quantile's
                sentences.append(f"{row['system']}: {figure} lower by {ahead:.3g} ± {error:.2g} on {row['set']}")
        if row["off nominal"] < other["off nominal"]:
            sentences.append(
                f"{row['system']}: coverage {row['covered']:.3f}, nearer to {LEVEL:g} than {other['covered']:.3f}, "
                f"with a width of {row['width']:.1f} instead of {other['width']:.1f} on {row['set']}"
            )
    return sentences


def aims(rows: Sequence[Row]) -> dict[str, str]:
    """What was aimed at, and whether it holds, set by set, of rows on equal terms."""
    found: dict[str, list[str]] = {}
    for name in dict.fromkeys(row["set"] for row in rows):
        here = [row for row in rows if row["set"] == name and row["system"] != UNEQUAL]
        mine = [row for row in here if row["system"] in OURS]
        others = [row for row in here if row["system"] not in OURS]
        if not mine or not others:
            continue
        for figure in COMPARED:
            best, rival = (min(side, key=lambda row: float(row[figure])) for side in (mine, others))
            found.setdefault(f"aim: {figure} below every rival's", []).append(
                _verdict(name, best[figure] < rival[figure], best, rival, figure)
            )
        known = [row for row in others if not np.isnan(row["off nominal"])]
        if known:
            best, rival = (min(side, key=lambda row: float(row["off nominal"])) for side in (mine, known))
            found.setdefault("aim: coverage nearest to nominal", []).append(
                _verdict(name, best["off nominal"] < rival["off nominal"], best, rival, "covered")
            )
    slow = [row for row in rows if row["system"] in {title(one) for one in SAMPLERS}]
    for row in {row["system"]: row for row in slow if not np.isnan(row[f"seconds / {REFERENCE}'s"])}.values():
        over = row[f"seconds / {REFERENCE}'s"]
        found.setdefault(f"aim: {AIM} times as fast as samplers of deepinv", []).append(
            f"{'holds' if over >= AIM else 'does not hold'}: {row['system']} takes {over:.0f} times as long"
        )
    return {aim: "; ".join(verdicts) for aim, verdicts in found.items()}


def _verdict(name: str, holds: bool, mine: Row, rival: Row, figure: str) -> str:
    return (
        f"{name}: {'holds' if holds else 'does not hold'}, {mine['system']} {mine[figure]:.3f}, "
        f"{rival['system']} {rival[figure]:.3f}"
    )
