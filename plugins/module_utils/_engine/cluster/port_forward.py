# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Connections to a port of a pod over websockets (v4.channel.k8s.io of the port-forward subresource)."""

from __future__ import annotations

import os
import select
import shutil
import socket
import tempfile
import threading

from ..errors import PodwrightError
from .exec_stream import PING_SECONDS
from .kinds import POD
from .request import Request
from .websocket import BINARY, CLOSE, PING, PONG, Closed, open_websocket

PROTOCOL = "v4.channel.k8s.io"
DATA, ERROR = 0, 1
PIECE = 1 << 15
MOST_HELD = 1 << 18  # bytes from the pod that wait for this end to take them


class Connection:
    """One connection to a pod's port: `socket` is this end of it. Use it as a context manager.

    Args:
        client: a Client.
        namespace, pod: where.
        port: number of the port in the pod.

    Raises: PodwrightError where it cannot be opened. Later faults close the socket; `error` then says why.
    """

    def __init__(self, client, namespace, pod, port):
        request = Request(
            "GET",
            POD.path(namespace, pod, "portforward"),
            (("ports", str(port)),),
            kind=POD,
            subresource="portforward",
            namespace=namespace,
            name=pod,
            retryable=False,
        )
        self._websocket = open_websocket(client, request, [PROTOCOL])
        self.socket, self._inner = socket.socketpair()
        self._greeted = set()
        self.error = ""
        self._thread = threading.Thread(target=self._pass_on, daemon=True, name="podwright-forward")
        self._thread.start()

    def _pass_on(self):
        """Move bytes both ways until one end closes. The protocol has no half-close: either end's close is the whole's."""
        inner, outer = self._inner, self._websocket
        inner.setblocking(False)
        held = bytearray()  # for the inner end
        try:
            while True:
                while (message := outer.receive()) is not None:
                    held += self._take(*message)
                if held:
                    del held[: _send(inner, held)]
                self._wait(len(held))
                if not outer.has_outgoing:
                    data = _receive(inner)
                    if data == b"":
                        return
                    if data:
                        outer.send(BINARY, b"\0" + data)
                outer.flush()
                if len(held) < MOST_HELD:
                    outer.fill()
        except Closed as closed:
            self.error = self.error or str(closed)
            if held:
                inner.setblocking(True)
                inner.sendall(held)
        except OSError:
            pass  # this end was closed
        finally:
            outer.close()
            inner.close()

    def _take(self, opcode, payload):
        if opcode == PING:
            self._websocket.send(PONG, payload)
        elif opcode == CLOSE:
            raise Closed("the pod closed the connection")
        elif opcode == BINARY and payload:
            channel, data = payload[0], payload[1:]
            if channel not in self._greeted:
                self._greeted.add(channel)  # the first message on each channel is the port's number
                data = data[2:]
            if channel == DATA:
                return data
            if data:
                self.error = data.decode("utf-8", "replace").strip()
                raise Closed(self.error)
        return b""

    def _wait(self, held):
        """Wait until something can move; nothing is read that the other end does not take."""
        outer = self._websocket
        if outer.has_pending and held < MOST_HELD:
            return
        poll = select.poll()
        poll.register(outer.sock, (select.POLLIN if held < MOST_HELD else 0) | (select.POLLOUT if outer.has_outgoing else 0))
        poll.register(self._inner, (0 if outer.has_outgoing else select.POLLIN) | (select.POLLOUT if held else 0))
        if not poll.poll(PING_SECONDS * 1000):
            outer.send(PING, b"")

    def close(self):
        """Close both ends."""
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.socket.close()
        self._thread.join()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()


def _receive(sock):
    """What has arrived, None where nothing has, b"" at the end."""
    try:
        return sock.recv(PIECE)
    except BlockingIOError:
        return None


def _send(sock, data):
    try:
        return sock.send(data)
    except BlockingIOError:
        return 0


class Listener:
    """A pod's port as a Unix socket that only this user can open, for libraries that want an address. Use it as a context manager.

    Attributes:
        path: of the socket.
        error: why the last connection failed, for a person.
    """

    def __init__(self, client, namespace, pod, port):
        self._target = (client, namespace, pod, port)
        self._folder = tempfile.mkdtemp(prefix="podwright-")
        self.path = os.path.join(self._folder, "socket")
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.path)
        self._listener.listen()
        self.error = ""
        self._threads = []
        self._thread = threading.Thread(target=self._accept, daemon=True, name="podwright-listener")
        self._thread.start()

    def _accept(self):
        while True:
            try:
                sock, _address = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(sock,), daemon=True, name="podwright-listener")
            self._threads.append(thread)
            thread.start()

    def _serve(self, sock):
        try:
            with sock, Connection(*self._target) as connection:
                _join(sock, connection.socket)
            self.error = connection.error or self.error
        except PodwrightError as error:
            self.error = str(error)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in [self._thread, *self._threads]:
            thread.join(5)
        shutil.rmtree(self._folder, ignore_errors=True)


def _join(one, other):
    """Move bytes between two sockets until either ends."""
    ways = {one: other, other: one}
    while True:
        for source in select.select(list(ways), [], [])[0]:
            try:
                data = source.recv(PIECE)
                if not data:
                    return
                ways[source].sendall(data)
            except OSError:
                return  # either end is gone
