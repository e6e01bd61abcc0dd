# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A server in the process of the test with responses that the test chooses, over HTTP or TLS; it records the requests."""

from __future__ import annotations

import json
import ssl
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

# Metadata that every live object has.
LIVE_METADATA = {"uid": "uid", "resourceVersion": "1", "creationTimestamp": "2001-01-01T00:00:00Z"}
POD_OBJECT = {"apiVersion": "v1", "kind": "Pod", "metadata": LIVE_METADATA | {"name": "a", "namespace": "n"}, "spec": {"containers": [{"name": "task"}]}}


@dataclass
class Response:
    """A status, headers and a body (bytes, or a value that is sent as JSON)."""

    status: int = 200
    body: object = field(default_factory=lambda: POD_OBJECT)
    headers: dict = field(default_factory=lambda: {"Content-Type": "application/json"})


def html(status: int = 200) -> Response:
    """A login page."""
    return Response(status, b"<!DOCTYPE html><html><head><title>Sign in</title></head><body>Please.</body></html>", {"Content-Type": "text/html"})


class StubServer:
    """A context manager that runs the server.

    Args:
        respond: called with the handler of each request; returns a Response.
        context: the server's ssl.SSLContext, or None for plain HTTP.
        port: to listen on, or 0 for any.

    Attributes:
        url, port: of the server.
        heads: the request line and headers of each request as text, exactly as received.
    """

    def __init__(self, respond=lambda handler: Response(), context: ssl.SSLContext | None = None, port: int = 0):
        heads = self.heads = []

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # else each body waits 40 ms for the acknowledgement of its headers

            def setup(self):
                """Record the lines of each head as received: Python parses them more leniently than other servers."""
                super().setup()
                self.lines, readline = [], self.rfile.readline
                self.rfile = SimpleNamespace(read=self.rfile.read, close=self.rfile.close, readline=lambda size: self.keep(readline(size)))

            def keep(self, line):
                """Record a line."""
                self.lines.append(line)
                return line

            def handle_any(self):
                """Record the request and respond to it."""
                self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                heads.append(b"".join(self.lines).decode("latin-1").replace("\r\n", "\n"))
                self.lines.clear()
                response = respond(self)
                content = response.body if isinstance(response.body, bytes) else json.dumps(response.body).encode()
                self.send_response(response.status)
                for name, value in {**response.headers, "Content-Length": str(len(content))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any

            def log_message(self, *arguments):
                """Log nothing."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request, client_address):
                """Ignore errors: a client that rejects the certificate closes the connection, which some tests expect."""

        self._server = Server(("127.0.0.1", port), Handler)
        if context:
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_port
        self.url = f"{'https' if context else 'http'}://127.0.0.1:{self.port}"

    def __enter__(self):
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        return self

    def __exit__(self, *exception):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
