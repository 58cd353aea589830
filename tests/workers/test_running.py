import subprocess
import sys

import pytest

from bayesr import workers
from tests.workers.work import TILES, TOTAL, Work


@pytest.mark.parametrize("cluster", [None, "client"])
def test_a_process_and_a_cluster_do_the_same(path, client, cluster):
    amounts = []
    workers.run(Work(path), iter(TILES), TOTAL, amounts.append, client if cluster else None)
    assert sum(amounts) == pytest.approx(TOTAL)
    Work(path).check()


def test_no_tiles_are_no_work(path):
    workers.run(Work(path), [], 0.0, lambda amount: None)
    assert not list(path.iterdir())


def test_without_a_cluster_distributed_is_not_imported():
    code = "import sys, bayesr.workers; assert not {'distributed', 'torch'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
