# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Frames and streams over real sockets, in pieces of any size."""

from __future__ import annotations

import itertools
import json
import socket
from contextlib import suppress
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.podwright.core.plugins.module_utils._engine.clock import Clock
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster import exec as execution
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster import exec_stream as channel
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.exec import Process
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.exec_command import Command, Container
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.exec_stream import Channel, StreamClosed, TimedOut, exit_code
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.websocket import BINARY, CLOSE, PING, PONG, Closed, WebSocket
from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError

from ..support.local_commands import frame


@pytest.fixture
def pair():
    """A WebSocket and the server's end of it."""
    ours, theirs = socket.socketpair()
    theirs.settimeout(5)
    yield WebSocket(ours, channel.V5), theirs
    ours.close()
    theirs.close()


def messages(websocket):
    """All messages that have arrived."""
    found = []
    while (message := websocket.receive()) is not None:
        found.append(message)
    return found


@given(st.lists(st.binary(max_size=300), max_size=6), st.lists(st.integers(1, 400), max_size=30))
def test_messages_arrive_in_pieces_of_any_size(payloads, sizes):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        websocket, found = WebSocket(ours), []
        content = b"".join(map(frame, payloads))
        for size in [*sizes, len(content)]:
            theirs.sendall(content[:size])
            content = content[size:]
            websocket.fill()
            found += messages(websocket)
        assert found == [(BINARY, payload) for payload in payloads]


def test_fragmented_message_with_a_ping_between_fragments(pair):
    websocket, theirs = pair
    theirs.sendall(frame(b"one ", final=False) + frame(b"", PING) + frame(b"two", 0))
    websocket.fill()
    assert messages(websocket) == [(PING, b""), (BINARY, b"one two")]


@pytest.mark.parametrize("content", [frame(b"x", 0), b"\xf2\x01x", b"\x82\x81aaaax", b"\x82\x7f" + b"\xff" * 8])
def test_invalid_frames_close_the_connection(content, pair):
    websocket, theirs = pair
    theirs.sendall(content)
    websocket.fill()
    with pytest.raises(Closed):
        websocket.receive()


def test_messages_before_a_connection_loss_are_returned(pair):
    websocket, theirs = pair
    theirs.sendall(frame(b"last") + frame(b"cut off")[:-1])
    theirs.close()
    websocket.fill()
    assert websocket.receive() == (BINARY, b"last")
    with pytest.raises(Closed):
        websocket.receive()


@given(st.binary(max_size=70_000))
def test_sent_frames_are_masked_without_tls(payload):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        websocket = WebSocket(ours)
        websocket.send(BINARY, payload)
        theirs.settimeout(5)
        received = b""
        while websocket.has_outgoing or len(received) < len(payload) + 6:
            websocket.flush()
            received += theirs.recv(1 << 20)
        start = {True: 2, len(payload) >= 126: 4, len(payload) >= 1 << 16: 10}[True]
        key, masked = received[start : start + 4], received[start + 4 :]
        assert received[0] == 0x80 | BINARY and received[1] & 0x80 and key != bytes(4)
        assert bytes(byte ^ key[i % 4] for i, byte in enumerate(masked)) == payload


def test_messages_before_a_connection_loss_are_returned_to_a_sender(pair):
    websocket, theirs = pair
    theirs.sendall(frame(b"the status"))
    theirs.close()
    websocket.send(BINARY, b"input that nobody reads")
    websocket.flush()
    assert not websocket.has_outgoing and websocket.receive() == (BINARY, b"the status")
    with pytest.raises(Closed):
        websocket.receive()


class InstantClock(Clock):
    """A clock on which a wait takes no real time if the socket is not ready."""

    def __init__(self):
        self.now_at = 1000.0
        self.meanwhile = lambda: None

    def monotonic(self):
        """The simulated time."""
        return self.now_at

    def wait_for(self, sock, writing, seconds):
        """Whether the socket is ready now; if not, the time of the wait passes."""
        self.meanwhile()
        ready = super().wait_for(sock, writing, 0)
        self.now_at += 0 if any(ready) else seconds
        return ready


@pytest.fixture
def open_channel(pair, monkeypatch):
    """A function that opens a Channel to the server's end on an InstantClock."""
    websocket, theirs = pair
    clock = InstantClock()
    monkeypatch.setattr(channel, "open_websocket", lambda client, request, protocols: websocket)
    return lambda source=None: (Channel(SimpleNamespace(clock=clock), "n", "p", None, ["x"], source), theirs, clock)


def test_several_frames_and_the_status(open_channel):
    opened, theirs, _clock = open_channel()
    status = json.dumps({"status": "Success"}).encode()
    theirs.sendall(frame(b"\1out") + frame(b"\2err") + frame(b"\1") + frame(b"\3" + status))
    assert [opened.read(), opened.read(), opened.read()] == [(1, b"out"), (2, b"err"), None]
    assert exit_code(opened.status) == 0


@pytest.mark.parametrize("ending", [frame(b"", CLOSE), frame(b"\3{garbled")])
def test_connection_closed_without_a_status_is_an_error(ending, open_channel):
    opened, theirs, _clock = open_channel()
    theirs.sendall(frame(b"\1out") + ending)
    assert opened.read() == (1, b"out")
    with pytest.raises(StreamClosed):
        opened.read()


def test_idle_timeout_limits_an_hour_without_output(open_channel):
    opened, theirs, clock = open_channel()
    theirs.sendall(frame(b"\1begun"))
    opened.read(idle_timeout=600)
    begun, pings = clock.now_at, []

    def answer_pings():
        theirs.settimeout(0)
        try:
            pings.append(theirs.recv(100)[0])
            theirs.sendall(frame(b"", PONG))  # the server responds; the command writes nothing
        except BlockingIOError:
            pass

    clock.meanwhile = answer_pings
    with pytest.raises(TimedOut) as caught:
        opened.read(deadline=begun + 3600, idle_timeout=600)
    assert caught.value.limit == "idle_timeout" and clock.now_at == begun + 600
    assert len(pings) > 30 and set(pings) == {0x80 | PING}


def test_server_that_answers_no_ping_is_lost(open_channel):
    opened, _theirs, clock = open_channel()
    begun = clock.now_at
    with pytest.raises(StreamClosed, match="no ping for 60 s"):
        opened.read()
    assert clock.now_at - begun == 15 + 60, "the first ping follows 15 s of silence"


def test_pause_of_this_process_does_not_count_as_unanswered_pings(open_channel):
    """After the machine was suspended, or input was read from a slow disk, the server still has its time to answer."""

    def source():
        clock.now_at += 3600
        yield b"input"

    opened, theirs, clock = open_channel(source())
    pinged_at = []

    def answer_later():
        theirs.settimeout(0)
        try:
            if bytes([0x80 | PING, 0x80]) in theirs.recv(1000):
                pinged_at.append(clock.now_at)
        except BlockingIOError:
            if pinged_at and clock.now_at >= pinged_at[0] + 10:
                theirs.sendall(frame(b"\1there"))

    clock.meanwhile = answer_later
    assert opened.read() == (1, b"there") and pinged_at


def test_input_is_read_as_fast_as_it_is_sent(open_channel):
    taken = []

    def source():
        for number in range(1000):
            taken.append(number)
            yield bytes(1 << 16)

    opened, _theirs, _clock = open_channel(source())
    with pytest.raises(TimedOut):
        opened.read(idle_timeout=5)
    assert 0 < len(taken) < 20


def test_failure_without_exit_code_is_an_error():
    with pytest.raises(PodwrightError, match="it broke"):
        exit_code({"status": "Failure", "reason": "InternalError", "message": "it broke"})
    with pytest.raises(PodwrightError):
        exit_code({"status": "Failure", "reason": "NonZeroExitCode"})
    causes = [{"reason": "ExitCode", "message": "137"}]
    assert exit_code({"status": "Failure", "reason": "NonZeroExitCode", "details": {"causes": causes}}) == 137


@pytest.mark.parametrize("protocol", [channel.V4, channel.V5])
def test_exit_code_of_a_command_that_does_not_read_its_input(protocol, monkeypatch):
    """With v5 the status follows; with v4 only the marker of the shell reports the exit code."""
    monkeypatch.setattr(execution.secrets, "token_hex", lambda size: "feed")
    told = b"no space\nfeed:end:7\nmore"
    for cut in range(len(told) + 1):
        ours, theirs = socket.socketpair()
        with ours, theirs:
            websocket = WebSocket(ours, protocol)
            monkeypatch.setattr(channel, "open_websocket", lambda client, request, protocols, websocket=websocket: websocket)
            theirs.sendall(frame(b"\2feed:12\n") + frame(b"\2" + told[:cut]) + frame(b"\2" + told[cut:]))
            if protocol == channel.V5:
                causes = [{"reason": "ExitCode", "message": "7"}]
                theirs.sendall(frame(b"\3" + json.dumps({"status": "Failure", "reason": "NonZeroExitCode", "details": {"causes": causes}}).encode()))
            command = Command(["x"], lambda: iter([b"input"]), 5, is_bounded=True)
            with Process(SimpleNamespace(clock=InstantClock()), Container("n", "p"), command) as process:
                said = b"".join(data for _stream, data in process)
            assert process.rc == 7 and said.startswith(b"no space\n") and b"feed" not in said
            assert protocol == channel.V4 or said == b"no space\nmore"


def test_input_is_not_closed_before_the_command_has_started(pair, monkeypatch):
    """containerd may lose an end of file that arrives while it starts the command, which then waits for it forever."""
    websocket, theirs = pair
    monkeypatch.setattr(execution.secrets, "token_hex", lambda size: "feed")
    monkeypatch.setattr(channel, "open_websocket", lambda client, request, protocols: websocket)
    clock, events, looks = InstantClock(), [], itertools.count()

    def serve():
        theirs.settimeout(0)
        try:
            if theirs.recv(1000)[0] == 0x80 | PING:
                return
            events.append("end")
            theirs.sendall(frame(b"\2feed:end:0\n") + frame(b"\3" + json.dumps({"status": "Success"}).encode()))
        except BlockingIOError:
            if not events and next(looks) > 1:
                events.append("runs")
                theirs.sendall(frame(b"\2feed:12\n"))

    clock.meanwhile = serve
    with Process(SimpleNamespace(clock=clock), Container("n", "p"), Command(["x"], lambda: iter([]), 0)) as process:
        assert list(process) == []
    assert process.rc == 0 and events == ["runs", "end"]


def test_source_without_input_waits_and_an_empty_piece_does_not(open_channel):
    runs = []

    def source():
        yield from (b"", b"one", b"", b"")
        while not runs:
            yield channel.NOT_YET
        yield from (b"", b"two")

    opened, theirs, clock = open_channel(source())
    begun, received = clock.now_at, bytearray()

    def serve():
        theirs.settimeout(0)
        with suppress(BlockingIOError):
            received.extend(unmask(theirs.recv(1000))[0])
        if received == b"\0one" and not runs:
            runs.append(True)
            theirs.sendall(frame(b"\1runs"))
        if received.endswith(bytes([channel.STREAM_CLOSE, channel.STDIN])):
            theirs.sendall(frame(b"\3" + json.dumps({"status": "Success"}).encode()))

    clock.meanwhile = serve
    assert [opened.read(), opened.read()] == [(1, b"runs"), None]
    assert received == b"\0one\0two\xff\0" and clock.now_at == begun


def unmask(content):
    """(the payloads of a client's whole frames, what follows them)."""
    payloads = b""
    while len(content) >= 2:
        length = content[1] & 0x7F
        start = {126: 4, 127: 10}.get(length, 2)
        end = start + 4 + (length if start == 2 else int.from_bytes(content[2:start], "big"))
        if len(content) < end:
            break
        key, masked, content = content[start : start + 4], content[start + 4 : end], content[end:]
        payloads += bytes(byte ^ key[i % 4] for i, byte in enumerate(masked))
    return payloads, content
