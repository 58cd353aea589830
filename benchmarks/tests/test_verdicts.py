"""What the table of published networks shows: winners, aims, and systems around networks."""

import math

from bayesr_bench import verdicts


def row(system, psnr_y, lpips_of, member, lr, seconds):
    return {
        "set": "s (1)", "system": system, "PSNR-Y": psnr_y, "LPIPS": lpips_of, "member LPIPS": member, "LR-PSNR": lr,
        "one output, seconds": seconds, "8 members, seconds": seconds, "CRPS": 1.0,
    }  # fmt: skip


def test_aims_and_winners_name_baselines_that_win():
    rows = [
        row("ours", 32.4, 0.12, 0.08, 60.0, 0.9),
        row("DAT-light (p 1)", 32.6, 0.15, math.nan, 40.0, 10.0),
        row("sharp (p 1)", 28.0, 0.09, math.nan, 30.0, 1.0),
    ]
    best = verdicts.winners(rows)["best on s (1)"]
    assert "PSNR-Y 32.6, DAT-light (p 1)" in best and "LPIPS 0.08, ours, member" in best
    networks = ["DAT-light (p 1)", "sharp (p 1)"]
    rows.append(row("made of others", 33.0, 0.01, 0.01, 90.0, math.nan))
    held = verdicts.aims(rows, ["ours"], networks, 8)
    rows.pop()
    assert len(held) == 3 and all("ours on s (1): holds" in text for text in held.values())
    rows[0] |= {"PSNR-Y": 32.2, "LR-PSNR": 57.0}
    rows[2]["LPIPS"] = 0.07
    failed = verdicts.aims(rows, ["ours"], networks, 8)
    assert all("does not hold" in text for text in failed.values())
    assert "LPIPS 0.07, sharp (p 1)" in verdicts.winners(rows)["best on s (1)"]


def test_systems_around_networks_are_said_to_be_better_or_worse():
    rows = [
        row(name, 30, 0.1, member, 60, 1) for name, member in (("ours", 0.1), ("around", 0.2), ("bounded", math.nan))
    ]
    for one, crps, covered, width in zip(rows, (2, 1, 3), (0.9, 0.95, 0.8), (10, 20, 5), strict=True):
        one |= {"CRPS": crps, "covered": covered, "width": width}
    (said,) = verdicts.beside(rows, "ours", ["around", "bounded"]).values()
    first, second = said.split("; bounded")
    assert "CRPS 1, below 2" in first and "member LPIPS 0.2, above 0.1" in first
    assert "covered 0.950 with a width of 20.00 against covered 0.900 with a width of 10.00" in first
    assert "CRPS 3, above 2" in second and "LPIPS" not in second
    assert verdicts.beside(rows, "ours", []) == {}
