"""The table of growing images."""

import json
import math

import numpy as np
import pytest
import zarr
from click.testing import CliRunner

from bayesr.cli import main
from bayesr_bench.tables.scale import synthetic


def test_synthetic_images_do_not_depend_on_their_size(tmp_path):
    synthetic(tmp_path / "large", 1100, 2)
    synthetic(tmp_path / "small", 1030, 2)
    large, small = (np.asarray(zarr.open_array(tmp_path / name)[:]) for name in ("large", "small"))
    assert large.shape == (2, 1100, 1100) and large.dtype == np.uint8
    assert 20 < large.std() < 80 and not np.array_equal(large[0], large[1])
    np.testing.assert_array_equal(large[:, :1024, :1024], small[:, :1024, :1024])
    assert math.isclose(large[:, 1024:].mean(), large[:, :1024].mean(), rel_tol=0.2)


@pytest.mark.parametrize(
    ("workers", "ways"),
    [
        ([], ["streamed"]),
        pytest.param(["--compared", "70"], ["streamed", "in memory", "1 worker", "2 workers"],
                     marks=pytest.mark.slow),
    ],
)  # fmt: skip
def test_a_table_of_growing_images(workers, ways, tmp_path, grey_model):
    grey_model.save(tmp_path / "grey.safetensors")
    small = ["--side", "70", "--tile", "32", "-n", "2", "--rounds", "1"]
    model = ["--models", str(tmp_path / "grey.safetensors"), "--out", str(tmp_path)]
    done = CliRunner().invoke(main, ["bench", "scale", *small, *workers, *model], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    rows = json.loads((tmp_path / "scale.json").read_text())["rows"]
    assert [row["way"] for row in rows] == ways
    for row in rows:
        assert row["seconds"] > 0 and row["peak MiB"] > 50 and row["Mpixel/s"] > 0
        if "worker" in row["way"]:
            assert row["efficiency"] > 0 and row["a worker's MiB"] > 50 and row["with start"] > row["seconds"]
