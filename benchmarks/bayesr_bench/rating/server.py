"""The local page on which a rater scores images blind. It is served to this machine only."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from bayesr.errors import BayesrError, InvalidArgument
from bayesr.report.page import page
from bayesr_bench.rating.session import Session

POLICY = (
    "default-src 'none'; img-src 'self' data:; connect-src 'self'; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
MOST_BYTES = 1000
"""Largest body of a request."""

Answer = tuple[int, str, bytes]
"""Status, type and body."""


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

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print nothing: a browser may close any connection before it is answered."""


class _Handler(BaseHTTPRequestHandler):
    server: RatingServer
    timeout = 30

    def do_GET(self) -> None:
        self._answer(self._get)

    def do_POST(self) -> None:
        self._answer(self._post)

    def _answer(self, method: Callable[[str], Answer]) -> None:
        path = self._path()
        if path is None:
            return
        try:
            answer = method(path)
        except BayesrError as error:
            answer = _json(409, {"error": str(error)})
        except Exception as error:  # the terminal belongs to the command, and the page shows the answer
            answer = _json(500, {"error": f"The command failed ({type(error).__name__}: {error})."})
        self._send(*answer)

    def _get(self, path: str) -> Answer:
        if path == "":
            return 200, "text/html; charset=utf-8", self.server.html
        if path == "study":
            return _json(200, self.server.session.opening())
        found = self.server.session.image(path.removeprefix("images/")) if path.startswith("images/") else None
        return (200, "image/png", found) if found is not None else _json(404, {"error": "There is nothing here."})

    def _post(self, path: str) -> Answer:
        sent = self._sent()
        if isinstance(sent, str):
            return _json(400, {"error": sent})
        try:
            if path == "undo":
                self.server.session.undo()
            elif path != "rate":
                return _json(404, {"error": "There is nothing here."})
            elif not self.server.session.rate(sent.get("id"), sent.get("score")):
                return _json(409, {"error": "Another image is shown: reload the page."})
        except InvalidArgument as error:
            return _json(400, {"error": str(error)})
        except OSError as error:
            return _json(
                500, {"error": f"The rating could not be written ({error.strerror or error}): free some space."}
            )
        return _json(200, self.server.session.state())

    def _path(self) -> str | None:
        """Return the requested path after the key; None if the request has been refused.

        The name of another site may resolve to this machine (DNS rebinding), which the Host header reveals.
        """
        origin = self.headers.get("Origin")
        hosts = self.server.hosts
        if self.headers.get("Host") not in hosts or (
            origin is not None and origin.removeprefix("http://") not in hosts
        ):
            self._send(*_json(403, {"error": "This page is for the browser on its own machine."}))
            return None
        start, _, rest = self.path.removeprefix("/").partition("/")
        if not secrets.compare_digest(start.encode(), self.server.key.encode()):
            self._send(*_json(404, {"error": "There is nothing here: open the address that the command printed."}))
            return None
        return rest

    def _sent(self) -> Mapping[str, Any] | str:
        """Return the object that was sent, or what is wrong with it."""
        # A form of another site cannot send this type without a preflight request, which this server never allows.
        length = self.headers.get("Content-Length", "")
        short = length.isascii() and length.isdigit() and len(length) < 9 and int(length) <= MOST_BYTES
        if short and self.headers.get_content_type() == "application/json":
            try:
                sent = json.loads(self.rfile.read(int(length)))
                if isinstance(sent, dict):
                    return sent
            except (ValueError, RecursionError):  # RecursionError: deep nesting
                pass
        return f"A JSON object of at most {MOST_BYTES} bytes is expected."

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


def _json(status: int, answer: Mapping[str, Any]) -> Answer:
    return status, "application/json", json.dumps(answer).encode()
