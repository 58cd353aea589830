"""A study of two systems, its page, and requests to it."""

import http.client
import json
import threading

import numpy as np
import pytest
from PIL import ExifTags, Image, PngImagePlugin

from bayesr_bench.rating.ratings import Rating, RatingFile
from bayesr_bench.rating.server import RatingServer
from bayesr_bench.rating.session import Session
from bayesr_bench.rating.study import gather

SYSTEMS = ("secretive", "boastful")
NAMES = ("tabby", "whippet", "barn owl")


@pytest.fixture
def folders(tmp_path):
    """Two systems with three images each, all different, in formats and with comments that give them away."""
    generator = np.random.default_rng(0)
    for system in SYSTEMS:
        (tmp_path / system).mkdir()
        for name in NAMES:
            pixels = Image.fromarray(generator.integers(0, 255, (12, 16, 3), np.uint8))
            if system == "boastful":
                exif = Image.Exif()
                exif[ExifTags.Base.Software] = "boastful"
                pixels.save(tmp_path / system / f"{name}.webp", lossless=True, exif=exif)
            else:
                note = PngImagePlugin.PngInfo()
                note.add_text("Software", "secretive")
                pixels.save(tmp_path / system / f"{name}.png", pnginfo=note)
    return {system: tmp_path / system for system in SYSTEMS}


@pytest.fixture
def study(folders, tmp_path):
    """A function that starts the page of one rater, and what it has started is stopped again."""
    running = []

    def start(rater="ann", **options):
        pictures = gather(folders)
        server = RatingServer(Session(pictures, RatingFile(tmp_path / "ratings.csv", pictures, rater, 0), **options))
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        running.append((server, thread))
        return server

    yield start
    for server, thread in running:
        server.shutdown()
        server.server_close()
        thread.join()


def ask(server, method="GET", path="", body=None, **headers):
    """The status, headers and body of an answer; what is sent is JSON, unless headers say otherwise."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    sent = None if body is None else body if isinstance(body, str) else json.dumps(body)
    kinds = {} if body is None else {"Content-Type": "application/json"}
    given = kinds | {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, f"/{server.key}/{path}", sent, given)
    answer = connection.getresponse()
    found = answer.status, answer.headers, answer.read()
    connection.close()
    return found


def state(server):
    return json.loads(ask(server, path="study")[2])


def rate(server, score):
    """Rate the image that is due, after it was shown."""
    ask(server, path=f"images/{state(server)['next'][0]}")
    return ask(server, "POST", "rate", {"id": state(server)["next"][0], "score": score})


def ratings(scores, systems="abc"):
    """Return ratings from an array (system, rater, image), where NaN is not rated."""
    return [
        Rating(f"rater {r}", systems[s], f"image {i}", int(score), "")
        for (s, r, i), score in np.ndenumerate(np.asarray(scores, float))
        if np.isfinite(score)
    ]
