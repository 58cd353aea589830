"""The local page on which a rater scores images blind. It is served to this machine only."""

from __future__ import annotations

import json
import secrets
from collections import deque
from collections.abc import Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from bayesr.errors import InvalidArgument
from bayesr.report.page import page
from bayesr_bench.rating.ratings import RatingFile
from bayesr_bench.rating.study import Picture, decoded, images, nearest, order, png

POLICY = (
    "default-src 'none'; img-src 'self' data:; connect-src 'self'; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
SHOWN_FIRST = 4
"""Originals that calibrate the rater, each with score 1 and 5. The SRGAN study used 20 for 26 hired raters."""


class Session:
    """The progress of one rater in one study. Images have random names, which do not identify their systems.

    Parameters
    ----------
    pictures : sequence of Picture
    ratings : RatingFile
        The file for the ratings. Images that this rater has rated are not shown again.
    reference : Path, optional
        A folder of high-resolution originals to calibrate the rater on.
    scale : int
        Scale factor by which these are downsampled and enlarged by nearest neighbour, as examples of score 1.
    zoom : int
        Screen pixels per image pixel along a side.

    Raises
    ------
    InvalidArgument
        If the zoom is below 1 or the scale below 2.
    """

    def __init__(
        self,
        pictures: Sequence[Picture],
        ratings: RatingFile,
        reference: Path | None = None,
        scale: int = 4,
        zoom: int = 1,
    ) -> None:
        if zoom < 1 or scale < 2:
            raise InvalidArgument(f"The zoom must be at least 1 and the scale at least 2, not {zoom} and {scale}.")
        self.ratings, self.scale, self.zoom = ratings, scale, zoom
        self.lock = Lock()
        shuffled = order(pictures, ratings.rater, ratings.seed)
        self._pictures = {secrets.token_urlsafe(12): picture for picture in shuffled}
        names = {picture: name for name, picture in self._pictures.items()}
        rated = set(ratings.rated)
        self._rated = [names[picture] for picture in ratings.rated]
        self._queue = deque(names[picture] for picture in shuffled if picture not in rated)
        self._anchors: dict[str, tuple[Path, int]] = {}
        if reference is not None:
            generator = np.random.default_rng(ratings.seed)
            originals = list(images(reference).values())
            for i in generator.permutation(len(originals))[:SHOWN_FIRST]:
                for score in generator.permutation([1, 5]):
                    decoded(originals[i])  # an unreadable original is reported at the start
                    self._anchors[secrets.token_urlsafe(12)] = originals[i], int(score)

    def state(self) -> dict[str, Any]:
        """Return the progress of the rater, and the names of the next two images."""
        done, left = len(self._rated), len(self._queue)
        return {"done": done, "total": done + left, "next": list(self._queue)[:2]}

    def opening(self) -> dict[str, Any]:
        """Return the state, and what the page needs only once."""
        anchors = [{"id": name, "score": score} for name, (_, score) in self._anchors.items()]
        return {"rater": self.ratings.rater, "zoom": self.zoom, "calibration": anchors} | self.state()

    def image(self, name: str) -> bytes | None:
        """Return the PNG of an image of the study or of the calibration; None if there is none of this name."""
        if name in self._anchors:
            path, score = self._anchors[name]
            return png(nearest(decoded(path), self.scale) if score == 1 else decoded(path))
        return png(decoded(self._pictures[name].path)) if name in self._pictures else None

    def rate(self, name: object, score: Any) -> bool:
        """Record the score of the current image; return False if `name` is not the current image."""
        with self.lock:
            if not self._queue or name != self._queue[0]:
                return False
            self.ratings.append(self._pictures[self._queue[0]], score)
            self._rated.append(self._queue.popleft())
            return True

    def undo(self) -> None:
        """Withdraw the last rating, and show its image again."""
        with self.lock:
            if self._rated:
                self.ratings.withdraw()
                self._queue.appendleft(self._rated.pop())


class RatingServer(ThreadingHTTPServer):
    """Server of a session for this machine, at an address that begins with a random key.

    Parameters
    ----------
    session : Session
    port : int
        0 for any free one.

    Raises
    ------
    InvalidArgument
        If the port cannot be used.
    """

    daemon_threads = True

    def __init__(self, session: Session, port: int = 0) -> None:
        self.session = session
        self.html = page("rate.html", {}, "Rate images", assets=__package__).encode()
        self.key = secrets.token_urlsafe(9)
        try:
            super().__init__(("127.0.0.1", port), _Handler)
        except (OSError, OverflowError) as error:
            raise InvalidArgument(f"Port {port} cannot be used ({error}): choose another, or 0 for any.") from error

    @property
    def hosts(self) -> tuple[str, str]:
        """Host names that a browser on this machine may use."""
        return f"127.0.0.1:{self.server_port}", f"localhost:{self.server_port}"

    @property
    def url(self) -> str:
        """The address of the page."""
        return f"http://127.0.0.1:{self.server_port}/{self.key}/"


class _Handler(BaseHTTPRequestHandler):
    server: RatingServer
    timeout = 30

    def do_GET(self) -> None:
        path = self._path()
        if path == "":
            self._send(200, "text/html; charset=utf-8", self.server.html)
        elif path == "study":
            self._json(200, self.server.session.opening())
        elif path is not None:
            found = self.server.session.image(path.removeprefix("images/")) if path.startswith("images/") else None
            if found is None:
                self._json(404, {"error": "There is nothing here."})
            else:
                self._send(200, "image/png", found)

    def do_POST(self) -> None:
        path = self._path()
        if path is None:
            return
        sent = self._sent()
        if sent is not None:
            self._json(*self._changed(path, sent))

    def _changed(self, path: str, sent: Mapping[str, Any]) -> tuple[int, Mapping[str, Any]]:
        """Execute a request that changes ratings; return its status and its answer."""
        try:
            if path == "undo":
                self.server.session.undo()
            elif path != "rate":
                return 404, {"error": "There is nothing here."}
            elif not self.server.session.rate(sent.get("id"), sent.get("score")):
                return 409, {"error": "Another image is shown: reload the page."}
        except InvalidArgument as error:
            return 400, {"error": str(error)}
        except OSError as error:
            return 500, {"error": f"The rating could not be written ({error})."}
        return 200, self.server.session.state()

    def _path(self) -> str | None:
        """Return the requested path after the key; None if the request has been refused.

        The name of another site may resolve to this machine (DNS rebinding), which the Host header reveals.
        """
        origin = self.headers.get("Origin")
        hosts = self.server.hosts
        if self.headers.get("Host") not in hosts or (
            origin is not None and origin.removeprefix("http://") not in hosts
        ):
            self._json(403, {"error": "This page is for the browser on its own machine."})
            return None
        start, _, rest = self.path.removeprefix("/").partition("/")
        if not secrets.compare_digest(start.encode(), self.server.key.encode()):
            self._json(404, {"error": "There is nothing here: open the address that the command printed."})
            return None
        return rest

    def _sent(self) -> Mapping[str, Any] | None:
        # A form of another site cannot send this type without a preflight request, which this server never allows.
        length = self.headers.get("Content-Length", "")
        if self.headers.get_content_type() == "application/json" and length.isdecimal() and int(length) <= 1000:
            try:
                sent = json.loads(self.rfile.read(int(length)))
                if isinstance(sent, dict):
                    return sent
            except ValueError:
                pass
        self._json(400, {"error": "A small JSON object is expected."})
        return None

    def _json(self, status: int, answer: Mapping[str, Any]) -> None:
        self._send(status, "application/json", json.dumps(answer).encode())

    def _send(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        for name, value in (
            ("Content-Type", kind),
            ("Content-Length", str(len(body))),
            ("Cache-Control", "no-store"),
            ("Content-Security-Policy", POLICY),
            ("X-Content-Type-Options", "nosniff"),
            ("Referrer-Policy", "no-referrer"),
            ("Cross-Origin-Resource-Policy", "same-origin"),
        ):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Print nothing: the terminal belongs to the command."""
