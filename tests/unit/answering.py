# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A server in the test's process that answers what a test wants, over HTTP or TLS, and keeps what it was sent."""

from __future__ import annotations

import json
import ssl
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

POD_OBJECT = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "namespace": "n"}}


@dataclass
class Answer:
    """A status, headers and a body (bytes, or an object that becomes JSON)."""

    status: int = 200
    body: object = field(default_factory=lambda: POD_OBJECT)
    headers: dict = field(default_factory=lambda: {"Content-Type": "application/json"})


def html(status: int = 200) -> Answer:
    """What a login page answers."""
    return Answer(status, b"<!DOCTYPE html><html><head><title>Sign in</title></head><body>Please.</body></html>", {"Content-Type": "text/html"})


class AnsweringServer:
    """Use it as a context manager.

    Args:
        answer: called with each request's handler; returns an Answer.
        context: a server's ssl.SSLContext, or None for plain HTTP.

    Attributes:
        url: of the server.
        heads: the request line and headers of each request as text, as they came.
    """

    def __init__(self, answer=lambda handler: Answer(), context: ssl.SSLContext | None = None):
        heads = self.heads = []

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # or a body waits for the acknowledgement of its head: 40 ms

            def setup(self):
                """Keep the lines of each head as they come: what Python makes of them is another matter."""
                super().setup()
                self.lines, readline = [], self.rfile.readline
                self.rfile = SimpleNamespace(read=self.rfile.read, close=self.rfile.close, readline=lambda size: self.keep(readline(size)))

            def keep(self, line):
                """Keep a line."""
                self.lines.append(line)
                return line

            def handle_any(self):
                """Keep the request and answer it."""
                self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                heads.append(b"".join(self.lines).decode("latin-1").replace("\r\n", "\n"))
                self.lines.clear()
                given = answer(self)
                content = given.body if isinstance(given.body, bytes) else json.dumps(given.body).encode()
                self.send_response(given.status)
                for name, value in {**given.headers, "Content-Length": str(len(content))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any

            def log_message(self, *arguments):
                """Say nothing."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request, client_address):
                """A client that refuses the certificate hangs up: that is what some tests want."""

        self._server = Server(("127.0.0.1", 0), Handler)
        if context:
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.url = f"{'https' if context else 'http'}://127.0.0.1:{self._server.server_port}"

    def __enter__(self):
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.005})
        self._thread.start()
        return self

    def __exit__(self, *exception):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
