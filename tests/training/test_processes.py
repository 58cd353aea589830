import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from bayesr.errors import TrainingFailed
from bayesr.observe import bicubic
from bayesr.training.data import load_images
from bayesr.training.loop import Trainer
from bayesr.training.pairs import Pairs
from bayesr.training.processes import Processes, process_group
from bayesr.training.recipes import recipe
from tests.conftest import TINY

ROOT = Path(__file__).parents[2]
NETWORK = TINY.network | {"gaussian_dropout": True, "direct": True, "mix": 8}
SHARED = dataclasses.replace(
    TINY, network=NETWORK, stages=tuple(dataclasses.replace(stage, batch=4, rate=1e-5) for stage in TINY.stages)
)
"""A recipe with everything that needs a mean over the batch: learnt masks, typical features, features' scale.

The learning rate is low, because Adam's first steps have its size however small the gradients are, rounding included.
"""

TRAIN = """
import sys
from pathlib import Path
from tests.training.test_processes import train
train(Path(sys.argv[1]), Path(sys.argv[2]))
names = [(task / "comm").read_text().strip() for task in Path("/proc/self/task").glob("*")]
assert not [name for name in names if "gloo" in name], "threads that may end the process with an error as it exits"
"""


def train(folder, path):
    with process_group("cpu") as processes:
        pairs = Pairs(load_images([folder]), bicubic(4), SHARED.patch)
        trainer = Trainer(SHARED, pairs, processes=processes)
        assert trainer.run(path, every=1)
        assert len(trainer.history) == 10


def torchrun(*args):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", *args]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run([*map(str, command)], env=environment, cwd=ROOT, check=True, capture_output=True, text=True)


def test_two_processes_train_as_one_does(folder, tmp_path):
    script = tmp_path / "train.py"
    script.write_text(TRAIN)
    torchrun(script, folder, tmp_path / "two.npz")
    train(folder, tmp_path / "one.npz")
    with np.load(tmp_path / "one.npz") as one, np.load(tmp_path / "two.npz") as two:
        histories = [json.loads(str(archive["facts"]))["history"] for archive in (one, two)]
        assert one.files == two.files
        for name in one.files:
            if name.startswith(("generator", "average", "critic/", "random")):
                np.testing.assert_allclose(two[name], one[name], rtol=1e-4, atol=2e-6, err_msg=name)
    assert "features" in histories[0][-1]
    for alone, shared in zip(*histories, strict=True):
        for name in alone.keys() - {"seconds", "stage"}:
            assert shared[name] == pytest.approx(alone[name], rel=1e-5), (alone["step"], name)


@pytest.mark.slow
def test_both_commands_run_under_torchrun(folder, tmp_path):
    load_images([folder]).pack(tmp_path / "packed.npz")
    steps = ",".join(f"{stage.name}={1 if stage.name == 'fidelity' else 0}" for stage in recipe("bayes-srgan").stages)
    big = np.random.default_rng(0).integers(30, 225, (5, 160, 160, 3), np.uint8)
    names = np.array([f"{i}.png" for i in range(5)])
    np.savez(tmp_path / "big.npz", names=names, **{f"image{i}": image for i, image in enumerate(big)})
    data = tmp_path / "big.npz"
    torchrun(
        "-m", "bayesr.training", data, "--checkpoint", tmp_path / "a.npz", "--steps", steps, "--held-out=0",
        "--device=cpu",
    )  # fmt: skip
    assert len((tmp_path / "a.jsonl").read_text().splitlines()) == 1
    out = tmp_path / "b.safetensors"
    ran = torchrun(
        "-m", "bayesr.cli", "train", "bayes-srgan", data, "--out", out, "--steps", steps, "--held-out=0",
        "--device=cpu",
    )  # fmt: skip
    assert out.exists() and ran.stdout.count("The model is at") == 1


def test_shares_of_a_batch_are_equal_or_refused(trainer):
    parts = [Processes(rank, 3).share(12) for rank in range(3)]
    assert [i for part in parts for i in range(12)[part]] == list(range(12))
    with pytest.raises(TrainingFailed, match="divides"):
        Trainer(TINY, trainer.pairs, processes=Processes(0, 4))


def test_one_process_exchanges_nothing(trainer):
    with process_group("cpu") as alone:
        assert alone.first and alone.count == 1 and alone.agree(True) and not alone.agree(False)
        assert alone.mean(torch.tensor(2.0)) == 2
    assert Trainer(TINY, trainer.pairs).processes.count == 1
