import dataclasses
import os
import random
import resource
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from bayesr.errors import TrainingFailed
from bayesr.model import checkpoint
from bayesr.observe import bicubic
from bayesr.training.data import load_images
from bayesr.training.loop import Trainer
from bayesr.training.pairs import Pairs
from bayesr.training.warmstart import StartingPoint
from tests.conftest import TINY

ROOT = Path(__file__).parents[2]
TRAIN = """
from bayesr.observe import bicubic
from bayesr.training.data import load_images
from bayesr.training.pairs import Pairs
from bayesr.training.history import History
from bayesr.training.loop import Trainer
from bayesr.training.adjusting import with_steps
from tests.conftest import TINY
longer = with_steps(TINY, {"fidelity": 40, "score": 40, "critic": 40})
trainer = Trainer(longer, Pairs(load_images([folder]), bicubic(4), TINY.patch))
if path.exists():
    trainer.load(path)
history = History(path.with_suffix(".jsonl"), trainer.history)
trainer.run(path, every=3, report=history.append)
"""


def test_a_killed_training_ends_as_one_that_was_not(folder, tmp_path):
    """A SIGKILL at a random moment does not change the result, bit for bit."""
    killed = tmp_path / "killed.npz"
    given = f"from pathlib import Path; folder = Path({str(folder)!r}); path = Path({str(killed)!r})"
    process = subprocess.Popen(
        [sys.executable, "-c", given + TRAIN], env=os.environ | {"PYTHONPATH": str(ROOT)}, cwd=ROOT
    )
    while process.poll() is None and not killed.exists():
        time.sleep(0.01)
    time.sleep(random.uniform(0, 0.3))
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "it was done before it could be killed"
    assert 0 < checkpoint.read(killed)[1]["step"] < 120
    with open(killed.with_suffix(".jsonl"), "a") as file:
        file.write('{"step": 119}\n{"st')  # as if records had been written after the checkpoint, one of them in part
    for path in (killed, tmp_path / "whole.npz"):
        exec(TRAIN, {"folder": folder, "path": path})
    arrays, facts = checkpoint.read(killed)
    expected, _ = checkpoint.read(tmp_path / "whole.npz")
    assert facts["step"] == 120 and arrays.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(arrays[name], value, err_msg=name)
    seconds = {"seconds"}
    histories = [
        [{k: v for k, v in record.items() if k not in seconds} for record in checkpoint.read(path)[1]["history"]]
        for path in (killed, tmp_path / "whole.npz")
    ]
    assert histories[0] == histories[1]
    lines = killed.with_suffix(".jsonl").read_text().splitlines()
    assert len(lines) == len(facts["history"]) == 40


def test_a_full_disk_loses_nothing(trainer, tmp_path):
    path = tmp_path / "c.npz"
    trainer.save(path)
    before = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    trainer.advance()
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, limits[1]))
    try:
        with pytest.raises(TrainingFailed, match="is kept"):
            trainer.save(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == before and list(tmp_path.glob("*.partial*")) == []
    trainer.save(path)
    assert checkpoint.read(path)[1]["step"] == 1


def test_other_files_than_checkpoints_of_this_network_are_refused(trainer, tmp_path):
    path = tmp_path / "c.npz"
    trainer.save(path)
    other = Trainer(dataclasses.replace(TINY, network=TINY.network | {"width": 12}), trainer.pairs)
    with pytest.raises(TrainingFailed, match="another network"):
        other.load(path)
    arrays, facts = checkpoint.read(path)
    arrays["generator/tail.exit.weight"] = arrays["generator/tail.exit.weight"][:-1]
    checkpoint.write(tmp_path / "older.npz", arrays, facts)
    with pytest.raises(TrainingFailed, match="another version"):
        trainer.load(tmp_path / "older.npz")
    (tmp_path / "junk.npz").write_bytes(b"junk")
    (tmp_path / "cut.npz").write_bytes(path.read_bytes()[:5000])
    for bad in ("junk", "cut", "missing"):
        with pytest.raises(TrainingFailed, match="no checkpoint"):
            trainer.load(tmp_path / f"{bad}.npz")


def test_a_checkpoint_starts_another_training(trainer, tmp_path):
    path = tmp_path / "c.npz"
    for _ in range(4):
        trainer.advance()
    trainer.save(path)
    network, facts = checkpoint.network_of(path)
    assert facts["step"] == 4
    for name, value in trainer.average.state_dict().items():
        assert torch.equal(network.state_dict()[name], value)
    # A head that is built otherwise by now is left out; the backbone is what it was.
    arrays, facts = checkpoint.read(path)
    arrays["average/tail.exit.weight"] = arrays["average/tail.exit.weight"][:-1]
    checkpoint.write(path, arrays, facts)
    older, _ = checkpoint.network_of(path)
    assert not older.stochastic and torch.equal(older.up.weight, network.up.weight)
    taken = trainer.start_from(StartingPoint(older))
    assert "up.weight" in taken.whole and all(name.startswith("head.") for name in taken.fresh)


def test_checkpoints_without_newer_facts_are_read(trainer, folder, tmp_path):
    """The first version wrote such checkpoints."""
    for _ in range(5):
        trainer.advance()
    trainer.save(tmp_path / "c.npz")
    arrays, facts = checkpoint.read(tmp_path / "c.npz")
    first = {name: facts[name] for name in ("recipe", "network", "step", "seconds", "seed", "history")}
    checkpoint.write(tmp_path / "first.npz", arrays, first)
    again = Trainer(TINY, Pairs(load_images([folder]), bicubic(4), TINY.patch))
    again.load(tmp_path / "first.npz")
    assert again.step == 5
    assert again.advance() == trainer.advance()


def test_damaged_archives_are_refused_whatever_byte_is_wrong(tmp_path):
    path = tmp_path / "a.npz"
    checkpoint.write(path, {"average/w": np.arange(6.0)}, {"step": 3})
    whole = path.read_bytes()
    assert checkpoint.read(path)[1] == {"step": 3}
    refused = 0
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        try:
            arrays, facts = checkpoint.read(path)
        except TrainingFailed:
            refused += 1
        else:  # the byte tells a date or a version: zip files have such
            assert facts == {"step": 3} and arrays["average/w"].tolist() == [0, 1, 2, 3, 4, 5]
    assert refused > len(whole) / 2


def test_archives_that_expand_are_refused_before_they_do(tmp_path):
    checkpoint.write(tmp_path / "bomb.npz", {}, {"step": 3})
    data = bytearray((tmp_path / "bomb.npz").read_bytes())
    entry = data.index(b"PK\x01\x02")
    data[entry + 24 : entry + 28] = struct.pack("<I", 2**30)  # the size of the only array in the archive's directory
    (tmp_path / "bomb.npz").write_bytes(data)
    with pytest.raises(TrainingFailed, match=r"claims to hold 1\.0 GiB"):
        checkpoint.read(tmp_path / "bomb.npz")
    os.mkfifo(tmp_path / "pipe.npz")
    with pytest.raises(TrainingFailed, match="no regular file"):
        checkpoint.read(tmp_path / "pipe.npz")
    for facts in ("5", "[", "[" * 100_000, "null"):
        np.savez(tmp_path / "facts.npz", facts=np.array(facts))
        with pytest.raises(TrainingFailed, match="no checkpoint"):
            checkpoint.read(tmp_path / "facts.npz")
    np.save(tmp_path / "single.npy", np.zeros(3))
    with pytest.raises(TrainingFailed, match="no checkpoint"):
        checkpoint.read(tmp_path / "single.npy")


def test_damaged_checkpoints_are_refused(trainer, tmp_path):
    """Of every kind of damage: in the archive, in the facts, and in the arrays."""
    path, damaged = tmp_path / "c.npz", tmp_path / "damaged.npz"
    trainer.advance()
    trainer.save(path)
    content, random_numbers = path.read_bytes(), np.random.default_rng(0)
    for position in [*random_numbers.integers(0, len(content), 40), *range(len(content) - 60, len(content), 4)]:
        flipped = bytearray(content)
        flipped[position] ^= 0x55
        damaged.write_bytes(flipped)
        try:
            trainer.load(damaged)
        except TrainingFailed as error:
            assert "damaged.npz" in str(error)
    arrays, facts = checkpoint.read(path)
    for change in ({"step": "many"}, {"step": None}, {"ended": 5}, {"network": 5}, {"history": 5, "step": []}):
        checkpoint.write(damaged, arrays, facts | change)
        with pytest.raises(TrainingFailed, match=r"damaged\.npz"):
            trainer.load(damaged)
    for name in ("random/host", "generator/up.weight"):
        for value in (None, np.zeros(3), np.array(["a"])):
            rest = {k: v for k, v in arrays.items() if k != name} | ({} if value is None else {name: value})
            checkpoint.write(damaged, rest, facts)
            with pytest.raises(TrainingFailed, match=r"damaged\.npz"):
                trainer.load(damaged)
    for network in (5, {"width": 10**9}, {"blocks": 10**8}, facts["network"] | {"width": 4000}):
        checkpoint.write(damaged, arrays, facts | {"network": network})
        with pytest.raises(TrainingFailed, match=r"damaged\.npz"):
            checkpoint.network_of(damaged)
    trainer.load(path)
    assert trainer.step == 1
