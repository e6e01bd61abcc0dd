# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The streams of a command in a container over one websocket: v4.channel.k8s.io, or v5, which can also end its input (KEP-4006)."""

from __future__ import annotations

import json

from ..errors import PodwrightError
from ..text import parse_integer
from .kinds import POD
from .request import Request
from .websocket import BINARY, CLOSE, PING, PONG, TEXT, Closed, open_websocket

STDIN, STDOUT, STDERR, STATUS, STREAM_CLOSE = 0, 1, 2, 3, 255
V5, V4 = "v5.channel.k8s.io", "v4.channel.k8s.io"
FRAME = 1 << 16  # measured: half of it costs more at each station, twice as much gains nothing
PING_SECONDS = 15
UNANSWERED_PINGS = 4
NOT_YET = None  # what a source of input yields while it has nothing to send and has not ended; an empty piece is not that


class ConnectionEnded(Exception):
    """The connection ended before the status came; the text says how."""


class TimedOut(Exception):
    """Nothing came for the idle timeout, or the time for the whole is over.

    Attributes:
        limit: the option that set the limit, `timeout` or `idle_timeout`.
    """

    def __init__(self, limit):
        super().__init__(limit)
        self.limit = limit


class Channel:
    """One exec or attach: its input goes out and its output comes in, in constant memory and one thread.

    Args:
        client: a Client.
        pod, container, namespace: strings; the server chooses the container of a pod that has only one.
        command: list of words; None attaches to the container's own process.
        source: an iterable of bytes that becomes standard input, or None for none. It yields NOT_YET until some output has been read
            that it waits for.
        protocols: what to offer to the server.

    Raises: PodwrightError where it could not be opened; nothing has been started then.
    """

    def __init__(self, client, namespace, pod, container, command, source=None, tty=False, protocols=(V5, V4)):
        self._clock = client.clock
        request = _request(namespace, pod, container, command, source is not None, tty)
        self._socket = open_websocket(client, request, list(protocols))
        self._source = None if source is None else iter(source)
        self.ends_input = self._socket.protocol == V5 and not tty  # containerd closes the outputs of a terminal whose input ends
        self.status = None
        self._carries_input = False
        self._unanswered = 0
        self._active_at = self._clock.monotonic()
        self._ping_at = self._active_at + PING_SECONDS

    def read(self, deadline=None, idle_timeout=None):
        """The next output, (STDOUT or STDERR, bytes), or None once the status has come.

        Args:
            deadline: the clock's time by which the whole must be over, or None.
            idle_timeout: seconds in which something must move in either direction, or None.

        Raises: ConnectionEnded, TimedOut.
        """
        while self.status is None:
            try:
                message = self._socket.receive()
                if message is None:
                    self._exchange(deadline, idle_timeout)
                    continue
            except Closed as error:
                raise ConnectionEnded(str(error)) from error
            output = self._take(*message)
            if output:
                self._active_at = self._clock.monotonic()
                return output
        return None

    def end_input(self):
        """Send no more of the source, and end of file where that can be said."""
        if self._source is not None:
            self._source = iter(())

    def _take(self, opcode, payload):
        if opcode == PING:
            self._socket.send(PONG, payload)
        elif opcode == CLOSE:
            raise ConnectionEnded("the server closed the stream")
        elif opcode in (BINARY, TEXT) and payload:
            if payload[0] in (STDOUT, STDERR):
                return (payload[0], payload[1:]) if len(payload) > 1 else None
            if payload[0] == STATUS and len(payload) > 1:
                self.status = _read_status(payload[1:])
        return None

    def _exchange(self, deadline, idle_timeout):
        """Move bytes in both directions; where none can move, wait until some can or a limit is reached."""
        now = self._clock.monotonic()
        if deadline is not None and now >= deadline:
            raise TimedOut("timeout")
        if idle_timeout is not None and now >= self._active_at + idle_timeout:
            raise TimedOut("idle_timeout")
        self._ping(now)
        self._feed()
        if self._socket.has_pending:
            readable, writable = True, self._socket.has_outgoing
        else:
            limits = [self._ping_at, deadline, self._active_at + idle_timeout if idle_timeout is not None else None]
            seconds = min(limit for limit in limits if limit is not None) - now
            readable, writable = self._clock.wait_for(self._socket.sock, self._socket.has_outgoing, seconds)
        if writable and self._socket.flush() and self._carries_input:
            self._active_at = self._clock.monotonic()
            self._carries_input = self._socket.has_outgoing
        if readable:
            self._socket.fill()
            self._unanswered, self._ping_at = 0, self._clock.monotonic() + PING_SECONDS

    def _feed(self):
        """Queue the next input once the one before is on its way: memory does not grow with the input. Small pieces go together."""
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
        self._carries_input = size > 0
        view = memoryview(pieces[0] if len(pieces) == 1 else b"".join(pieces))
        for start in range(0, size, FRAME):
            self._socket.send(BINARY, bytes([STDIN]), view[start : start + FRAME])
        if self._source is None and self.ends_input:
            self._socket.send(BINARY, bytes([STREAM_CLOSE, STDIN]))

    def _ping(self, now):
        """Keep balancers from cutting an idle stream, and notice a server that is gone."""
        if now < self._ping_at:
            return
        # A server that waits for the command to read its input answers no ping.
        if self._unanswered >= UNANSWERED_PINGS and not self._socket.has_outgoing:
            raise ConnectionEnded(f"the server answered no ping for {PING_SECONDS * UNANSWERED_PINGS} s")
        self._unanswered, self._ping_at = self._unanswered + 1, now + PING_SECONDS
        if not self._socket.has_outgoing:
            self._socket.send(PING, b"")

    def close(self):
        """Close the connection. The command is not ended by that."""
        self._socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()


def _request(namespace, pod, container, command, has_stdin, tty):
    verb = "attach" if command is None else "exec"
    query = [("command", word) for word in command or ()]
    query += [("container", container)] if container else []
    query += [("stdin", str(has_stdin).lower()), ("stdout", "true"), ("stderr", str(not tty).lower()), ("tty", str(tty).lower())]
    path = POD.path(namespace, pod, verb)
    return Request("POST", path, tuple(query), kind=POD, subresource=verb, namespace=namespace, name=pod, retryable=False)


def _read_status(content):
    try:
        status = json.loads(content)
    except ValueError:
        status = None
    if not isinstance(status, dict):
        raise ConnectionEnded("the command's status was garbled")
    return status


def exit_code(status):
    """The exit code in a command's status. Raises: PodwrightError where the command could not be run."""
    if status.get("status") == "Success":
        return 0
    causes = (status.get("details") or {}).get("causes") or []
    if status.get("reason") == "NonZeroExitCode":
        for cause in causes:
            code = parse_integer(str(cause.get("message", "")), 255) if cause.get("reason") == "ExitCode" else None
            if code is not None:
                return code
    message = status.get("message") or "the server gave no message"
    raise PodwrightError(message, reason=status.get("reason") or "ExecFailed", causes=causes)


def decode(content):
    """Text of bytes that should be UTF-8; others are replaced (results hold the bytes themselves in base64)."""
    return content.decode("utf-8", "replace")
