# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""An API server in the process of the test that injects a fault into chosen requests, down to the bytes on the connection.

It answers with a StubCluster, runs the commands of exec on this machine, and forwards ports to an HTTP server that counts requests.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import os
import socket
import threading
from contextlib import suppress

from .local_commands import frame, read_frames, serve_command
from .stub_cluster import Call

V5, V4 = "v5.channel.k8s.io", "v4.channel.k8s.io"
GREETING = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello"


class Closed(Exception):
    """The connection is to be closed."""


class Connection:
    """The server's end of a connection, of which a fault sends what it likes."""

    def __init__(self, sock, server):
        self.sock, self.server, self._received = sock, server, b""

    def send(self, *pieces):
        """Send bytes."""
        self.sock.sendall(b"".join(pieces))

    def wait(self, seconds):
        """Wait, but not longer than the server runs."""
        self.server.stopped.wait(seconds)

    def reset(self):
        """Close the connection with a RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        raise Closed

    def respond(self, answer, **options):
        """Send a response of HTTP/1.1."""
        if callable(answer.body):
            self.send(head_of(answer, chunked=True))
            for piece in answer.body():
                self.send(chunk_of(piece))
            self.send(b"0\r\n\r\n")
        else:
            self.send(head_of(answer, **options), answer.content())

    def upgrade(self, call, protocol=None, accept=None):
        """Accept a websocket."""
        key = call.headers["sec-websocket-key"].encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        digest = accept or base64.b64encode(hashlib.sha1(key).digest()).decode()
        protocol = protocol or call.headers.get("sec-websocket-protocol", "").partition(",")[0].strip()
        head = f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {digest}\r\n"
        self.send(head.encode(), f"Sec-WebSocket-Protocol: {protocol}\r\n\r\n".encode())
        return protocol

    def receive_call(self):
        """The next Call, or None if the client closed the connection."""
        while b"\r\n\r\n" not in self._received:
            if not self._fill():
                return None
        head, self._received = self._received.split(b"\r\n\r\n", 1)
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _colon, value in (line.partition(":") for line in lines)}
        size = int(headers.get("content-length", 0))
        while len(self._received) < size:
            if not self._fill():
                return None
        body, self._received = self._received[:size], self._received[size:]
        method, target, _version = first.split(" ")
        return Call(method, target, headers, body)

    def _fill(self):
        piece = self.sock.recv(1 << 16)
        self._received += piece
        return bool(piece)


def head_of(answer, chunked=False, **headers):
    """The bytes before the body of a response; `None` for a header leaves it out."""
    length = {"Transfer-Encoding": "chunked"} if chunked else {"Content-Length": str(len(answer.content()))}
    lines = {**length, **answer.headers, **{name.replace("_", "-"): value for name, value in headers.items()}}
    text = "".join(f"{name}: {value}\r\n" for name, value in lines.items() if value is not None)
    return f"HTTP/1.1 {answer.status} {http.client.responses.get(answer.status, 'Odd')}\r\n{text}\r\n".encode("latin-1")


def chunk_of(piece):
    """A chunk of a chunked body."""
    return f"{len(piece):x}\r\n".encode() + piece + b"\r\n"


class HostileServer:
    """A context manager that runs the server.

    Args:
        cluster: a StubCluster.
        fault: called with (call, connection, execute) for each request; it sends the response, or calls `execute`, which carries the
            request out and returns its Answer. None behaves well.

    Attributes:
        url: of the server.
        calls: the Calls.
        commands: the words of each command that was started.
        requests: (method, path) of each request that a forwarded port received.
    """

    def __init__(self, cluster, fault=None):
        self.cluster, self.fault = cluster, fault or behave
        self.calls, self.commands, self.requests = [], [], []
        self.stopped = threading.Event()
        self._lock, self._threads, self._socks = threading.Lock(), [], []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self):
        self._threads = [threading.Thread(target=self._accept, name="hostile-accept")]
        self._threads[0].start()
        return self

    def __exit__(self, *exception):
        self.stopped.set()
        self.cluster.stop()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._threads[0].join()
        for sock in self._socks:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()

    def _accept(self):
        while True:
            try:
                sock, _address = self._listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            thread = threading.Thread(target=self._serve, args=(sock,), name="hostile-connection")
            self._threads.append(thread)
            self._socks.append(sock)
            thread.start()

    def _serve(self, sock):
        with sock, suppress(OSError, Closed):
            connection = Connection(sock, self)
            while (call := connection.receive_call()) is not None:
                with self._lock:
                    self.calls.append(call)
                self.fault(call, connection, lambda call=call: self.cluster.answer(call))
                if call.group == "upgrade":
                    return

    # -- streams --------------------------------------------------------------------------------------------

    def run_stream(self, call, connection):
        """Carry out an exec or port-forward of a pod that exists."""
        if ("pods", call.namespace, call.name) not in self.cluster.objects:
            connection.respond(self.cluster.answer(Call("GET", call.path.rpartition("/")[0], {})))
            return
        protocol = connection.upgrade(call)
        if call.subresource == "portforward":
            self.forward(connection.sock)
            return
        words = [value for name, value in call.pairs if name == "command"]
        with self._lock:
            self.commands.append(words)
        serve_command(connection.sock, words, call.query.get("stdin") == "true", protocol, dict(os.environ))

    def forward(self, sock):
        """Serve HTTP on a forwarded port."""
        sock.sendall(frame(b"\0\x50\0") + frame(b"\1\x50\0"))
        received = b""
        for _opcode, payload in read_frames(sock):
            received += payload[1:]
            head, end, body = received.partition(b"\r\n\r\n")
            length = next((int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0)
            if end and len(body) >= length:
                method, path, _version = head.split(b"\r\n")[0].decode().split(" ")
                with self._lock:
                    self.requests.append((method, path))
                sock.sendall(frame(b"\0" + GREETING))
                received = b""


def behave(call, connection, execute):
    """Respond as an API server does."""
    if call.group == "upgrade":
        connection.server.run_stream(call, connection)
    else:
        connection.respond(execute())
