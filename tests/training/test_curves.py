import numpy as np
import PIL.Image
import pytest

from bayesr.training.history import History
from tests.training.helpers import RECORDS


def test_curves_are_drawn_from_any_history(tmp_path):
    pytest.importorskip("matplotlib")
    from click.testing import CliRunner

    from bayesr.cli import main

    for name in ("a", "b"):
        History(tmp_path / f"{name}.jsonl", RECORDS)
    ran = CliRunner().invoke(main, ["curves", str(tmp_path / "a.jsonl")])
    assert ran.exit_code == 0, ran.output
    both = tmp_path / "both.png"
    ran = CliRunner().invoke(main, ["curves", *(str(tmp_path / f"{n}.jsonl") for n in "ab"), "--out", str(both)])
    assert ran.exit_code == 0, ran.output
    one, two = (np.asarray(PIL.Image.open(path).convert("L")) for path in (tmp_path / "a.png", both))
    assert min(one.shape) > 300 and one.std() > 5 and (one.shape != two.shape or (one != two).any())
    ran = CliRunner().invoke(main, ["curves", str(tmp_path / "missing.jsonl")])
    assert ran.exit_code == 1 and "not the history" in ran.output
