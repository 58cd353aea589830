"""The server of these tests answers like the Hugging Face Hub, on the loopback interface."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from bayesr.errors import EngineUnavailable, InvalidArgument, StoreFailed
from bayesr.model.file import weights_checksum
from bayesr.model.hub import download
from bayesr.model.model import Model

PROGRAM = """
import json, sys
import bayesr
found = []
for given in json.loads(sys.argv[1]):
    try:
        model = bayesr.Model.from_pretrained(given.pop("repository"), **given)
        found.append([model.name, model.sha256])
    except bayesr.BayesrError as error:
        found.append([type(error).__name__, str(error)])
print(json.dumps(found))
"""


@contextmanager
def hub(files):
    """Serve files of the repository ``org/name`` by their names; yield the address and the paths asked for."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.answer(with_content=False)

        def do_GET(self):
            self.answer(with_content=True)

        def answer(self, with_content):
            asked.append((self.command, self.path))
            content = None
            if self.path.startswith("/org/name/resolve/"):
                content = files.get(self.path.removeprefix("/org/name/resolve/"))
            self.send_response(404 if content is None else 200)
            if content is None:
                self.send_header("X-Error-Code", "EntryNotFound" if "/org/name/" in self.path else "RepoNotFound")
            else:
                self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
                self.send_header("X-Repo-Commit", "a" * 40)
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()
            if with_content:
                self.wfile.write(content or b"")

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_models_of_a_hub_are_downloaded_once_and_checked(model, file, tmp_path):
    pytest.importorskip("huggingface_hub")
    content = file.read_bytes()
    damaged = bytearray(content)
    damaged[-1] ^= 1  # a weight
    files = {
        "main/model.safetensors": content,
        "v1/other.safetensors": content,
        "main/damaged.safetensors": bytes(damaged),
        "main/pickle.safetensors": b"PK\x03\x04 a pickle of torch.save",
    }
    requests = [
        {"repository": "org/name"},
        {"repository": "org/name"},
        {"repository": "org/name", "filename": "other.safetensors", "revision": "v1"},
        {"repository": "org/name", "filename": "damaged.safetensors"},
        {"repository": "org/name", "filename": "pickle.safetensors"},
        {"repository": "org/name", "filename": "missing.safetensors"},
        {"repository": "org/missing"},
    ]
    with hub(files) as (address, asked):
        own = {"HF_ENDPOINT": address, "HF_HOME": str(tmp_path / "cache"), "NO_PROXY": "127.0.0.1"}
        ran = subprocess.run(
            [sys.executable, "-c", PROGRAM, json.dumps(requests)],
            env=os.environ | own, capture_output=True, text=True, check=True,
        )  # fmt: skip
    found = json.loads(ran.stdout)
    assert found[:3] == [["name", weights_checksum(model.generator)]] * 3
    kinds, texts = zip(*found[3:], strict=True)
    assert kinds == ("InvalidModel", "InvalidModel", "UnknownModel", "UnknownModel")
    for text, part in zip(texts, ("recorded checksum", "is a pickle", "has no missing", "in org/missing"), strict=True):
        assert part in text
    assert asked.count(("GET", "/org/name/resolve/main/model.safetensors")) == 1, "the second came from the cache"


def test_names_are_checked_before_anything_is_asked():
    for name in ("name", "a/b/c", "../name", "org/", "org/na me", 3, None):
        with pytest.raises(InvalidArgument, match="'org/name'"):
            download(name)
    for name in ("model.bin", "model.pt", None):
        with pytest.raises(InvalidArgument, match=r"must end with \.safetensors"):
            download("org/name", name)
    with pytest.raises(InvalidArgument, match="revision must be"):
        download("org/name", revision=1)


def test_the_package_is_optional(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(EngineUnavailable, match=r"pip install 'bayesr\[hub\]'"):
        Model.from_pretrained("org/name")


def test_a_hub_that_fails_is_reported(monkeypatch):
    package = pytest.importorskip("huggingface_hub")
    from huggingface_hub.errors import LocalEntryNotFoundError

    for error in (LocalEntryNotFoundError("no answer"), OSError("no space left")):

        def fail(*args, raised=error, **options):
            raise raised

        monkeypatch.setattr(package, "hf_hub_download", fail)
        with pytest.raises(StoreFailed, match=r"model\.safetensors in org/name"):
            download("org/name")
