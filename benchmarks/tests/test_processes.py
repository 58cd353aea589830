"""Tasks in processes of their own."""

import math
import os
import subprocess

import pytest
import torch

from bayesr_bench.processes import run_code, run_each


@pytest.mark.parametrize("workers", [1, 2])
def test_a_task_that_fails_fails_alone(workers):
    before = torch.get_num_threads(), os.environ.get("OMP_NUM_THREADS")
    found = dict(run_each(math.sqrt, [4.0, -1.0], workers))
    assert found[4.0] == 2 and isinstance(found[-1.0], ValueError)
    assert (torch.get_num_threads(), os.environ.get("OMP_NUM_THREADS")) == before


def test_code_prints_what_it_measured(tmp_path):
    code = "print('before'); open('file', 'w').close(); print(json.dumps([given['a'], peak()]))"
    given, size = run_code(code, tmp_path, a="'x'")
    assert given == "'x'" and 1 < size < 1000 and (tmp_path / "file").exists()
    assert run_code("pass") is None
    with pytest.raises(subprocess.CalledProcessError):
        run_code("raise SystemExit(3)")
