# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The open streams of a client, which another thread can cancel."""

from __future__ import annotations

import socket
import threading
import weakref

from ..errors import PodwrightError

CANCELLED = "Cancelled"


class Streams:
    """The sockets of the websockets and of the responses that a client reads.

    Attributes:
        cancelled: set once they are cancelled; no other stream can be opened then.
    """

    def __init__(self) -> None:
        self.cancelled = threading.Event()
        self._sockets: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        self._lock = threading.Lock()

    def check(self) -> None:
        """Raises: PodwrightError if the streams are cancelled."""
        if self.cancelled.is_set():
            raise PodwrightError("The operation was cancelled.", reason=CANCELLED)

    def add(self, sock: socket.socket | None) -> None:
        """Add the socket of a stream that was opened."""
        if sock is None:
            return
        with self._lock:
            self._sockets.add(sock)
        if self.cancelled.is_set():
            shut_down(sock)

    def cancel(self) -> None:
        """Shut down every stream, so that the threads which wait for one stop waiting at once."""
        self.cancelled.set()
        with self._lock:
            sockets = list(self._sockets)
        for sock in sockets:
            shut_down(sock)


def shut_down(sock: socket.socket | None) -> None:
    """Shut down a socket, so that another thread that waits for it stops waiting at once."""
    if sock is not None:
        try:
            # Not that of ssl.SSLSocket, which also drops the TLS state that the other thread uses.
            socket.socket.shutdown(sock, socket.SHUT_RDWR)
        except OSError:
            pass
