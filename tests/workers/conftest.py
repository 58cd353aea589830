import pytest
from distributed import Client, LocalCluster

from bayesr.workers import dispatch


@pytest.fixture
def path(tmp_path):
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


@pytest.fixture(scope="module")
def client():
    """A client of a cluster with one worker of three threads, in this process."""
    settings = dict(processes=False, protocol="tcp", host="127.0.0.1", dashboard_address=":0")
    with LocalCluster(n_workers=1, threads_per_worker=3, **settings) as cluster, Client(cluster) as client:
        yield client


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(dispatch, "LOOK_INTERVAL", 0.2)
