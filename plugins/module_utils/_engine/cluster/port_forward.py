# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Connections to a port of a pod over websockets (v4.channel.k8s.io of the port-forward subresource)."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import socket
import tempfile
import threading
from functools import partial
from typing import TYPE_CHECKING

from ..errors import PodwrightError
from ..text import decode
from .exec_stream import MAX_SHOWN, PING_SECONDS
from .kinds import POD
from .request import Request
from .websocket import BINARY, CLOSE, PING, PONG, Closed, open_websocket

if TYPE_CHECKING:
    from .client import Client

PROTOCOL = "v4.channel.k8s.io"
DATA, ERROR = 0, 1
PIECE = 1 << 15  # bytes
MAX_HELD = 1 << 18  # bytes from the pod that wait until the local end reads them


class Connection:
    """One connection to a port of a pod. Use it as a context manager.

    Args:
        limit: bytes from the pod after which the connection is closed, or None.
        deadline: when it must be open, by the monotonic clock, or None.

    Attributes:
        socket: the local end.
        error: why the connection failed after it was opened; empty if it did not. The socket is closed then.

    Raises: PodwrightError if it cannot be opened.
    """

    def __init__(self, client: Client, namespace: str, pod: str, port: int, limit: int | None = None, deadline: float | None = None) -> None:
        path = POD.path(namespace, pod, "portforward")
        query = (("ports", str(port)),)
        request = Request("GET", path, query, kind=POD, subresource="portforward", namespace=namespace, name=pod, retryable=False, deadline=deadline)
        self._websocket = open_websocket(client, request, [PROTOCOL])
        self.socket, self._inner = socket.socketpair()
        self._opened_channels: set[int] = set()
        self._left = limit
        self.error = ""
        self._thread = threading.Thread(target=self._forward, daemon=True, name="podwright-forward")
        self._thread.start()

    def _forward(self) -> None:
        """Transfer bytes in both directions until one end closes. The protocol has no half-close: closing one direction closes both."""
        inner, outer = self._inner, self._websocket
        inner.setblocking(False)
        held = bytearray()  # from the pod, for the local end
        try:
            while True:
                while (message := outer.receive()) is not None:
                    held += self._handle(*message)
                if held:
                    del held[: _send(inner, held)]
                self._wait(len(held))
                if not outer.has_outgoing:
                    data = _receive(inner)
                    if data == b"":
                        return
                    if data:
                        outer.send(BINARY, bytes([DATA]), data)
                outer.flush()
                if len(held) < MAX_HELD:
                    outer.fill()
        except Closed as closed:
            self.error = self.error or str(closed)
            if held:
                with contextlib.suppress(OSError):  # the local end is closed, too
                    inner.setblocking(True)
                    inner.sendall(held)
        except OSError:
            pass  # the local end is closed
        finally:
            outer.close()
            inner.close()

    def _handle(self, opcode: int, payload: bytes) -> bytes:
        """The data in a message. Raises: Closed after an error of the pod."""
        if opcode == PING:
            self._websocket.send(PONG, payload)
        elif opcode == CLOSE:
            raise Closed("the pod closed the connection")
        elif opcode == BINARY and payload:
            channel, data = payload[0], payload[1:]
            if channel not in self._opened_channels:
                self._opened_channels.add(channel)  # the first message on each channel is the number of the port
                data = data[2:]
            if channel == DATA:
                return self._count(data)
            if data:
                self.error = decode(data[:MAX_SHOWN]).strip() or "the pod reported an error"
                raise Closed(self.error)
        return b""

    def _count(self, data: bytes) -> bytes:
        """The data. Raises: Closed if the pod sent more than the limit."""
        if self._left is not None:
            self._left -= len(data)
            if self._left < 0:
                raise Closed("the pod sent too many bytes")
        return data

    def _wait(self, held: int) -> None:
        """Wait until bytes can be transferred. Neither end is read while the other does not accept more."""
        outer = self._websocket
        if outer.has_pending and held < MAX_HELD:
            return
        poll = select.poll()
        poll.register(outer.sock, (select.POLLIN if held < MAX_HELD else 0) | (select.POLLOUT if outer.has_outgoing else 0))
        poll.register(self._inner, (0 if outer.has_outgoing else select.POLLIN) | (select.POLLOUT if held else 0))
        if not poll.poll(PING_SECONDS * 1000):
            outer.send(PING, b"")

    def close(self) -> None:
        """Close both ends."""
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.socket.close()
        self._thread.join()

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _receive(sock: socket.socket) -> bytes | None:
    """The bytes that have arrived, None if there are none, b"" if the other end closed the connection."""
    try:
        return sock.recv(PIECE)
    except BlockingIOError:
        return None


def _send(sock: socket.socket, data: bytearray) -> int:
    """Send without blocking. Returns: the number of bytes sent."""
    try:
        return sock.send(data)
    except BlockingIOError:
        return 0


class Listener:
    """A port of a pod as a Unix socket that only this user can open, for libraries that need an address. Use it as a context manager.

    Args:
        deadline: when its connections must be open, by the monotonic clock.

    Attributes:
        path: path of the socket.
        error: why the last connection failed; empty if none did.
    """

    def __init__(self, client: Client, namespace: str, pod: str, port: int, deadline: float) -> None:
        self._target = partial(Connection, client, namespace, pod, port, deadline=deadline)
        self._directory = tempfile.mkdtemp(prefix="podwright-")
        self.path = os.path.join(self._directory, "socket")
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.path)
        self._listener.listen()
        self.error = ""
        self._threads: list[threading.Thread] = []
        self._thread = threading.Thread(target=self._accept, daemon=True, name="podwright-listener")
        self._thread.start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _address = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(sock,), daemon=True, name="podwright-listener")
            self._threads.append(thread)
            thread.start()

    def _serve(self, sock: socket.socket) -> None:
        try:
            with sock, self._target() as connection:
                _join(sock, connection.socket)
            self.error = connection.error or self.error
        except PodwrightError as error:
            self.error = str(error)

    def __enter__(self) -> Listener:
        return self

    def __exit__(self, *exception: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in [self._thread, *self._threads]:
            thread.join(5)
        shutil.rmtree(self._directory, ignore_errors=True)


def _join(one: socket.socket, other: socket.socket) -> None:
    """Transfer bytes between two sockets until either closes."""
    peers = {one: other, other: one}
    while True:
        for source in select.select(list(peers), [], [])[0]:
            try:
                data = source.recv(PIECE)
                if not data:
                    return
                peers[source].sendall(data)
            except OSError:
                return  # either socket is closed
