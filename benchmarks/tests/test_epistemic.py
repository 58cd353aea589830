"""The table of aleatoric and epistemic by training data and domain."""

import torch

from bayesr_bench.tables.epistemic import FIGURES, domains, draw


def test_domains_differ_from_the_own_one_as_they_say():
    found = domains(64, 0)
    own = found["own domain"][1]
    torch.testing.assert_close(found["three times the contrast"][1].std(), 3 * own.std())
    assert (found["brighter by three standard deviations"][1] > own).all()
    smooth, rough = (low.diff().std() / low.std() for low in (own, found["rougher fields"][1]))
    assert rough > 1.1 * smooth


def test_the_figure_is_written(tmp_path):
    rows = [
        {"training scenes": size, "input": name} | dict.fromkeys(FIGURES, 0.5)
        for size in (64, "endless")
        for name in ("own domain", "rougher fields")
    ]
    draw(rows, tmp_path / "new" / "epistemic.png")
    assert (tmp_path / "new" / "epistemic.png").stat().st_size > 1000
