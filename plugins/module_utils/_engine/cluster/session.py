# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Credentials and the connections opened with them, renewed once for all threads that share them."""

from __future__ import annotations

import http.client
import io
import socket
import ssl
import threading
import time
from typing import TYPE_CHECKING, Any

from ..libraries import load
from .streams import Streams

if TYPE_CHECKING:
    from collections.abc import Callable

    from urllib3 import HTTPHeaderDict, PoolManager

    from .configuration import Configuration

USER_AGENT = "podwright"
RESPONSE_SECONDS = 180  # in which a response must be complete: an API server itself gives up after 60 s


class Response(http.client.HTTPResponse):
    """A response of which every byte must arrive before a deadline: a timeout between two bytes alone could last for ever.

    Attributes:
        deadline: monotonic time in seconds; None for a body that is a stream.
    """

    def __init__(self, sock: socket.socket, *arguments: Any, **options: Any) -> None:
        super().__init__(sock, *arguments, **options)
        self.deadline: float | None = time.monotonic() + RESPONSE_SECONDS
        self.fp = io.BufferedReader(_Reader(self, sock, self.fp.detach()))


class _Reader(io.RawIOBase):
    """Reads from a socket until the deadline of a response."""

    def __init__(self, response: Response, sock: socket.socket, raw: io.RawIOBase) -> None:
        self._response, self._sock, self._raw = response, sock, raw
        self._timeout = sock.gettimeout()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        timeout, deadline = self._timeout, self._response.deadline
        if deadline is not None:
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                raise TimeoutError
            timeout = remaining if timeout is None else min(remaining, timeout)
        self._sock.settimeout(timeout)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class Session:
    """One generation of credentials, with the connections that are opened with them.

    Attributes:
        configuration: the configuration that they are from.
    """

    def __init__(self, configuration: Configuration, connections: int, sockets: Streams) -> None:
        self.configuration = configuration
        self._connections, self._sockets = connections, sockets
        self._lock = threading.Lock()
        self._opened: tuple[PoolManager, HTTPHeaderDict] | None = None

    def open(self) -> tuple[PoolManager, HTTPHeaderDict]:
        """The pool of connections, and the headers of each request. Not before the first request, for the import of urllib3: websockets do without it."""
        with self._lock:
            if self._opened is None:
                headers: HTTPHeaderDict = load("urllib3").HTTPHeaderDict({"User-Agent": USER_AGENT})
                for name, value in self.configuration.headers():
                    headers.add(name, value.encode().decode("latin-1"))  # http.client encodes as Latin-1: the bytes sent are UTF-8
                self._opened = _open_pool(self.configuration, self._connections, self._sockets), headers
            return self._opened

    def close(self) -> None:
        """Close every idle connection at once; clearing alone leaves that to the garbage collector."""
        if self._opened is None:
            return
        pool, _headers = self._opened
        for key in pool.pools.keys():  # noqa: SIM118  the container itself cannot be iterated over
            pool.pools[key].close()
        pool.clear()


class Sessions:
    """The current session, and earlier ones, whose connections other threads may still use.

    Args:
        connections: how many connections are kept open at most.

    Attributes:
        current: the session in use.
        renewed: called with each later configuration, whose credentials are new.
        sockets: of all connections; once they are cancelled, every request fails, also one that waits for a response.
    """

    def __init__(self, configuration: Configuration, connections: int) -> None:
        self._connections = connections
        self.sockets = Streams()
        self._lock = threading.Lock()
        self._retired: list[Session] = []
        self.current = Session(configuration, connections, self.sockets)
        self.renewed: Callable[[Configuration], None] = lambda configuration: None

    def at(self, now: float) -> Session:
        """The session to use at `now` (seconds since the epoch): a new one if the credentials have expired. Raises: PodwrightError."""
        session = self.current
        expires_at = session.configuration.expires_at
        return self.renew(session) if expires_at is not None and now >= expires_at else session

    def renew(self, used: Session) -> Session:
        """The session to use after a 401 in `used`; threads that shared it get the same one. Raises: PodwrightError."""
        with self._lock:
            if self.current is used:
                self.current = Session(used.configuration.refresh(), self._connections, self.sockets)
                self._retired.append(used)
                self.renewed(self.current.configuration)
            return self.current

    def close(self) -> None:
        """Close every connection."""
        for session in [*self._retired, self.current]:
            session.close()


def _open_pool(configuration: Configuration, connections: int, sockets: Streams) -> PoolManager:
    urllib3 = load("urllib3")
    options: dict[str, Any] = {"maxsize": connections, "num_pools": 2}
    if configuration.tls:
        options["ssl_context"] = configuration.tls
        if configuration.tls.verify_mode == ssl.CERT_NONE:
            options["cert_reqs"] = "CERT_NONE"
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        if configuration.tls_server_name:
            options["server_hostname"] = configuration.tls_server_name
    manager: PoolManager = (
        urllib3.ProxyManager(configuration.proxy, proxy_headers=configuration.proxy_headers(), **options)
        if configuration.proxy
        else urllib3.PoolManager(**options)
    )
    manager.pool_classes_by_scheme = {scheme: _with_deadlines(pool, sockets) for scheme, pool in manager.pool_classes_by_scheme.items()}
    return manager


def _with_deadlines(pool: Any, sockets: Streams) -> Any:
    """A class of connection pools whose responses have a deadline, and whose sockets can be cancelled."""

    def connect(connection: Any) -> None:
        pool.ConnectionCls.connect(connection)
        sockets.add(connection.sock)

    connection = type("Connection", (pool.ConnectionCls,), {"response_class": Response, "connect": connect})
    return type("Pool", (pool,), {"ConnectionCls": connection})
