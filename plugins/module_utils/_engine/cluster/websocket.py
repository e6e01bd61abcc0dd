# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Websockets to the API server (RFC 6455), opened by websocket-client and then used without blocking."""

from __future__ import annotations

import os
import socket
import ssl
import struct
import threading
from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ..errors import BAD_CERTIFICATE, CONNECTION_LOST, PodwrightError
from ..libraries import load
from .responses import refuse_upgrade
from .session import USER_AGENT
from .sockets import NOT_YET, TunnelRefused, connect
from .streams import Streams
from .transport import CONNECT_TIMEOUT

if TYPE_CHECKING:
    from .client import Client
    from .configuration import Configuration
    from .request import Request

SWITCHING_PROTOCOLS, PROXY_AUTHENTICATION_REQUIRED = 101, 407
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = _OPCODES = (0, 1, 2, 8, 9, 10)
UPGRADE_SECONDS = 40  # in which a websocket must be open: an API server gives up on a node after 30 s
OUTAGE_PAUSE = 1  # seconds between attempts to reach a server
READ_AHEAD = 1 << 18  # received bytes to buffer
MAX_MESSAGE = 1 << 24  # bytes of a message, and of a frame; servers send some 32 KiB at once
MAX_CONTROL = 125  # bytes (RFC 6455, 5.5)
MAX_QUEUED = 64  # frames after which no further pong is queued: the other end reads none
_NETWORK_HINT = "Check the network, and that proxies between this host and the cluster support websockets."
_LOGIN_HINT = "Set proxy_headers.proxy_basic_auth to the name and password for the proxy."


class Closed(Exception):
    """The connection is closed; the message says how."""


def open_websocket(client: Client, request: Request, protocols: list[str]) -> WebSocket:
    """Open a websocket with the headers, proxy and TLS of the client's configuration, after a 401 once more with new credentials.

    A server that has responded before and cannot be reached is awaited as for other requests, until the deadline of the request.

    Args:
        protocols: subprotocols to offer; the server selects one.

    Raises: PodwrightError, with `status` if the server answered; nothing has started on the server then.
    """
    client.streams.check()
    session, was_renewed, failing_since = client.sessions.at(client.clock.now()), False, client.clock.monotonic()
    while True:
        try:
            websocket = _open(session.configuration, request, protocols, _seconds_left(client, request))
            break
        except PodwrightError as error:
            if request.deadline is not None and not error.status and client.clock.monotonic() >= request.deadline:
                raise PodwrightError(error.message, reason="Timeout", hint=f"Raise timeout. {error.hint}") from error
            client.availability.note_response() if error.status else client.availability.note_failure()
            if error.status == 401 and not was_renewed:
                session, was_renewed = client.sessions.renew(session), True
            elif client.availability.lets_retry(error, failing_since):
                client.clock.sleep(min(OUTAGE_PAUSE, _seconds_left(client, request)))
            else:
                raise
    client.availability.note_response()
    client.streams.add(websocket.sock)
    return websocket


def _seconds_left(client: Client, request: Request) -> float:
    left = UPGRADE_SECONDS if request.deadline is None else request.deadline - client.clock.monotonic()
    return max(min(left, UPGRADE_SECONDS), 0.01)


def _open(configuration: Configuration, request: Request, protocols: list[str], seconds: float) -> WebSocket:
    websocket = load("websocket")
    url = "ws" + configuration.server.removeprefix("http") + request.target
    headers = [f"{name}: {value}" for name, value in configuration.headers()] + [f"User-Agent: {USER_AGENT}"]
    connection, opening = websocket.WebSocket(), Streams()
    failure: Exception | None = None
    # The library limits neither the time nor the size of the response.
    watchdog = threading.Timer(seconds, opening.cancel)
    watchdog.start()
    try:
        sock = connect(configuration, min(CONNECT_TIMEOUT, seconds), opening)
        sock.settimeout(seconds)
        connection.connect(url, socket=sock, header=headers, subprotocols=protocols, redirect_limit=0)
    except websocket.WebSocketBadStatusException as error:
        _refuse(request, error.status_code, error.resp_headers, error.resp_body, configuration)
    except Exception as caught:  # of any type, for a response that is not one of HTTP
        failure = caught
    finally:
        watchdog.cancel()
        watchdog.join()
    answer = connection.handshake_response  # also of a redirect, for which only some versions of the library raise
    if answer is not None and answer.status != SWITCHING_PROTOCOLS:
        connection.shutdown()
        _refuse(request, answer.status, answer.headers, None, configuration)
    if failure or answer is None:
        # A server whose connection is lost may have executed the request.
        is_lost = isinstance(failure, (ConnectionResetError, BrokenPipeError, websocket.WebSocketConnectionClosedException))
        cause = f"no response within {round(seconds, 1):g} s" if opening.cancelled.is_set() else configuration.mask(str(failure))
        unopened = PodwrightError(
            f"Could not open a websocket to {configuration.place} for {request.name}: {cause}",
            reason=CONNECTION_LOST if is_lost else BAD_CERTIFICATE if isinstance(failure, ssl.SSLCertVerificationError) else "Refused",
            hint=_LOGIN_HINT if isinstance(failure, TunnelRefused) and failure.status == PROXY_AUTHENTICATION_REQUIRED else _NETWORK_HINT,
        )
        unopened.is_unreachable = isinstance(failure, (ConnectionRefusedError, socket.gaierror))
        raise unopened from failure
    return WebSocket(connection.sock, connection.getsubprotocol())


def _refuse(request: Request, status: int, headers: Mapping[str, str] | None, content: bytes | None, configuration: Configuration) -> None:
    refuse_upgrade(request, status, load("urllib3").HTTPHeaderDict(headers or {}), content or b"", configuration)


class WebSocket:
    """Messages over a connected socket. `fill` and `flush` do not block: the caller waits for the socket.

    Args:
        sock: a connected socket, with or without TLS; `close` closes it.
        protocol: the subprotocol that the server selected, or None.
    """

    def __init__(self, sock: socket.socket, protocol: str | None = None) -> None:
        sock.setblocking(False)
        self.sock = sock
        self.protocol = protocol
        self._tls = sock if isinstance(sock, ssl.SSLSocket) else None
        self._incoming = bytearray()
        self._outgoing: deque[memoryview] = deque()
        self._fragments: tuple[int, bytearray] | None = None  # opcode and payload of an incomplete message
        self._frame_size = 0  # bytes of an incomplete frame
        self._closed = ""  # how the connection was closed

    # -- sending --------------------------------------------------------------------------------------------

    @property
    def has_outgoing(self) -> bool:
        """Whether bytes are queued."""
        return bool(self._outgoing)

    def send(self, opcode: int, *pieces: bytes | memoryview) -> None:
        """Queue one message with this payload; `flush` sends it."""
        if opcode == PONG and len(self._outgoing) >= MAX_QUEUED:
            return
        size = sum(map(len, pieces))
        length = bytes([0x80 | size]) if size < 126 else struct.pack(">BH", 0xFE, size) if size < 1 << 16 else struct.pack(">BQ", 0xFF, size)
        key = self._make_key()
        if key != bytes(4):
            repeated = int.from_bytes((key * (size // 4 + 1))[:size], "little")
            pieces = ((int.from_bytes(b"".join(pieces), "little") ^ repeated).to_bytes(size, "little"),)
        self._outgoing.append(memoryview(b"".join((bytes([0x80 | opcode]), length, key, *pieces))))

    def _make_key(self) -> bytes:
        # A mask protects proxies that interpret the payload (RFC 6455, 10.3). Inside TLS there are none, and a mask of zeros costs nothing.
        return bytes(4) if self._tls else os.urandom(4)

    def flush(self) -> int:
        """Send as much as the socket accepts now. Returns: the number of bytes."""
        sent = 0
        try:
            while self._outgoing:
                count = self.sock.send(self._outgoing[0])
                sent += count
                if count < len(self._outgoing[0]):
                    self._outgoing[0] = self._outgoing[0][count:]
                else:
                    self._outgoing.popleft()
        except NOT_YET:
            pass
        except OSError as error:
            self._outgoing.clear()
            self.fill()  # what the server sent before it closed the connection
            self._closed = self._closed or _describe(error)
        return sent

    # -- receiving ------------------------------------------------------------------------------------------

    @property
    def has_pending(self) -> bool:
        """Whether TLS buffers decrypted bytes, for which the socket does not become readable."""
        return self._tls is not None and self._tls.pending() > 0

    def fill(self) -> int:
        """Buffer the bytes that have arrived, up to a limit. Returns: their number."""
        before = len(self._incoming)
        try:
            while len(self._incoming) < max(READ_AHEAD, self._frame_size):
                chunk = self.sock.recv(1 << 16)
                if not chunk:
                    self._closed = "the other end closed the connection"
                    break
                self._incoming += chunk
        except NOT_YET:
            pass
        except OSError as error:
            self._closed = _describe(error)
        return len(self._incoming) - before

    def receive(self) -> tuple[int, bytes] | None:
        """The next complete message that has arrived, (opcode, payload), or None.

        Raises: Closed after the last message if the connection is closed, and if a frame is invalid.
        """
        while True:
            frame = self._next_frame()
            if frame is None:
                if self._closed:
                    raise Closed(self._closed)
                return None
            is_final, opcode, payload = frame
            if opcode >= CLOSE:
                return opcode, payload
            if (opcode == CONTINUATION) != (self._fragments is not None):
                raise Closed("the server sent the frames of two messages in each other")
            if self._fragments is None:
                if is_final:
                    return opcode, payload
                self._fragments = (opcode, bytearray())
            if len(self._fragments[1]) + len(payload) > MAX_MESSAGE:
                raise Closed(f"the server sent a message of more than {MAX_MESSAGE} bytes")
            self._fragments[1].extend(payload)
            if is_final:
                (opcode, content), self._fragments = self._fragments, None
                return opcode, bytes(content)

    def _next_frame(self) -> tuple[bool, int, bytes] | None:
        """Whether it is the last of its message, its opcode and its payload; None if no complete frame has arrived."""
        buffer = self._incoming
        if len(buffer) < 2:
            return None
        size, start = buffer[1] & 0x7F, 2
        opcode, is_final = buffer[0] & 0x0F, bool(buffer[0] & 0x80)
        is_invalid_control = opcode >= CLOSE and (size > MAX_CONTROL or not is_final)
        if buffer[0] & 0x70 or buffer[1] & 0x80 or opcode not in _OPCODES or is_invalid_control:
            raise Closed("the server sent an invalid websocket frame")
        if size >= 126:
            start = 4 if size == 126 else 10
            if len(buffer) < start:
                return None
            size = int.from_bytes(buffer[2:start], "big")
        if size > MAX_MESSAGE:
            raise Closed(f"the server sent a frame of {size} bytes")
        self._frame_size = start + size
        if len(buffer) < self._frame_size:
            return None
        payload = bytes(memoryview(buffer)[start : start + size])
        del buffer[: start + size]
        return is_final, opcode, payload

    def close(self) -> None:
        """Close the connection at once; queued bytes are not sent."""
        try:
            self.sock.close()
        except OSError:
            pass


def _describe(error: OSError) -> str:
    return error.strerror or str(error)
