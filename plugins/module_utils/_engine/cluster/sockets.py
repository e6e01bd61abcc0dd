# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Connected sockets for websockets, directly or in the tunnel of a proxy: websocket-client reads NO_PROXY itself and has no TLS to a proxy."""

from __future__ import annotations

import http.client
import select
import socket
import ssl
import threading
import urllib.parse
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .configuration import Configuration
    from .streams import Streams

NOT_YET = (ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError)
_PIECE = 1 << 16  # bytes
_KEEPALIVE = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}  # by which the kernel notices a lost connection after a minute


def connect(configuration: Configuration, timeout: float, opening: Streams) -> socket.socket:
    """A socket to the API server, within TLS if its URL says so.

    Args:
        timeout: seconds for the connection, and for each read of a handshake.
        opening: gets each socket as soon as it is connected, so that the caller can cancel what follows.

    Raises: OSError, or ValueError for a name that cannot be encoded.
    """
    host, port = _address(configuration.server)
    if configuration.proxy:
        sock = _connect(*_address(configuration.proxy), timeout, opening)
        try:
            if configuration.proxy.startswith("https:"):
                sock = _start_tls(sock, _proxy_context(configuration), _address(configuration.proxy)[0], opening)
            headers = configuration.proxy_headers() or {}
            # The login for the API server is none of the proxy's business.
            _open_tunnel(sock, host, port, {name: value for name, value in headers.items() if name != "authorization"})
        except BaseException:
            sock.close()
            raise
        if isinstance(sock, ssl.SSLSocket):
            sock = _within(sock, timeout, opening)
    else:
        sock = _connect(host, port, timeout, opening)
    return _start_tls(sock, configuration.tls, configuration.tls_server_name or host, opening) if configuration.tls else sock


def _address(url: str) -> tuple[str, int]:
    parts = urllib.parse.urlsplit(url)
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def _connect(host: str, port: int, timeout: float, opening: Streams) -> socket.socket:
    sock = socket.create_connection((host, port), timeout)
    opening.add(sock)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE.items():
        if hasattr(socket, name):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return sock


def _start_tls(sock: socket.socket, context: ssl.SSLContext, host: str, opening: Streams) -> ssl.SSLSocket:
    try:
        wrapped = context.wrap_socket(sock, server_hostname=host, do_handshake_on_connect=False)
    except BaseException:
        sock.close()
        raise
    opening.add(wrapped)
    try:
        wrapped.do_handshake()
    except BaseException:
        wrapped.close()
        raise
    return wrapped


def _proxy_context(configuration: Configuration) -> ssl.SSLContext:
    """As urllib3 verifies a proxy for other requests: by the authorities of this machine, unless nothing is verified."""
    context = ssl.create_default_context()
    if configuration.tls and configuration.tls.verify_mode == ssl.CERT_NONE:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


class TunnelRefused(ConnectionError):
    """A proxy does not connect to the API server.

    Attributes:
        status: its HTTP status.
    """

    def __init__(self, status: int) -> None:
        super().__init__(f"the proxy responded to CONNECT with {status}")
        self.status = status


def _open_tunnel(sock: socket.socket, host: str, port: int, headers: dict[str, str]) -> None:
    target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}", *(f"{name}: {value}" for name, value in headers.items())]
    sock.sendall("".join(f"{line}\r\n" for line in [*lines, ""]).encode())
    response = http.client.HTTPResponse(sock, method="CONNECT")
    try:
        response.begin()
    except (OSError, http.client.HTTPException) as error:
        # Not a lost connection to the server, which has received nothing.
        raise ConnectionError(f"the proxy did not respond to CONNECT ({type(error).__name__})") from error
    finally:
        response.close()
    if not 200 <= response.status < 300:
        raise TunnelRefused(response.status)


def _within(outer: ssl.SSLSocket, timeout: float, opening: Streams) -> socket.socket:
    """A socket whose bytes are sent within a TLS connection: Python cannot wrap that in another one."""
    ours, theirs = socket.socketpair()
    ours.settimeout(timeout)
    opening.add(ours)
    threading.Thread(target=_relay, args=(theirs, outer), name="podwright-proxy", daemon=True).start()
    return ours


def _relay(inner: socket.socket, outer: ssl.SSLSocket) -> None:
    """Relay in both directions, neither of which waits for the other, until one end is closed."""
    held: dict[socket.socket, bytes] = {inner: b"", outer: b""}  # bytes to send to each
    with inner, outer, suppress(OSError):
        inner.setblocking(False)
        outer.setblocking(False)
        while True:
            moved = [_move(source, target, held) for source, target in ((inner, outer), (outer, inner))]
            if None in moved:
                return
            if not any(moved):
                _wait(inner, outer, held)


def _wait(inner: socket.socket, outer: socket.socket, held: dict[socket.socket, bytes]) -> None:
    """Wait until bytes can be received or sent."""
    poll = select.poll()
    for sock, other in ((inner, outer), (outer, inner)):
        events = (0 if held[other] else select.POLLIN) | (select.POLLOUT if held[sock] else 0)
        if events:  # else poll returns at once as long as that end is closed
            poll.register(sock, events)
    poll.poll()


def _move(source: socket.socket, target: socket.socket, held: dict[socket.socket, bytes]) -> bool | None:
    """Send what is held, or what has arrived. Returns: whether bytes were sent; None once the source is closed."""
    try:
        held[target] = held[target] or source.recv(_PIECE)
        if not held[target]:
            return None
        held[target] = held[target][target.send(held[target]) :]
    except NOT_YET:
        return False
    return True
