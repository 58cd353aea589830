import json
import subprocess
import sys

import pytest

from bayesr.errors import TrainingFailed
from bayesr.progress import hidden
from bayesr.training import history
from bayesr.training.history import History
from bayesr.training.loop import Trainer
from tests.conftest import TINY
from tests.training.helpers import RECORDS


def test_lines_come_as_training_goes_and_nothing_comes_twice(trainer, tmp_path):
    path, lines = tmp_path / "c.jsonl", []
    written = History(path)

    def report(record):
        written.append(record)
        lines.append(len(path.read_text().splitlines()))

    trainer.run(tmp_path / "c.npz", every=2, time_limit=0, report=report)
    trainer.run(tmp_path / "c.npz", every=2, report=report)
    assert lines == list(range(1, len(lines) + 1)) and len(lines) >= 5
    assert history.read(path) == trainer.history
    # Lines after the checkpoint's step, and one that was cut short, go when it is resumed.
    with open(path, "a") as file:
        file.write(json.dumps(RECORDS[0]) + '\n{"step')
    again = Trainer(TINY, trainer.pairs)
    again.load(tmp_path / "c.npz")
    History(path, again.history)
    assert history.read(path) == trainer.history


def test_other_files_than_histories_are_refused(tmp_path):
    path = tmp_path / "c.jsonl"
    wrong = ("[1]", '"a"', "true", "null", f"1{'0' * 400}", "{}")
    damaged = [f'{{"step": 1, "loss": {value}}}\n{{"step": 2}}\n' for value in wrong]
    damaged += [f'{{"step": {value}}}\n{{"step": 2}}\n' for value in wrong]
    for text in ("", "no\nno\n", "[1]\n[2]\n", '{"loss": 1}\n{"loss": 2}\n', "[" * 100_000 + "\n[1]\n", *damaged):
        path.write_text(text)
        with pytest.raises(TrainingFailed):
            history.read(path)
    with pytest.raises(TrainingFailed, match=r"missing\.jsonl"):
        history.read(tmp_path / "missing.jsonl")
    path.write_text("".join(json.dumps(record) + "\n" for record in RECORDS) + '{"st')
    assert history.read(path) == RECORDS
    with pytest.raises(TrainingFailed, match="could not be written"):
        History(tmp_path / "no" / "c.jsonl")


def test_lines_elsewhere_and_a_table_on_a_terminal(capsys):
    with history.table("a run", True) as show:
        show(RECORDS[1])
    shown = capsys.readouterr().err
    assert shown == "step=4 stage=score seconds=3 crps=0.05 psnr=21 fair_crps=0.04 spread_skill=0.5\n"
    with hidden(), history.table("a run", True) as show:
        show(RECORDS[1])
    assert capsys.readouterr().err == ""
    with history.table("a run", None) as show:
        show(RECORDS[1])
    assert capsys.readouterr().err == ""
    code = f"""
import pty, os, sys
child, here = pty.fork()
if child == 0:
    from bayesr.training.history import table
    with table("a run", None) as show:
        for record in {RECORDS!r}:
            show(record)
    os._exit(0)
seen = b""
try:
    while part := os.read(here, 4096):
        seen += part
except OSError:
    pass
sys.stdout.buffer.write(seen)
"""
    ran = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, check=True)
    text = ran.stdout.decode()
    assert "a run" in text and "fair_crps" in text and "0.03" in text and "fidelity" in text


def test_tensorboard_has_every_figure(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with history.tensorboard(tmp_path / "events", 0) as write:
        for record in RECORDS:
            write(record)
    events = EventAccumulator(str(tmp_path / "events"))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("psnr")] == [(2, 20.0), (4, 21.0), (6, 22.0)]
    assert {"seconds", "fair_crps", "crps", "fidelity"} <= set(events.Tags()["scalars"])


def test_tensorboard_is_not_needed(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    monkeypatch.setattr(history, "find_spec", lambda name: None)
    with history.tensorboard(tmp_path / "events", 0) as write:
        write(RECORDS[0])
    assert not (tmp_path / "events").exists()
