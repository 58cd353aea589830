"""Scenario: commands that are ended, or whose disk is full or cannot be written to, leave nothing half done."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

import bayesr

BAYESR = [sys.executable, "-m", "bayesr.cli"]
LIMITED = """
import resource, sys, xarray
from bayesr.cli import main
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
main(sys.argv[1:], prog_name="bayesr")
"""
READ_ONLY = """
import os, sys
import bayesr.cli.models, bayesr.cli.spelling, bayesr.model.card, bayesr.model.catalogue
from bayesr.cli import main
content = bayesr.model.card.markdown("natural-x4")
bayesr.model.card.markdown = lambda name: content  # read before, since the other user may not reach the package
os.setgid(65534)
os.setuid(65534)
main(sys.argv[1:], prog_name="bayesr")
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a product, a reference, an image, and a model file."""
    place = tmp_path_factory.mktemp("ends")
    image = (np.random.default_rng(0).random((24, 24)) * 200).astype(np.uint8)
    PIL.Image.fromarray(image).save(place / "low.png")
    PIL.Image.fromarray(image.repeat(4, 0).repeat(4, 1)).save(place / "high.png")
    store = place / "product.zarr"
    bayesr.sample(image, 4, model="fluorescence-x4", store=store, keep_samples=True, progress=False)
    bayesr.load("fluorescence-x4").save(place / "model.safetensors")
    place.chmod(0o755)
    return place


def ran(code, *arguments):
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, check=False
    )


COMMANDS = {
    "score": ("score", "product.zarr", "high.png", "--out"),
    "components": ("components", "product.zarr", "-k", "1", "--out"),
    "aggregate": ("aggregate", "product.zarr", "32", "--level", "0.5", "--out"),
    "card": ("card", "model.safetensors", "--out"),
}


@pytest.mark.parametrize("name", ["score.zarr", "components.zarr", "aggregate.csv", "aggregate.zarr", "card.md"])
def test_outputs_on_a_full_disk_are_whole_or_not_there(place, tmp_path, name):
    command, *given = COMMANDS[name.split(".")[0]]
    paths = [place / one if (place / one).exists() else one for one in given]
    process = ran(LIMITED, command, *paths, tmp_path / name)
    assert process.returncode == 1 and "Traceback" not in process.stderr, process.stderr
    assert "could not be written (File too large)" in process.stderr.replace("\n", " ")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can become another user")
def test_a_folder_that_cannot_be_written_to():
    """The other user may be unable to read what Python has not imported yet."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        process = ran(READ_ONLY, "card", "natural-x4", "--out", f"{folder}/card.md")
        assert process.returncode == 1 and "Permission denied" in process.stderr, process.stderr
        assert list(Path(folder).iterdir()) == []


def test_a_terminated_segmentation_removes_its_temporary_product(place, tmp_path):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    image = np.random.default_rng(0).integers(0, 200, (300, 300)).astype(np.uint8)
    PIL.Image.fromarray(image).save(tmp_path / "low.png")
    process = subprocess.Popen(
        [*BAYESR, "segment", str(tmp_path / "low.png"), str(tmp_path / "out.zarr"), "--segmenter", "otsu", "-n", "64",
         "--model", "fluorescence-x4"],
        env=os.environ | {"TMPDIR": str(temporary)}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    while process.poll() is None and not list(temporary.glob("*/*")):
        time.sleep(0.01)
    for _ in range(2):  # as "timeout" sends it, to the process and its group
        process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM, said
    assert "Traceback" not in said and list(temporary.iterdir()) == []


def test_a_summary_of_ratings_on_a_full_disk(tmp_path):
    pytest.importorskip("bayesr_bench", reason="the command comes with bayesr-bench")
    rows = [f"me,A,image{i},{1 + i % 5},2024-01-01T00:00:00+00:00,0,{'a' * 64}" for i in range(9)]
    ratings = tmp_path / "ratings.csv"
    ratings.write_text("\n".join(["rater,system,image,score,time,seed,pixels", *rows]) + "\n")
    older = tmp_path / "ratings-mos.csv"
    older.write_text("older")
    process = ran(LIMITED, "rate", "--summary", ratings)
    assert process.returncode == 1 and "could not be written" in process.stderr, process.stderr
    assert older.read_text() == "older" and {p.name for p in tmp_path.iterdir()} == {ratings.name, older.name}
