# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A collector of spans that responds as a test wants."""

from __future__ import annotations

import contextlib
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer


class Collector:
    """Receives spans by OTLP over HTTP with JSON. Use it as a context manager.

    Attributes:
        requests: (path, headers, spans) of each request.
        url: base URL.
    """

    def __init__(self, status=200, body=b"{}"):
        self.requests, self._status, self._body = [], status, body

    def __enter__(self):
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                spans = [span for resource in sent["resourceSpans"] for scope in resource["scopeSpans"] for span in scope["spans"]]
                collector.requests.append((self.path, dict(self.headers), spans))
                self.send_response(collector._status)
                self.send_header("Content-Length", str(len(collector._body)))
                self.end_headers()
                with contextlib.suppress(OSError):
                    self.wfile.write(collector._body)

            def log_message(self, *arguments):
                """Log nothing."""

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *exception):
        self._server.shutdown()
        self._server.server_close()

    @property
    def spans(self):
        """The spans of all requests."""
        return [span for _path, _headers, spans in self.requests for span in spans]
