import logging
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
import weakref
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import torch
from distributed import Client, Security

from bayesr import workers
from bayesr.errors import InvalidArgument, WorkersFailed
from bayesr.workers import clusters
from tests.workers.work import TILES, TOTAL, Slow, Work

ROOT = Path(__file__).parents[2]


def test_other_objects_than_clusters_are_refused(path, client, monkeypatch):
    monkeypatch.setattr(clusters, "CONNECT_TIMEOUT", 0.3)
    for wrong in (0, -1, True, 2.0, "tcp://127.0.0.1:1", "nowhere", "ftp://a:1"):
        with pytest.raises(InvalidArgument):
            workers.run(Work(path), TILES, TOTAL, lambda amount: None, wrong)
    closed = Client(client.cluster, set_as_default=False)
    closed.close()
    with pytest.raises(InvalidArgument, match="closed"):
        workers.run(Work(path), TILES, TOTAL, lambda amount: None, closed)


def test_a_client_that_failed_is_gone(path, monkeypatch):
    """Were it collected while another client starts, both would wait for a lock that the same thread holds."""
    made = weakref.WeakSet()

    class Watched(Client):
        def __init__(self, *args, **options):
            made.add(self)
            super().__init__(*args, **options)

    monkeypatch.setattr(clusters, "CONNECT_TIMEOUT", 0.3)
    monkeypatch.setattr(clusters, "Client", Watched)
    with pytest.raises(InvalidArgument, match="No scheduler answers"):
        workers.run(Work(path), TILES, TOTAL, lambda amount: None, "tcp://127.0.0.1:1")
    assert not made


class Deadly(Work):
    """Kill the process at two tiles, once while drawing and once before writing."""

    def draw(self, tile, advance):
        if tile == TILES[4] and self.first_time("draw"):
            os.kill(os.getpid(), signal.SIGKILL)
        assert torch.get_num_threads() == 1
        return Work.draw(self, tile, advance)

    def write(self, tile, drawn):
        if tile == TILES[17] and self.first_time("write"):
            os.kill(os.getpid(), signal.SIGKILL)
        Work.write(self, tile, drawn)


def test_tiles_of_killed_processes_are_done_by_others(path, capfd):
    done = []
    workers.run(Deadly(path), TILES, TOTAL, done.append, 2)
    Work(path).check()
    assert sum(done) == TOTAL
    assert capfd.readouterr().err == ""


class Talkative(Work):
    """Log a record of each level at every tile."""

    def write(self, tile, drawn):
        for level in (logging.DEBUG, logging.INFO, logging.WARNING):
            logging.getLogger("bayesr.work").log(level, "process %d wrote %s", os.getpid(), tile.core)
        Work.write(self, tile, drawn)


@pytest.mark.parametrize(("level", "levels"), [(logging.INFO, ("INFO", "WARNING")), (logging.WARNING, ("WARNING",))])
def test_log_records_of_processes_reach_the_parent(path, level, levels):
    found, handler, logger = [], logging.Handler(), logging.getLogger("bayesr")
    handler.emit = found.append
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(level)
    try:
        workers.run(Talkative(path), TILES[:3], 3 * Work.cost, lambda amount: None, 1)
    finally:
        logger.setLevel(before)
        logger.removeHandler(handler)
    assert [record.levelname for record in found] == [*levels] * 3
    assert {record.name for record in found} == {"bayesr.work"}
    assert {record.process for record in found}.isdisjoint({os.getpid()})
    assert {record.getMessage().partition(" wrote ")[2] for record in found} == {str(tile.core) for tile in TILES[:3]}


class Suicidal(Work):
    def draw(self, tile, advance):
        sys.stderr.write("my last words\n")
        os._exit(7)


def test_processes_that_do_nothing_but_die_are_given_up(path, monkeypatch):
    monkeypatch.setattr(clusters, "MAX_DEATHS", 1)
    with pytest.raises(WorkersFailed, match=r"exit code 7 \(my last words\).*resume"):
        workers.run(Suicidal(path), TILES, TOTAL, lambda amount: None, 1)


def listening(process):
    """Return the ports at which a process takes connections."""
    return {c.laddr.port for c in process.net_connections("tcp") if c.status == psutil.CONN_LISTEN}


def without_certificate(port):
    """Speak TLS, and show no certificate."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", port), 5) as plain, context.wrap_socket(plain) as connection:
        connection.recv(1)


def page(port):
    """Return the status of dask's page of the workers; nothing where HTTP is not spoken."""
    with suppress(ConnectionError), socket.create_connection(("127.0.0.1", port), 5) as connection:
        connection.sendall(b"GET /info/main/workers.html HTTP/1.0\r\n\r\n")
        return b"".join(connection.makefile("rb").readline().split()[1:2])
    return b""


def test_only_who_has_the_certificate_reaches_the_processes_that_bayesr_starts():
    """Dask runs whatever code a client sends, so none may connect but the one that started the cluster."""
    before = listening(psutil.Process())
    with clusters.connected(1) as (client, _):
        client.wait_for_workers(1)
        assert client.submit(sum, [1, 2]).result() == 3
        [worker] = client.nthreads()
        for address in (client.scheduler.address, worker):
            assert address.startswith("tls://127.0.0.1:")
            for scheme, security in (("tcp", None), ("tls", Security.temporary())):
                with pytest.raises(OSError):
                    Client(f"{scheme}{address[3:]}", timeout=0.5, security=security, set_as_default=False)
            with pytest.raises(OSError):
                without_certificate(int(address.rpartition(":")[2]))
        [child] = [p for p in psutil.Process().children() if "bayesr.workers" in p.cmdline()]
        assert not any("PRIVATE KEY" in part for part in [*child.cmdline(), *child.environ().values()])
        for port in listening(child) | listening(psutil.Process()) - before:
            assert page(port) in (b"", b"404")


SCRIPT = """
import os, signal
from bayesr import workers
from tests.workers.work import TILES, TOTAL, Slow
workers.run(Slow({path!r}), TILES, TOTAL, lambda amount: os.kill(os.getpid(), signal.SIGKILL), 1)
"""


def test_a_plain_script_can_have_workers_which_end_with_it(path, tmp_path):
    """The script has no ``if __name__ == "__main__"``, and is killed once the first tile is done."""
    for folder in ("here", "scratch"):
        (tmp_path / folder).mkdir()
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(path=str(path)))
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path / "scratch")}
    ran = subprocess.run([sys.executable, script], env=environment, cwd=tmp_path / "here", capture_output=True)
    assert (ran.returncode, ran.stdout, ran.stderr) == (-signal.SIGKILL, b"", b"")
    for _ in range(100):
        if not list((tmp_path / "scratch").iterdir()):
            break
        time.sleep(0.05)
    done = [tile for tile in TILES if Slow(path).is_done(tile)]
    time.sleep(0.6)
    Work(path).check(done)
    assert done and not list((tmp_path / "scratch").iterdir()) and not list((tmp_path / "here").iterdir())
