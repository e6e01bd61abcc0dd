# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Frames, exec channels, markers, logs and forwarded ports whose other end sends anything: a clear error, in limited memory and time."""

from __future__ import annotations

import itertools
import json
import socket
import time
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster import diagnosis, exec_stream, log_lines, logs, port_forward, websocket
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.exec import Process
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.exec_command import Command, Container
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.exec_markers import Markers
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.exec_stream import Channel, StreamClosed, TimedOut, exit_code
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.log_lines import lines_of
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.logs import LogFollower
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.port_forward import Connection
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.streams import Streams
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.websocket import PING, Closed, WebSocket
from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError

from ..support.fuzzing import JSON, fuzz, peak_memory
from ..support.local_commands import frame
from .test_websocket import InstantClock

pytestmark = pytest.mark.search

OPCODES = st.sampled_from([0, 1, 2, 2, 2, 3, 8, 9, 10, 15])
FRAMES = st.builds(frame, st.binary(max_size=140), OPCODES, st.booleans())
BYTES = st.lists(FRAMES | st.binary(max_size=12), max_size=8).map(b"".join)


class Sent:
    """A socket on which all of the content has arrived; nothing is ever read at the other end."""

    def __init__(self, content=(), is_closed=True):
        self._content, self._is_closed = iter(content if isinstance(content, list) else [content] if content else []), is_closed

    def setblocking(self, flag):
        """Do nothing."""

    def recv(self, _size):
        """The next piece."""
        piece = next(self._content, b"")
        if not piece and not self._is_closed:
            raise BlockingIOError
        return piece

    def send(self, _data):
        """Accept nothing."""
        raise BlockingIOError

    def close(self):
        """Do nothing."""


class SentClock(InstantClock):
    """A clock for a Sent, which is always readable."""

    def wait_for(self, sock, writing, seconds):
        """Wait for nothing."""
        self.now_at += 0.001
        return True, False


def receive_all(opened):
    """The messages of a WebSocket until it is closed, and why it is."""
    received = []
    while True:
        opened.fill()
        try:
            while (message := opened.receive()) is not None:
                received.append(message)
        except Closed as closed:
            return received, str(closed)


# -- frames -------------------------------------------------------------------------------------------------


@given(BYTES)
@fuzz
def test_any_bytes_are_messages_or_close_the_connection(content):
    received, why = receive_all(WebSocket(Sent(content)))
    assert why and all(opcode in (1, 2, 8, 9, 10) for opcode, _payload in received)
    assert sum(len(payload) for _opcode, payload in received) <= len(content)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ([frame(b"", final=False), *[frame(bytes(1 << 16), 0, final=False)] * 400], "more than 16777216 bytes"),
        (b"\x82\x7f" + (1 << 25).to_bytes(8, "big"), "33554432 bytes"),
        (frame(b"a", final=False) + frame(b"b"), "of two messages"),
        (frame(b"a" * 126, PING), "invalid"),
        (frame(b"a", PING, final=False), "invalid"),
        (frame(b"a", 3), "invalid"),
    ],
)
def test_messages_have_a_limited_size(content, why):
    found = []
    assert peak_memory(lambda: found.append(receive_all(WebSocket(Sent(content))))) < 3 * websocket.MAX_MESSAGE
    assert why in found[0][1]


def test_unread_pongs_are_not_queued_without_end():
    opened = WebSocket(Sent(is_closed=False))
    for _number in range(1000):
        opened.send(10, b"x" * 125)
    assert len(opened._outgoing) == websocket.MAX_QUEUED


# -- exec ---------------------------------------------------------------------------------------------------


@pytest.fixture
def opened(monkeypatch):
    """A function that opens a Channel on which some content has arrived."""

    def open_channel(content):
        monkeypatch.setattr(exec_stream, "open_websocket", lambda client, request, protocols: WebSocket(Sent(content), exec_stream.V5))
        return Channel(SimpleNamespace(clock=SentClock()), "n", "p", None, ["x"])

    return open_channel


CAUSES = st.lists(JSON | st.fixed_dictionaries({"reason": st.just("ExitCode"), "message": JSON}), max_size=3)
STATUSES = JSON.map(lambda value: json.dumps(value).encode()) | st.fixed_dictionaries(
    {},
    optional={
        "status": st.sampled_from(["Success", "Failure"]) | JSON,
        "reason": st.just("NonZeroExitCode") | JSON,
        "message": JSON,
        "details": st.fixed_dictionaries({"causes": st.lists(JSON | st.fixed_dictionaries({"reason": st.just("ExitCode"), "message": JSON}), max_size=3)})
        | JSON,
    },
).map(lambda value: json.dumps(value).encode())
MESSAGES = st.lists(st.builds(lambda channel, data: frame(bytes([channel]) + data), st.integers(0, 4), st.binary(max_size=20) | STATUSES) | FRAMES, max_size=6)


@given(MESSAGES.map(b"".join))
@fuzz
def test_channel_returns_output_and_a_status_or_is_closed(opened, content):
    channel = opened(content)
    try:
        while (output := channel.read(deadline=channel._clock.now_at + 60)) is not None:
            assert output[0] in (1, 2) and isinstance(output[1], bytes)
        assert 0 <= exit_code(channel.status) <= 255
    except (StreamClosed, TimedOut, PodwrightError):
        pass


def test_nested_status_is_an_error(opened):
    with pytest.raises(StreamClosed, match="not a JSON object"):
        opened(frame(b"\3" + b"[" * 100_000)).read()


@pytest.mark.parametrize("causes", [None, 5, [5], {"a": 1}, [{"reason": "ExitCode"}], [{"reason": "ExitCode", "message": "²"}]])
def test_odd_causes_are_an_error(causes):
    with pytest.raises(PodwrightError) as caught:
        exit_code({"status": "Failure", "reason": "NonZeroExitCode", "message": "x" * 100_000, "details": {"causes": causes}})
    assert len(caught.value.message) <= exec_stream.MAX_SHOWN


@given(st.lists(st.binary(max_size=30) | st.sampled_from([b"feed", b":12\n", b"feed:end:", b"7\n", b"\r\n"]), max_size=40))
@fuzz
def test_markers_never_fail_and_lose_no_other_byte(pieces):
    markers = Markers("feed")
    events = [event for piece in pieces for event in markers.feed(piece)]
    output = b"".join(event for event in events if isinstance(event, bytes)) + markers.finish()
    assert len(b"".join(pieces)) - len(output) <= len(b"feed:1234567890\r\nfeed:end:255\r\n")


def test_much_output_is_read_in_linear_time(monkeypatch):
    """Frames of one byte, without a marker of the shell."""
    content = [frame(b"\2x") * 5000] * 6 + [frame(b"\3" + json.dumps({"status": "Success"}).encode())]
    monkeypatch.setattr(exec_stream, "open_websocket", lambda client, request, protocols: WebSocket(Sent(content), exec_stream.V5))
    begun, count = time.thread_time(), 0
    with Process(SimpleNamespace(clock=SentClock()), Container("n", "p"), Command(["x"], timeout=900.0)) as process:
        for _stream, data in process:
            count += len(data)
    assert (count, process.rc) == (30_000, 0) and time.thread_time() - begun < 5


# -- logs ---------------------------------------------------------------------------------------------------


class Body:
    """The body of a response, in chunks; `error` follows them."""

    status, chunked = 200, True

    def __init__(self, chunks, error=None):
        self._chunks, self._error = chunks, error

    def stream(self, _size):
        """The chunks."""
        yield from self._chunks
        if self._error:
            raise self._error

    def close(self):
        """Do nothing."""


def cut(content, sizes):
    """The content in chunks of these sizes, and the rest."""
    chunks = []
    for size in sizes:
        chunks.append(content[:size])
        content = content[size:]
    return [*filter(None, chunks), content]


@given(st.lists(st.sampled_from([b"a", b"\n", b"bcdefgh", b"\r", b"\0"]), max_size=40).map(b"".join), st.lists(st.integers(1, 9), max_size=20))
@fuzz
def test_lines_are_the_same_however_they_arrive(monkeypatch, content, sizes):
    monkeypatch.setattr(log_lines, "MAX_LINE", 8)
    pieces = list(lines_of(Body(cut(content, sizes))))
    assert pieces == list(lines_of(Body([content])))
    assert all(len(piece.content) <= 8 and b"\n" not in piece.content for piece in pieces)
    whole = b"".join((b"\n" if piece.begins_line and number else b"") + piece.content for number, piece in enumerate(pieces))
    assert whole == content.removesuffix(b"\n")


def test_line_without_a_line_feed_is_read_in_limited_memory():
    chunk = b"x" * (1 << 16)
    assert peak_memory(lambda: [len(piece.content) for piece in lines_of(Body(itertools.repeat(chunk, 1 << 10)))]) < 3 * log_lines.MAX_LINE


class LogServer:
    """A client whose pod runs; each log request gets the next Body, after the last the pod has terminated."""

    def __init__(self, *bodies):
        self.streams, self.clock, self._bodies = Streams(), InstantClock(), list(bodies)
        self.streams.cancelled.wait = lambda seconds: None
        self.options = []

    def get(self, *_object):
        """The pod."""
        state = {"running": {}} if self._bodies else {"terminated": {"exitCode": 0}}
        phase = "Running" if self._bodies else "Succeeded"
        status = {"phase": phase, "containerStatuses": [{"name": "c", "containerID": "x", "state": state}]}
        return {"metadata": {"uid": "u"}, "spec": {"restartPolicy": "Never", "containers": [{"name": "c"}]}, "status": status}

    def stream(self, request):
        """The next body."""
        self.options.append(dict(request.query))
        return self._bodies.pop(0) if self._bodies else Body([])


def follow(server, on_line=None):
    """The lines of a LogFollower."""
    lines = []
    LogFollower(server, "n", "p", "u", "c", on_line or (lambda line, moment: lines.append(line))).follow()
    return lines


@given(st.lists(st.sampled_from([b"2001-01-01T00:00:0", b"1Z ", b"9999-99-99T99:99:99Z ", b"0001-01-01T00:00:00Z ", b"x" * 9, b"\n", b"\xff"]), max_size=30))
@fuzz
def test_any_log_is_followed_to_the_end(monkeypatch, content):
    monkeypatch.setattr(log_lines, "MAX_LINE", 16)
    follow(LogServer(Body([b"".join(content)], OSError()), Body([b"".join(content)])))


def test_pieces_of_a_long_line_are_neither_lost_nor_repeated_nor_read_as_timestamps(monkeypatch):
    monkeypatch.setattr(log_lines, "MAX_LINE", 40)
    begin = b"2001-01-01T00:00:01.000000001Z "
    long = begin.ljust(40, b"x") + b"9999-99-99T99:99:99Z ".ljust(40, b"y") + b"2999-01-01T00:00:00Z tail\n"
    server = LogServer(Body([long[:100]], OSError()), Body([long + begin + b"next\n"]))
    lines = follow(server)
    assert b"".join(lines[:-1]) == long.removeprefix(begin).rstrip(b"\n") and lines[-1] == b"next"
    assert server.options[1]["sinceTime"] == "2001-01-01T00:00:00Z"


def test_log_that_cannot_be_written_is_not_read_again():
    server, failed = LogServer(Body([b"one\n"]), Body([b"one\n"])), PodwrightError("disk full", reason="WriteFailed")

    def refuse(_line, _moment):
        raise failed

    with pytest.raises(PodwrightError) as caught:
        follow(server, refuse)
    assert caught.value is failed and len(server.options) == 1


def test_many_lines_of_one_second_are_followed_in_limited_memory(monkeypatch):
    monkeypatch.setattr(logs, "MAX_KNOWN", 200)
    chunks = (b"2001-01-01T00:00:01.%09dZ %0900d\n" % (number, number) for number in range(3000))
    assert peak_memory(lambda: follow(LogServer(Body(chunks)), lambda line, moment: None)) < 1 << 18


def test_end_of_a_log_is_of_limited_size():
    """A pod whose last line has 300 MiB: the kubelet is asked for a part of it, and little is shown."""
    asked = {}

    def log(_namespace, _pod, _container, **options):
        asked.update(options)
        return b"x" * (1 << 20)

    status = {"containerStatuses": [{"name": "c", "state": {"running": {}}}]}
    pod = {"metadata": {"name": "p", "namespace": "n"}, "spec": {"containers": [{"name": "c"}]}, "status": status}
    tail = diagnosis.log_tail(SimpleNamespace(log=log), pod, 20)
    assert len(tail.text) == diagnosis.SHOWN_CHARACTERS and asked == {"tail_lines": 20, "limit_bytes": diagnosis.READ_BYTES}


# -- forwarded ports ----------------------------------------------------------------------------------------


def forward(content, monkeypatch, limit=None):
    """What the local end of a Connection receives, and its error."""
    ours, theirs = socket.socketpair()
    with theirs:
        monkeypatch.setattr(port_forward, "open_websocket", lambda client, request, protocols: WebSocket(ours))
        theirs.sendall(content)
        theirs.shutdown(socket.SHUT_WR)
        with Connection(SimpleNamespace(), "n", "p", 80, limit) as connection:
            connection.socket.settimeout(5)
            received = b""
            while data := connection.socket.recv(1 << 16):
                received += data
            connection._thread.join(5)
            assert not connection._thread.is_alive()
            return received, connection.error


@given(st.lists(st.builds(lambda channel, data: frame(bytes([channel]) + data), st.integers(0, 2), st.binary(max_size=30)) | FRAMES, max_size=6).map(b"".join))
@fuzz
def test_any_frames_are_forwarded_or_close_the_connection(monkeypatch, content):
    received, why = forward(content, monkeypatch)
    assert why and len(received) <= len(content)


def test_forwarded_bytes_are_limited(monkeypatch):
    content = frame(b"\0\0\0") + frame(b"\0" + bytes(1000)) * 100
    received, why = forward(content, monkeypatch, limit=50_000)
    assert len(received) <= 50_000 and "too many bytes" in why
    assert len(forward(frame(b"\1\0\0") + frame(b"\1" + b"e" * 100_000), monkeypatch)[1]) <= exec_stream.MAX_SHOWN
    assert forward(frame(b"\1\0\0") + frame(b"\1\t"), monkeypatch)[1] == "the pod reported an error"
