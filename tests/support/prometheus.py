# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A Prometheus server for tests, with one metric that the test sets."""

from __future__ import annotations

import http.server
import shutil
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from json import loads

import yaml

from ..cluster import host


class Prometheus:
    """Prometheus from the Debian package, on a free port; it scrapes the gauge `load` of this process. Use it as a context manager.

    Attributes:
        url: base URL.
        port: port.
    """

    def __init__(self, directory, address="127.0.0.1"):
        self._directory = directory
        self._address = address
        self._load = 0.0

    def __enter__(self):
        if not shutil.which("prometheus"):
            host.install(["prometheus"])
        self._metrics = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        threading.Thread(target=self._metrics.serve_forever, daemon=True).start()
        scrape = {"job_name": "test", "static_configs": [{"targets": [f"127.0.0.1:{self._metrics.server_port}"]}]}
        config = self._directory / "prometheus.yml"
        config.write_text(yaml.safe_dump({"global": {"scrape_interval": "200ms", "scrape_timeout": "200ms"}, "scrape_configs": [scrape]}))
        with http.server.HTTPServer((self._address, 0), http.server.BaseHTTPRequestHandler) as probe:
            self.port = probe.server_port
        self.url = f"http://{self._address}:{self.port}"
        command = ["prometheus", f"--config.file={config}", f"--web.listen-address={self._address}:{self.port}", f"--storage.tsdb.path={self._directory}/data"]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=(self._directory / "prometheus.log").open("wb"))
        self.set_load(0)
        return self

    def __exit__(self, *exception):
        self._process.terminate()
        self._process.wait()
        self._metrics.shutdown()
        self._metrics.server_close()

    def set_load(self, value):
        """Set the gauge and wait until Prometheus has scraped it."""
        self._load = float(value)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            if self._query() == self._load:
                return
            time.sleep(0.05)
        raise AssertionError(f"Prometheus did not scrape the value: {(self._directory / 'prometheus.log').read_text()[-2000:]}")

    def _query(self):
        try:
            with urllib.request.urlopen(f"{self.url}/api/v1/query?{urllib.parse.urlencode({'query': 'load'})}") as response:
                found = loads(response.read())["data"]["result"]
        except OSError:
            return None
        return float(found[0]["value"][1]) if found else None

    def _handler(self):
        prometheus = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                body = f"load {prometheus._load}\n".encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments):
                """Log nothing."""

        return Handler
