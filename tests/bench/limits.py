# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The bare requests that some work needs: the limit that no client can beat. `python -m tests.bench.limits NAME` reads arguments from standard input."""

from __future__ import annotations

import base64
import http.client
import json
import os
import resource
import socket
import struct
import sys
import threading
import time
import urllib.parse
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.configuration import Configuration

THREADS = 16
FRAME = 1 << 16
SINK = ["sh", "-c", "cat > /tmp/copied; exit $?"]  # a shell that stays: containerd drops the input of a command that closes its output


class Server:
    """Connections to the API server of KUBECONFIG, without anything around them."""

    def __init__(self) -> None:
        configuration = Configuration({"kubeconfig": os.environ["KUBECONFIG"]})
        url = urllib.parse.urlsplit(configuration.server)
        self.host, self.port, self.tls = url.hostname or "", url.port or 443, configuration.tls
        self.headers = dict(configuration.headers())
        self._threads = threading.local()

    def request(self, method: str, path: str, body: object = None, content_type: str = "application/json") -> bytes:
        """Send a request over the connection of this thread. Raises: RuntimeError for a status from 400."""
        connection = getattr(self._threads, "connection", None)
        if connection is None:
            connection = self._threads.connection = http.client.HTTPSConnection(self.host, self.port, context=self.tls)
        content = None if body is None else json.dumps(body)
        connection.request(method, path, content, self.headers | {"Content-Type": content_type, "Accept": "application/json"})
        response = connection.getresponse()
        data: bytes = response.read()
        if response.status >= 400:
            raise RuntimeError(f"{method} {path}: {response.status} {data[:200]!r}")
        return data

    def in_parallel(self, requests: list[tuple[Any, ...]]) -> None:
        """Send requests over several connections."""
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(lambda request: self.request(*request), requests))

    def connect(self) -> socket.socket:
        """Open a connection."""
        raw = socket.create_connection((self.host, self.port))
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self.tls.wrap_socket(raw, server_hostname=self.host) if self.tls else raw


class Exec:
    """One command in a container over a websocket of its own; frames have a mask of zeros."""

    def __init__(self, server: Server, namespace: str, pod: str, command: list[str], stdin: bool = False) -> None:
        query = urllib.parse.urlencode([("command", word) for word in command] + [("stdout", "true"), ("stderr", "true"), ("stdin", str(stdin).lower())])
        lines = [
            f"GET /api/v1/namespaces/{namespace}/pods/{pod}/exec?{query} HTTP/1.1",
            f"Host: {server.host}:{server.port}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Protocol: v5.channel.k8s.io",
            *(f"{name}: {value}" for name, value in server.headers.items()),
        ]
        self._socket = server.connect()
        self._socket.sendall("\r\n".join([*lines, "", ""]).encode())
        self._file = self._socket.makefile("rb", FRAME * 4)
        if b" 101 " not in self._file.readline():
            raise RuntimeError("the websocket was refused")
        while self._file.readline().strip():
            pass

    def send(self, channel: int, data: bytes) -> None:
        """Send one message."""
        size = len(data) + 1
        length = struct.pack(">BB", 0x82, 0x80 | size) if size < 126 else struct.pack(">BBQ", 0x82, 0xFF, size)
        self._socket.sendall(length + bytes(4) + bytes([channel]) + data)

    def read(self) -> int:
        """Read until the status arrives. Returns: how many bytes of standard output arrived. Raises: RuntimeError if the command failed."""
        received = 0
        while True:
            opcode, size = self._file.read(2)
            length = size & 0x7F
            length = struct.unpack(">H", self._file.read(2))[0] if length == 126 else struct.unpack(">Q", self._file.read(8))[0] if length == 127 else length
            payload = self._file.read(length)
            if opcode & 0xF == 8:
                raise RuntimeError("the connection was closed before the status")
            if opcode & 0xF > 2 or not payload:
                continue
            if payload[0] == 1:
                received += length - 1
            elif payload[0] == 3:
                if b'"Success"' not in payload:
                    raise RuntimeError(payload[1:].decode())
                self._socket.close()
                return received


def execs(server: Server, namespace: str, pod: str, count: int, threads: int = 1) -> None:
    """Run the command `true` so many times."""
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda _number: Exec(server, namespace, pod, ["true"]).read(), range(count)))


def upload(server: Server, namespace: str, pod: str, path: str, command: list[str] | None = None) -> None:
    """Send a file to the standard input of a command."""
    stream = Exec(server, namespace, pod, command or SINK, stdin=True)
    with open(path, "rb") as source:
        while data := source.read(FRAME):
            stream.send(0, data)
    stream.send(255, b"\0")  # the end of standard input
    stream.read()


def download(server: Server, namespace: str, pod: str, path: str) -> None:
    """Read a file of the container."""
    Exec(server, namespace, pod, ["cat", path]).read()


def requests(server: Server, requests: list[list[Any]]) -> None:
    """Send requests, (method, path, body, content type), in parallel."""
    server.in_parallel([tuple(request) for request in requests])


def create(server: Server, path: str, body: dict[str, Any], count: int, waits: bool = False) -> None:
    """Create so many objects like a given one in parallel, and wait until they are ready if those are pods."""
    version = json.loads(server.request("GET", f"{path}?limit=1"))["metadata"]["resourceVersion"] if waits else ""
    server.in_parallel([("POST", path, body | {"metadata": body["metadata"] | {"name": f"bare-{number}"}}) for number in range(count)])
    if not waits:
        return
    connection = http.client.HTTPSConnection(server.host, server.port, context=server.tls)
    connection.request("GET", f"{path}?watch=1&resourceVersion={version}", headers=server.headers)
    response, ready = connection.getresponse(), set()
    while len(ready) < count:
        pod = json.loads(response.readline())["object"]
        if any(one["type"] == "Ready" and one["status"] == "True" for one in pod["status"].get("conditions", ())):
            ready.add(pod["metadata"]["name"])


def delete(server: Server, path: str, names: list[str]) -> None:
    """Delete objects in parallel."""
    server.in_parallel([("DELETE", f"{path}/{name}", {"propagationPolicy": "Background"}) for name in names])


def listing(server: Server, path: str) -> None:
    """Read a collection in one LIST request, and hold it."""
    json.loads(server.request("GET", path))


FUNCTIONS: dict[str, Callable[..., None]] = {one.__name__: one for one in (execs, upload, download, requests, create, delete, listing)}


def main() -> None:
    """Run a function and print what it took as JSON, without the start of Python."""
    arguments, server = json.load(sys.stdin), Server()
    before, started = resource.getrusage(resource.RUSAGE_SELF), time.monotonic()
    FUNCTIONS[sys.argv[1]](server, **arguments)
    seconds, after = time.monotonic() - started, resource.getrusage(resource.RUSAGE_SELF)
    with open("/proc/self/status", encoding="utf-8") as status:
        peak = int(status.read().split("VmHWM:")[1].split()[0]) * 1024
    print(json.dumps({"seconds": seconds, "cpu": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, "peak": peak}))


if __name__ == "__main__":
    main()
