# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The streams of a command in a container over one websocket: v4.channel.k8s.io, or v5, which can also close standard input (KEP-4006)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from ..errors import PodwrightError
from ..text import parse_integer
from .api_errors import causes_of
from .kinds import POD
from .request import Request
from .websocket import BINARY, CLOSE, PING, PONG, TEXT, Closed, open_websocket

if TYPE_CHECKING:
    from ..values import Manifest
    from .client import Client

STDIN, STDOUT, STDERR, STATUS, STREAM_CLOSE = 0, 1, 2, 3, 255
V5, V4 = "v5.channel.k8s.io", "v4.channel.k8s.io"
FRAME = 1 << 16  # measured: half of it costs more at each hop, twice as much gains nothing
PING_SECONDS = 15
UNANSWERED_PINGS = 4
MAX_SHOWN, _MAX_REASON = 10_000, 100  # characters of a status in an error
NOT_YET = None  # what a source of input yields while it has nothing to send; an empty piece is sent at once


class StreamClosed(Exception):
    """The connection closed before the status arrived; the message says how."""


class TimedOut(Exception):
    """A limit was reached.

    Attributes:
        limit: the option that set it, `timeout` or `idle_timeout`.
    """

    def __init__(self, limit: str) -> None:
        super().__init__(limit)
        self.limit = limit


class Channel:
    """One exec or attach: sends the input and reads the output, in constant memory and one thread.

    Args:
        container: None if the server selects it, which it does in a pod with one container.
        command: the program and its arguments; None attaches to the process of the container.
        source: pieces of standard input, or None for no input. It yields NOT_YET while it waits for output.
        protocols: subprotocols to offer to the server.
        deadline: when the stream must be open, by the monotonic clock, or None.

    Attributes:
        ends_input: whether the end of standard input can be sent.
        status: the Status of the command (API reference, Status), None until it has arrived.

    Raises: PodwrightError if it cannot be opened; nothing has started then.
    """

    def __init__(
        self,
        client: Client,
        namespace: str,
        pod: str,
        container: str | None,
        command: list[str] | None,
        source: Iterable[bytes | None] | None = None,
        tty: bool = False,
        protocols: tuple[str, ...] = (V5, V4),
        deadline: float | None = None,
    ) -> None:
        self._clock = client.clock
        request = _request(namespace, pod, container, command, source is not None, tty)
        self._socket = open_websocket(client, replace(request, deadline=deadline), list(protocols))
        self._source: Iterator[bytes | None] | None = None if source is None else iter(source)
        self.ends_input = self._socket.protocol == V5 and not tty  # containerd closes the outputs of a terminal whose input is closed
        self.status: Manifest | None = None
        self._sends_input = False
        self._unanswered = 0
        self._active_at = self._clock.monotonic()
        self._ping_at = self._active_at + PING_SECONDS

    def read(self, deadline: float | None = None, idle_timeout: float | None = None) -> tuple[int, bytes] | None:
        """The next output, (STDOUT or STDERR, bytes), or None once the status has arrived.

        Args:
            deadline: monotonic time of the clock, in seconds.
            idle_timeout: seconds in which input or output must be transferred.

        Raises: StreamClosed, TimedOut.
        """
        while self.status is None:
            try:
                message = self._socket.receive()
                if message is None:
                    self._exchange(deadline, idle_timeout)
                    continue
            except Closed as error:
                raise StreamClosed(str(error)) from error
            output = self._handle(*message)
            if output:
                self._active_at = self._clock.monotonic()
                return output
        return None

    @property
    def awaits_answer(self) -> bool:
        """Whether nothing has arrived since a ping was sent, so that output may still be on its way."""
        return self._unanswered > 0 and not self._socket.has_outgoing

    def end_input(self) -> None:
        """Discard the rest of the input, and close it if the protocol can."""
        if self._source is not None:
            self._source = iter(())

    def _handle(self, opcode: int, payload: bytes) -> tuple[int, bytes] | None:
        """The output in a message, if any."""
        if opcode == PING:
            self._socket.send(PONG, payload)
        elif opcode == CLOSE:
            raise StreamClosed("the server closed the stream")
        elif opcode in (BINARY, TEXT) and len(payload) > 1:
            if payload[0] in (STDOUT, STDERR):
                return payload[0], payload[1:]
            if payload[0] == STATUS:
                self.status = _read_status(payload[1:])
        return None

    def _exchange(self, deadline: float | None, idle_timeout: float | None) -> None:
        """Transfer bytes in both directions; wait for the socket, up to the next limit, if none can be transferred."""
        now = self._clock.monotonic()
        idle_at = None if idle_timeout is None else self._active_at + idle_timeout
        if deadline is not None and now >= deadline:
            raise TimedOut("timeout")
        if idle_at is not None and now >= idle_at:
            raise TimedOut("idle_timeout")
        self._ping(now)
        self._queue_input()
        if self._socket.has_pending:
            readable, writable = True, self._socket.has_outgoing
        else:
            next_limit = min(limit for limit in (self._ping_at, deadline, idle_at) if limit is not None)
            readable, writable = self._clock.wait_for(self._socket.sock, self._socket.has_outgoing, next_limit - now)
        if writable and self._socket.flush() and self._sends_input:
            self._active_at = self._clock.monotonic()
            self._sends_input = self._socket.has_outgoing
        if readable:
            self._socket.fill()
            self._unanswered, self._ping_at = 0, self._clock.monotonic() + PING_SECONDS

    def _queue_input(self) -> None:
        """Queue up to one frame of input once the previous one is sent, so that memory does not grow with the input."""
        if self._source is None or self._socket.has_outgoing:
            return
        pieces, size = [], 0
        for piece in self._source:
            if piece is NOT_YET:
                break
            pieces.append(piece)
            size += len(piece)
            if size >= FRAME:
                break
        else:
            self._source = None
        self._sends_input = size > 0
        view = memoryview(pieces[0] if len(pieces) == 1 else b"".join(pieces))
        for start in range(0, size, FRAME):
            self._socket.send(BINARY, bytes([STDIN]), view[start : start + FRAME])
        if self._source is None and self.ends_input:
            self._socket.send(BINARY, bytes([STREAM_CLOSE, STDIN]))

    def _ping(self, now: float) -> None:
        """Keep load balancers from closing an idle connection, and detect a server that no longer responds."""
        if now < self._ping_at:
            return
        # A server answers no ping while it waits for the command to read its input.
        if self._unanswered >= UNANSWERED_PINGS and not self._socket.has_outgoing:
            raise StreamClosed(f"the server answered no ping for {PING_SECONDS * UNANSWERED_PINGS} s")
        self._unanswered, self._ping_at = self._unanswered + 1, now + PING_SECONDS
        if not self._socket.has_outgoing:
            self._socket.send(PING, b"")

    def close(self) -> None:
        """Close the connection, which does not terminate the command."""
        self._socket.close()

    def __enter__(self) -> Channel:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _request(namespace: str, pod: str, container: str | None, command: list[str] | None, has_stdin: bool, tty: bool) -> Request:
    verb = "attach" if command is None else "exec"
    query = [("command", word) for word in command or ()]
    query += [("container", container)] if container else []
    query += [("stdin", str(has_stdin).lower()), ("stdout", "true"), ("stderr", str(not tty).lower()), ("tty", str(tty).lower())]
    path = POD.path(namespace, pod, verb)
    return Request("POST", path, tuple(query), kind=POD, subresource=verb, namespace=namespace, name=pod, retryable=False)


def _read_status(content: bytes) -> Manifest:
    try:
        status = json.loads(content)
    except (ValueError, RecursionError):
        status = None
    if not isinstance(status, dict):
        raise StreamClosed("the status of the command is not a JSON object")
    return status


def exit_code(status: Manifest) -> int:
    """The exit code in the Status of a command. Raises: PodwrightError if the command could not be run."""
    if status.get("status") == "Success":
        return 0
    causes = causes_of(status)
    if status.get("reason") == "NonZeroExitCode":
        for cause in causes:
            code = parse_integer(cause["message"], 255) if cause["reason"] == "ExitCode" else None
            if code is not None:
                return code
    message = str(status.get("message") or "the server gave no message")[:MAX_SHOWN]
    raise PodwrightError(message, reason=str(status.get("reason") or "ExecFailed")[:_MAX_REASON], causes=causes)
