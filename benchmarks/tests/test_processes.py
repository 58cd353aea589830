"""Tasks in processes of their own."""

import math
import os

import pytest
import torch

from bayesr_bench.processes import run_each


@pytest.mark.parametrize("workers", [1, 2])
def test_a_task_that_fails_fails_alone(workers):
    before = torch.get_num_threads(), os.environ.get("OMP_NUM_THREADS")
    found = dict(run_each(math.sqrt, [4.0, -1.0], workers))
    assert found[4.0] == 2 and isinstance(found[-1.0], ValueError)
    assert (torch.get_num_threads(), os.environ.get("OMP_NUM_THREADS")) == before
