"""``python -m bayesr.training``, and the packages that it needs."""

import hashlib
import json
import subprocess
import sys

import numpy as np

from bayesr.training.data import load_images
from tests.training.test_workflow import FILE


def test_training_needs_torch_and_numpy_alone(folder, tmp_path):
    """No other package can be imported, as on a bare GPU machine; images are packed."""
    load_images([folder]).pack(tmp_path / "packed.npz")
    (tmp_path / "tiny.py").write_text(FILE)
    (tmp_path / "kept.txt").write_text("1.png\n4.png\n")
    code = f"""
import sys
for name in ("PIL", "scipy", "xarray", "zarr", "dask", "safetensors", "pyro", "torchvision", "rich", "click", "psutil"):
    sys.modules[name] = None
from bayesr.training.data import load_images
from bayesr.training.pairs import Pairs
from bayesr.training.loop import Trainer
from bayesr.training.recipes import names, recipe
from bayesr.observe import bicubic
from pathlib import Path
tiny = recipe({str(tmp_path / "tiny.py")!r})
pairs = Pairs(load_images([{str(tmp_path / "packed.npz")!r}]), bicubic(4), 8)
assert Trainer(tiny, pairs).run(Path({str(tmp_path / "c.npz")!r}))
assert Trainer(recipe("bayes-srgan"), pairs).features is not None
from bayesr.training import __main__
for name, kept, more in (
    ("d", {str(tmp_path / "kept.txt")!r}, []),
    ("e", "2", ["--start", {str(tmp_path / "c.npz")!r}, "--noise", "0.01", "0.02"]),
):
    sys.argv = ["train", {str(tmp_path / "packed.npz")!r}, "--recipe", {str(tmp_path / "tiny.py")!r},
                "--held-out", kept, "--every=1", "--device=cpu",
                "--checkpoint", {str(tmp_path)!r} + f"/{{name}}.npz", *more]
    __main__.main()
sys.argv[1] = {str(tmp_path / "missing")!r}
__main__.main()
"""
    for name in "cde":
        (tmp_path / f"{name}.npz").unlink(missing_ok=True)
    ran = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True)
    assert ran.returncode == 1 and ran.stderr.splitlines()[-1].startswith("Error: There are no images in"), ran.stderr
    for name in "cde":
        with np.load(tmp_path / f"{name}.npz", allow_pickle=False) as archive:
            facts = json.loads(str(archive["facts"]))
        assert facts["step"] == 2
    start = facts["start"]
    assert start["checkpoint"] == "c.npz" and start["recipe"] == "tiny" and start["steps"] == 2
    assert start["sha256"] == hashlib.sha256((tmp_path / "c.npz").read_bytes()).hexdigest() and "seconds" in start
    history = [json.loads(line) for line in (tmp_path / "e.jsonl").read_text().splitlines()]
    assert [record["step"] for record in history] == [1, 2] and "fair_crps" in history[1]
    assert ran.stderr.splitlines()[0].startswith("step=1 stage=fidelity")
