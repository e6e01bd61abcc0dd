# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Websockets to the API server (RFC 6455): opened by websocket-client, then driven by one thread that never blocks."""

from __future__ import annotations

import os
import socket
import ssl
import struct
import urllib.parse
from collections import deque

from ..errors import PodwrightError
from ..libraries import load
from .responses import refuse_upgrade
from .session import USER_AGENT
from .transport import CONNECT_TIMEOUT

SWITCHING_PROTOCOLS = 101
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
READ_AHEAD = 1 << 18  # bytes kept of what has arrived
LARGEST_FRAME = 1 << 26
_NOT_YET = (ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError)


class Closed(Exception):
    """The connection is over; the text says how."""


def open_websocket(client, request, protocols):
    """Open a websocket for a Request, with every header and proxy of the client's configuration.

    A 401 is tried once more with fresh credentials. Nothing has been started on the server where this raises.

    Returns: a WebSocket; its `protocol` is what the server chose.
    Raises: PodwrightError, with `status` where the server answered.
    """
    session = client.sessions.at(client.clock.now())
    try:
        return _open(session.configuration, request, protocols)
    except PodwrightError as error:
        if error.status != 401:
            raise
    return _open(client.sessions.renew(session).configuration, request, protocols)


def _open(configuration, request, protocols):
    websocket = load("websocket")
    url = "ws" + configuration.server.removeprefix("http") + request.target
    headers = [f"{name}: {value}" for name, value in configuration.headers()] + [f"User-Agent: {USER_AGENT}"]
    route = _route(configuration)
    sockopt = ((socket.IPPROTO_TCP, socket.TCP_NODELAY, 1), (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1))
    connection = websocket.WebSocket(sockopt=sockopt, sslopt=route.pop("sslopt", {}))
    failure = None
    try:
        connection.connect(url, timeout=CONNECT_TIMEOUT, header=headers, subprotocols=protocols, redirect_limit=0, **route)
    except websocket.WebSocketBadStatusException as error:
        _refuse(request, error.status_code, error.resp_headers, error.resp_body, configuration)
    except (websocket.WebSocketException, OSError, ValueError) as error:
        failure = error
    answer = connection.handshake_response  # of a redirect, too: some versions of the library raise for it, others do not
    if answer is not None and answer.status != SWITCHING_PROTOCOLS:
        connection.shutdown()
        _refuse(request, answer.status, answer.headers, None, configuration)
    if failure or answer is None:
        raise PodwrightError(
            f"No websocket to {configuration.server} (from {configuration.source}) for {request.name}: {configuration.mask(str(failure))}",
            reason="Refused",
            hint="Check the network, and that a proxy between here and the cluster lets websockets through.",
        ) from failure
    return WebSocket(connection.sock, connection.getsubprotocol())


def _refuse(request, status, headers, content, configuration):
    refuse_upgrade(request, status, load("urllib3").HTTPHeaderDict(headers or {}), content or b"", configuration)


def _route(configuration):
    options = {"http_no_proxy": ["*"]}
    if configuration.proxy:
        proxy = urllib.parse.urlsplit(configuration.proxy)
        options = {"http_proxy_host": proxy.hostname, "http_proxy_port": proxy.port or 80, "proxy_type": proxy.scheme}
        if configuration.proxy_login:
            options["http_proxy_auth"] = tuple(configuration.proxy_login.split(":", 1))
    if configuration.tls:
        options["sslopt"] = {"context": configuration.tls}
        if configuration.tls_server_name:
            options["sslopt"]["server_hostname"] = configuration.tls_server_name
    return options


class WebSocket:
    """Messages over a connected socket. Neither `fill` nor `flush` blocks: whoever drives it waits for the socket.

    Args:
        sock: the connected socket, with or without TLS; it is this object's from now on.
        protocol: the subprotocol that was agreed on, or None.
    """

    def __init__(self, sock, protocol=None):
        sock.setblocking(False)
        self.sock = sock
        self.protocol = protocol
        self._is_private = isinstance(sock, ssl.SSLSocket)
        self._incoming = bytearray()
        self._outgoing = deque()
        self._message = None  # (opcode, bytearray) of a message that came in parts so far
        self._wanted = 0  # size of the frame that is only partly there
        self._ended = None

    # -- sending --------------------------------------------------------------------------------------------

    @property
    def has_outgoing(self):
        """Whether something waits to be sent."""
        return bool(self._outgoing)

    def send(self, opcode, *pieces):
        """Queue a message of some pieces of bytes; `flush` sends it."""
        size = sum(map(len, pieces))
        length = bytes([0x80 | size]) if size < 126 else struct.pack(">BH", 0xFE, size) if size < 1 << 16 else struct.pack(">BQ", 0xFF, size)
        key = self._make_key()
        if key != bytes(4):
            repeated = int.from_bytes((key * (size // 4 + 1))[:size], "little")
            pieces = [(int.from_bytes(b"".join(pieces), "little") ^ repeated).to_bytes(size, "little")]
        self._outgoing.append(memoryview(b"".join((bytes([0x80 | opcode]), length, key, *pieces))))

    def _make_key(self):
        # A mask hides the bytes from proxies that read along (RFC 6455, 10.3); inside TLS there are none, and zero costs nothing.
        return bytes(4) if self._is_private else os.urandom(4)

    def flush(self):
        """Send as much as the socket takes now. Returns the number of bytes."""
        sent = 0
        try:
            while self._outgoing:
                count = self.sock.send(self._outgoing[0])
                sent += count
                if count < len(self._outgoing[0]):
                    self._outgoing[0] = self._outgoing[0][count:]
                else:
                    self._outgoing.popleft()
        except _NOT_YET:
            pass
        except OSError as error:
            self._outgoing.clear()
            self.fill()  # what the server said before it closed the connection may wait here
            self._ended = self._ended or _describe(error)
        return sent

    # -- receiving ------------------------------------------------------------------------------------------

    @property
    def has_pending(self):
        """Whether TLS holds decrypted bytes that no readiness of the socket will announce."""
        return self._is_private and self.sock.pending() > 0

    def fill(self):
        """Take what has arrived, up to a limit. Returns the number of bytes."""
        before = len(self._incoming)
        try:
            while len(self._incoming) < max(READ_AHEAD, self._wanted):
                chunk = self.sock.recv(1 << 16)
                if not chunk:
                    self._ended = "the other end closed the connection"
                    break
                self._incoming += chunk
        except _NOT_YET:
            pass
        except OSError as error:
            self._ended = _describe(error)
        return len(self._incoming) - before

    def receive(self):
        """The next whole message that has arrived, (opcode, bytes), or None.

        Raises: Closed once everything that came before the connection's end was handed out, and where the framing is broken.
        """
        while True:
            frame = self._next_frame()
            if frame is None:
                if self._ended:
                    raise Closed(self._ended)
                return None
            is_final, opcode, payload = frame
            if opcode >= CLOSE:
                return opcode, payload
            if opcode == CONTINUATION and self._message is None:
                raise Closed("a message's middle came without its beginning")
            if opcode != CONTINUATION:
                if is_final:
                    return opcode, payload
                self._message = (opcode, bytearray())
            self._message[1].extend(payload)
            if is_final:
                whole, self._message = self._message, None
                return whole[0], bytes(whole[1])

    def _next_frame(self):
        buffer = self._incoming
        if len(buffer) < 2:
            return None
        size, start = buffer[1] & 0x7F, 2
        if buffer[0] & 0x70 or buffer[1] & 0x80:
            raise Closed("what came is no frame of a websocket server")
        if size >= 126:
            start = 4 if size == 126 else 10
            if len(buffer) < start:
                return None
            size = int.from_bytes(buffer[2:start], "big")
        if size > LARGEST_FRAME:
            raise Closed(f"a frame of {size} bytes was announced")
        self._wanted = start + size
        if len(buffer) < self._wanted:
            return None
        payload = bytes(memoryview(buffer)[start : start + size])
        first = buffer[0]
        del buffer[: start + size]
        return bool(first & 0x80), first & 0x0F, payload

    def close(self):
        """Close the connection at once; what is queued is not sent."""
        try:
            self.sock.close()
        except OSError:
            pass


def _describe(error):
    return error.strerror or str(error)
