# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Commands from start to exit code against a scripted server: retries, shells, default containers, protocols, timeouts."""

from __future__ import annotations

import json
import socket
from types import SimpleNamespace

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster import exec as execution
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster import exec_stream as channel
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.exec import Process, execute
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.exec_command import Command, Container
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.exec_stream import V4, V5
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.websocket import CLOSE, PING, PONG, TEXT, WebSocket
from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError

from ..support.local_commands import frame
from .test_exec_errors import NO_ANSWER, NO_PROGRAM, NO_RUNTIME, NO_SHELL, NOT_RUNNING, RESTARTED
from .test_websocket import InstantClock, unmask

SUCCESS = frame(b"\3" + json.dumps({"status": "Success"}).encode())
STARTED, ENDED = frame(b"\2feed:12\n"), frame(b"\2feed:end:0\n")  # what the shell reports; see the fixture
UNNAMED = PodwrightError("a container name must be specified for pod p, choose one of: [proxy task]", status=400, reason="BadRequest")


def failed(message, reason="InternalError", **rest):
    return frame(b"\3" + json.dumps({"status": "Failure", "reason": reason, "message": message, **rest}).encode())


def exited(code):
    return failed("exit", "NonZeroExitCode", details={"causes": [{"reason": "ExitCode", "message": str(code)}]})


def refused(status, message="", reason=None):
    return PodwrightError(message, status=status, reason=reason or f"HTTP {status}")


class Server(InstantClock):
    """A server with a scripted answer to each request for a command: frames, or an error that refuses it. It is the client's clock, too.

    Attributes:
        words, protocols, containers, inputs: of each request; inputs are bytes that have arrived, as far as `receive` was called.
        pauses: seconds of each sleep.
        pod: what a GET returns.
        on_request: called with the number of each request, from 0.
    """

    def __init__(self, *answers):
        super().__init__()
        self.answers, self.sockets, self.words, self.protocols, self.containers, self.queries = list(answers), [], [], [], [], []
        self.pauses, self.requested_at, self.pod, self.on_request = [], [], None, lambda number: None
        self.received, self.rest, self.step = b"", b"", float("inf")

    def wait_for(self, sock, writing, seconds):
        """Wait as InstantClock does, but no longer than `step` seconds at a time."""
        return super().wait_for(sock, writing, min(seconds, self.step))

    def sleep(self, seconds):
        assert seconds >= 0
        self.pauses.append(seconds)
        self.now_at += seconds

    @property
    def client(self):
        return SimpleNamespace(clock=self, get=lambda kind, namespace, name: self.pod)

    def open(self, client, request, protocols):
        self.queries.append(dict(request.query))
        self.words.append([value for name, value in request.query if name == "command"])
        self.protocols += protocols
        self.containers.append(dict(request.query).get("container"))
        self.requested_at.append(self.now_at)
        answer = self.answers.pop(0)
        if isinstance(answer, PodwrightError):
            raise answer
        ours, theirs = socket.socketpair()
        theirs.settimeout(0)
        theirs.sendall(answer)
        self.sockets.append(theirs)
        self.rest = b""
        self.on_request(len(self.words) - 1)
        return WebSocket(ours, protocols[0])

    def receive(self):
        """Whether further input has arrived at the latest command."""
        try:
            data = self.sockets[-1].recv(1 << 20)
        except BlockingIOError:
            return False
        payloads, self.rest = unmask(self.rest + data)
        self.received += payloads
        return bool(data)


@pytest.fixture
def serve(monkeypatch):
    """A function that returns a Server with these answers; each shell writes the token `feed`."""
    servers = []
    monkeypatch.setattr(execution.secrets, "token_hex", lambda size: "feed")

    def start(*answers):
        servers.append(Server(*answers))
        monkeypatch.setattr(channel, "open_websocket", servers[-1].open)
        return servers[-1]

    yield start
    for server in servers:
        for sock in server.sockets:
            sock.close()


def run(server, command, container=None):
    """The exit code of a command and its output."""
    output = []
    rc = execute(
        server.client, container or Container("n", "p", "c"), command, lambda data: output.append(("out", data)), lambda data: output.append(("err", data))
    )
    return rc, output


def fail(server, command, container=None):
    """The error of a command."""
    with pytest.raises(PodwrightError) as caught:
        run(server, command, container)
    return caught.value


# -- starting ---------------------------------------------------------------------------------------------------


def test_output_and_exit_code_reach_the_caller(serve):
    server = serve(frame(b"\1one") + frame(b"\2two") + frame(b"\1three") + exited(3))
    assert run(server, Command(["x"])) == (3, [("out", b"one"), ("err", b"two"), ("out", b"three")])
    assert server.words == [["x"]] and not server.pauses


@pytest.mark.parametrize("message", [NOT_RUNNING, NO_ANSWER])
def test_command_that_has_not_started_is_started_again_with_growing_pauses(message, serve):
    server = serve(*[failed(message)] * 4, frame(b"\1done") + SUCCESS)
    assert run(server, Command(["x"])) == (0, [("out", b"done")])
    assert server.words == [["x"]] * 5 and 1 < sum(server.pauses) < 10
    assert all(later >= 2 * earlier for earlier, later in zip(server.pauses, server.pauses[1:], strict=False))


@pytest.mark.parametrize("message", [RESTARTED, NO_RUNTIME])
def test_node_that_is_restarted_is_awaited_for_longer(message, serve):
    server = serve(*[refused(500, message)] * 8, frame(b"\1done") + SUCCESS)
    assert run(server, Command(["x"])) == (0, [("out", b"done")])
    assert 20 < sum(server.pauses) < 30
    server = serve(*[refused(500, message)] * 9)
    assert message in fail(server, Command(["x"], timeout=4)).message and sum(server.pauses) < 4


def test_start_that_is_refused_for_seconds_is_an_error(serve):
    server = serve(*[refused(500, NOT_RUNNING)] * 5)
    error = fail(server, Command(["x"]))
    assert "does not run" in error.hint and len(server.words) == 5 and sum(server.pauses) < 10


@pytest.mark.parametrize(("phase", "policy", "attempts"), [("Failed", "Always", 1), ("Running", "Never", 1), ("Running", "Always", 5)])
def test_container_that_will_not_run_any_more_is_not_awaited(phase, policy, attempts, serve):
    server = serve(*[refused(500, NOT_RUNNING)] * 5)
    statuses = [{"name": "c", "state": {"terminated": {"exitCode": 1}}}]
    server.pod = {"metadata": {"name": "p"}, "spec": {"restartPolicy": policy, "containers": [{"name": "c"}]}}
    server.pod["status"] = {"phase": phase, "containerStatuses": statuses}
    assert "has terminated with exit code 1" in fail(server, Command(["x"])).message and len(server.words) == attempts


def test_command_that_has_written_output_is_never_started_again(serve):
    server = serve(frame(b"\1begun") + failed(NOT_RUNNING))
    assert NOT_RUNNING in fail(server, Command(["x"])).message
    assert len(server.words) == 1


def test_command_whose_shell_has_reported_its_start_is_never_started_again(serve):
    """The message of a failure can quote what the command itself reported."""
    server = serve(STARTED + failed(NOT_RUNNING))
    assert NOT_RUNNING in fail(server, Command(["x"], timeout=5)).message
    assert len(server.words) == 1


def test_other_failures_are_not_retried(serve):
    server = serve(failed(NO_PROGRAM))
    assert "Check that the program exists" in fail(server, Command(["nope"])).hint
    assert len(server.words) == 1 and not server.pauses


def test_image_without_a_shell_runs_the_command_without_it(serve):
    server = serve(failed(NO_SHELL), frame(b"\2feed:12\n") + SUCCESS)
    # Nothing is taken for a marker of a shell that does not run.
    assert run(server, Command(["x"], timeout=5)) == (0, [("err", b"feed:12\n")])
    assert server.words[0][:2] == ["sh", "-c"] and server.words[1] == ["x"] and not server.pauses


@pytest.mark.parametrize("command", [Command(["x"], chdir="/tmp"), Command(["sh", "-c", "true"])])
def test_command_that_needs_the_missing_shell_is_an_error(command, serve):
    server = serve(failed(NO_SHELL))
    assert fail(server, command).reason == "NoShell" and len(server.words) == 1


def test_each_start_has_an_unguessable_token_of_its_own(serve, monkeypatch):
    monkeypatch.undo()
    server = Server(failed(NOT_RUNNING), failed(NOT_RUNNING), SUCCESS)
    monkeypatch.setattr(channel, "open_websocket", server.open)
    run(server, Command(["x"], timeout=60))
    tokens = {words[2].split(":")[0].removeprefix("echo ") for words in server.words}
    assert len(tokens) == 3 and all(len(token) >= 16 for token in tokens)


def test_output_without_a_marker_is_returned(serve):
    """A wrapper that replaces the shell may not write the marker."""
    server = serve(frame(b"\2warning") + SUCCESS)
    assert run(server, Command(["x"], timeout=5)) == (0, [("err", b"warning")])


def test_lost_connection_says_how_much_output_had_arrived(serve):
    for frames, size in ((b"", 0), (frame(b"\1seven b") + frame(b"\2more"), 11)):
        error = fail(serve(frames + frame(b"", CLOSE)), Command(["x"]))
        assert error.reason == "ConnectionLost" and f"after {size} bytes of output" in error.message


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (Command(["/bin/bash", "-c", "cat", "x"]), ["/bin/bash", "-c", 'exec "$@" < /dev/null', "/bin/bash", "/bin/bash", "-c", "cat", "x"]),
        (Command(["/bin/bash", "-c", "cat"], tty=True), ["/bin/bash", "-c", "cat"]),
        (Command(["cat", "sh"]), ["cat", "sh"]),
        (Command(["cat", "x"], env={"A": 1, "B": "c d"}), ["env", "--", "A=1", "B=c d", "cat", "x"]),
    ],
)
def test_shell_without_input_reads_an_empty_one(command, words, serve):
    """containerd may lose the end of an empty input, which a shell would wait for."""
    server = serve(SUCCESS)
    run(server, command)
    assert server.words == [words]


# -- containers -------------------------------------------------------------------------------------------------


def test_pod_with_several_containers_runs_it_in_the_default_one(serve):
    server = serve(UNNAMED, SUCCESS)
    server.pod = {"metadata": {}, "spec": {"containers": [{"name": "proxy"}, {"name": "task"}]}}
    assert run(server, Command(["x"]), Container("n", "p"))[0] == 0 and server.containers == [None, "task"]


def test_error_names_the_container_that_was_selected(serve):
    server = serve(UNNAMED, failed(NO_PROGRAM))
    server.pod = {"metadata": {}, "spec": {"containers": [{"name": "proxy"}, {"name": "task"}]}}
    assert "container 'task' of pod 'p'" in fail(server, Command(["x"]), Container("n", "p")).message


def test_pod_that_is_deleted_meanwhile_is_not_found(serve):
    error = fail(serve(UNNAMED), Command(["x"]), Container("n", "p"))
    assert error.is_not_found and error.message == "Pod 'p' not found in namespace 'n'."


@pytest.mark.parametrize(
    "refusal",
    [
        refused(400, "pod p does not have a host assigned", "BadRequest"),
        refused(404, "pods p not found", "NotFound"),
        refused(422, "container name must be specified by the webhook", "Invalid"),
    ],
)
def test_other_refusals_ask_for_no_other_container(refusal, serve):
    server = serve(refusal)
    fail(server, Command(["x"]), Container("n", "p"))
    assert server.containers == [None]


# -- protocols and input ----------------------------------------------------------------------------------------


def source():
    return iter([b"input"])


@pytest.mark.parametrize(
    ("command", "protocols"),
    [
        (Command(["x"]), [V4, V5]),  # v4 is cheaper if nothing has to be closed
        (Command(["x"], source, tty=True), [V4, V5]),
        (Command(["x"], source, 5, is_bounded=True), [V4, V5]),
        (Command(["x"], source, 5), [V5, V4]),
    ],
)
@pytest.mark.parametrize("status", [400, 403, 500, 501])
def test_protocol_that_a_server_refuses_is_replaced_by_the_other(status, command, protocols, serve):
    server = serve(refused(status), STARTED + (ENDED if protocols[1] == V5 and command.source and not command.is_bounded else b"") + SUCCESS)
    assert run(server, command)[0] == 0 and server.protocols == protocols
    server = serve(refused(status), refused(status, "neither"))
    assert "neither" in fail(server, command).message and server.protocols == protocols


def test_shell_closes_an_input_of_known_size_where_the_server_cannot(serve):
    server = serve(refused(403), STARTED + SUCCESS)
    run(server, Command(["x"], source, 5))
    assert "head -c 5 |" in server.words[1][2] and "head" not in server.words[0][2]


def test_input_of_unknown_size_needs_a_server_that_can_close_it(serve):
    server = serve(refused(403))
    assert fail(server, Command(["x"], source)).reason == "NoEndOfInput" and server.protocols == [V5]


def test_bounded_input_without_a_shell_is_closed_by_the_server(serve):
    """No shell reports the exit code if the command fails before it has read its input."""
    server = serve(failed(NO_SHELL), SUCCESS)
    run(server, Command(["x"], source, 5, is_bounded=True))
    assert server.protocols == [V4, V5]


@pytest.mark.parametrize(("size", "is_reported"), [(5, True), (5, False), (None, True), (None, False)])
def test_success_without_the_report_of_the_shell_is_a_lost_connection(size, is_reported, serve):
    """A server that decodes the streams reports success if the node is lost."""
    server = serve(STARTED + frame(b"\1begun") + (ENDED if is_reported else b"") + SUCCESS)
    if is_reported:
        assert run(server, Command(["x"], source, size)) == (0, [("out", b"begun")])
    else:
        assert fail(server, Command(["x"], source, size)).reason == "ConnectionLost"
    assert server.protocols == [V5]


@pytest.mark.parametrize("refusal", [refused(403, "pods is forbidden", "Forbidden"), refused(500, "no idea", "InternalError"), refused(409)])
def test_refused_command_is_not_requested_with_another_protocol(refusal, serve):
    server = serve(refusal)
    assert fail(server, Command(["x"])) is refusal and len(server.words) == 1


@pytest.mark.parametrize(
    ("pieces", "typed"),
    [
        ([], b"\4"),
        ([b"line\n"], b"line\n\4"),
        ([b"two\nlines\n", b""], b"two\nlines\n\4"),
        ([b"line\n", None, b"part"], b"line\npart\4\4"),  # the first sends the line, the second ends the input
        ([b"part", None], b"part\4\4"),
        (None, b"\4"),
    ],
)
def test_input_of_a_terminal_is_closed_by_its_character(pieces, typed, serve):
    server = serve(b"")
    server.meanwhile = lambda: server.receive() or (server.sockets[-1].sendall(SUCCESS) if server.received else None)
    run(server, Command(["x"], None if pieces is None else lambda: iter(pieces), tty=True))
    assert server.received.replace(b"\0", b"") == typed


def test_terminal_has_input_and_no_standard_error_of_its_own(serve):
    server = serve(frame(b"\1feed:12\r\nout") + SUCCESS)
    assert run(server, Command(["x"], tty=True, timeout=5)) == (0, [("out", b"out")])
    assert server.queries[0] | {"command": ""} == {"command": "", "container": "c", "stdin": "true", "stdout": "true", "stderr": "false", "tty": "true"}


# -- exits ------------------------------------------------------------------------------------------------------


def test_output_that_follows_the_reported_exit_is_awaited(serve):
    """What a process in the background writes before the status arrives belongs to the output."""
    server = serve(STARTED + frame(b"\2feed:end:7\n"))
    begun = server.now_at

    def later():
        if server.now_at >= begun + 15 and not server.answers:
            server.answers.append(b"")
            server.sockets[-1].sendall(frame(b"\1late") + exited(7))

    server.meanwhile = later
    assert run(server, Command(["x"], source)) == (7, [("out", b"late")])


def at(server, frames):
    """Let the server send frames after so many seconds, {seconds: frames}."""
    begun, left = server.now_at, dict(frames)

    def send():
        for seconds in [seconds for seconds in left if server.now_at >= begun + seconds]:
            server.sockets[0].sendall(left.pop(seconds))

    server.step, server.meanwhile = 0.5, send


@pytest.mark.parametrize("given", [{"source": source}, {}, {"idle_timeout": 600}, {"tty": True}], ids=["stdin", "timeout", "idle", "tty"])
@pytest.mark.parametrize(("timeout", "least", "longest"), [(300, 30, 31), (10, 10, 10.5)])
def test_exit_code_that_the_shell_reported_holds_if_no_status_follows(given, timeout, least, longest, serve):
    """A process in the background may hold the outputs open without end; a timeout after the exit is none of the command."""
    stream = b"\1" if given.get("tty") else b"\2"
    server = serve(frame(stream + b"feed:12\n") + frame(b"\1done") + frame(stream + b"feed:end:7\n"))
    begun = server.now_at
    at(server, {16: frame(b"", PONG)})
    assert run(server, Command(["x"], timeout=timeout, **given)) == (7, [("out", b"done")])
    assert least <= server.now_at - begun <= longest and len(server.words) == 1, "what runs in the background is left alone"


def test_ping_that_was_sent_a_moment_ago_may_still_be_answered(serve):
    server = serve(STARTED + frame(b"\2feed:end:7\n"))
    at(server, {14.5: frame(b"", PING), 31: frame(b"", PONG)})
    assert run(server, Command(["x"], timeout=300)) == (7, [])


@pytest.mark.parametrize("given", [{"source": source}, {}], ids=["stdin", "timeout"])
def test_output_that_a_stalled_connection_may_hold_back_is_not_complete(given, serve):
    server = serve(STARTED + frame(b"\1begun") + frame(b"\2feed:end:0\n"))
    assert fail(server, Command(["x"], timeout=300, **given)).reason == "ConnectionLost"


@pytest.mark.parametrize("ending", [frame(b"\1late"), frame(b"\1late") + SUCCESS])
def test_output_that_still_arrives_at_the_timeout_is_not_complete(ending, serve):
    """The command has exited, and a slow connection still transfers what it printed."""
    server = serve(STARTED + frame(b"\2feed:end:0\n"), SUCCESS, SUCCESS)
    at(server, {9: frame(b"\1out"), 10.5: ending})
    error = fail(server, Command(["x"], timeout=10))
    assert error.reason == "Timeout" and "exited with code 0, but its output did not end within 10 s" in error.message
    assert signals(server) == ["-TERM", "-KILL"]


def test_status_that_arrives_just_after_the_timeout_holds(serve):
    server = serve(STARTED + frame(b"\1all") + frame(b"\2feed:end:7\n"))
    at(server, {11: exited(7)})
    assert run(server, Command(["x"], timeout=9.5)) == (7, [("out", b"all")])


# -- timeouts ---------------------------------------------------------------------------------------------------


def signals(server):
    """The signals that were sent to the command's process group."""
    return [words[2].split()[1] for words in server.words[1:] if words[2].split()[2] == "-12"]


@pytest.mark.parametrize(("option", "seconds"), [("timeout", 20), ("idle_timeout", 7)])
def test_command_that_exits_on_sigterm_was_terminated_and_its_group_is_killed(option, seconds, serve):
    server = serve(STARTED, SUCCESS, SUCCESS)
    begun = server.now_at
    server.on_request = lambda number: number == 1 and server.sockets[0].sendall(exited(143))
    error = fail(server, Command(["x"], **{option: seconds}))
    assert error.reason == "Timeout" and f"within {seconds} s; it was terminated" in error.message and f"Raise {option}" in error.hint
    assert signals(server) == ["-TERM", "-KILL"] and server.containers == ["c"] * 3 and server.now_at == begun + seconds


def test_command_that_ignores_sigterm_is_killed_two_seconds_later(serve):
    server = serve(STARTED, SUCCESS, SUCCESS)
    server.on_request = lambda number: number == 2 and server.sockets[0].sendall(exited(137))
    assert "it was terminated" in fail(server, Command(["x"], timeout=20)).message
    assert signals(server) == ["-TERM", "-KILL"] and server.requested_at[2] - server.requested_at[1] == 2


def test_command_that_no_signal_stops_may_still_run(serve):
    server = serve(STARTED, SUCCESS, SUCCESS)
    begun = server.now_at
    assert "it may still run" in fail(server, Command(["x"], timeout=20)).message
    assert signals(server) == ["-TERM", "-KILL"] and begun + 22 < server.now_at < begun + 30


@pytest.mark.parametrize("answer", [refused(403, "pods is forbidden", "Forbidden"), failed(NO_SHELL), frame(b"", CLOSE)])
def test_signal_that_cannot_be_sent_leaves_the_state_unknown(answer, serve):
    server = serve(STARTED, answer, answer)
    error = fail(server, Command(["x"], timeout=20))
    assert error.reason == "Timeout" and "it may still run" in error.message
    assert len(server.words) == 3


def test_rest_of_a_process_group_may_still_run_if_the_last_signal_is_refused(serve):
    server = serve(STARTED, SUCCESS, refused(500, "overloaded", "InternalError"))
    server.on_request = lambda number: number == 1 and server.sockets[0].sendall(exited(143))
    assert "it may still run" in fail(server, Command(["x"], timeout=20)).message


def test_exit_is_certain_although_the_first_signal_was_refused(serve):
    server = serve(STARTED, refused(500, "overloaded", "InternalError"), SUCCESS)
    server.on_request = lambda number: number == 2 and server.sockets[0].sendall(exited(137))
    assert "it was terminated" in fail(server, Command(["x"], timeout=20)).message


def test_signal_is_not_waited_for_without_end(serve):
    server = serve(STARTED, b"", b"")
    begun = server.now_at
    assert "it may still run" in fail(server, Command(["x"], timeout=20)).message
    assert server.now_at < begun + 60 and len(server.words) == 3


def test_command_whose_process_is_unknown_gets_no_signal(serve):
    server = serve(b"")
    assert "it may still run" in fail(server, Command(["x"], timeout=20)).message
    assert len(server.words) == 1


def test_connections_are_closed_after_an_error_of_the_caller(serve):
    server = serve(STARTED + frame(b"\1out"))
    with pytest.raises(ZeroDivisionError), Process(server.client, Container("n", "p", "c"), Command(["x"], timeout=5)) as process:
        for _stream, _data in process:
            raise ZeroDivisionError
    server.sockets[0].settimeout(5)
    while server.receive():
        pass


# -- the protocol -----------------------------------------------------------------------------------------------


CLOSE_INPUT = bytes([channel.STREAM_CLOSE, channel.STDIN])


@pytest.mark.parametrize(
    ("command", "answers", "closes"),
    [
        (Command(["x"], source, 5, is_bounded=True), [STARTED], False),  # v4 cannot
        (Command(["x"], source, 5), [STARTED + ENDED], True),
        (Command(["x"], source, tty=True), [frame(b"\1feed:12\n")], False),
        (Command(["x"], source, tty=True), [refused(403), frame(b"\1feed:12\n")], False),  # containerd closes the outputs of a terminal whose input is closed
    ],
)
def test_input_is_closed_by_a_message_only_if_the_protocol_has_one(command, answers, closes, serve):
    server = serve(*answers)
    server.meanwhile = lambda: server.receive() or (server.sockets[-1].sendall(SUCCESS) if b"input" in server.received else None)
    assert run(server, command)[0] == 0
    assert (CLOSE_INPUT in server.received) == closes


def test_input_that_a_command_leaves_is_discarded_once_it_has_exited(serve):
    """Else the exit of `head -1` would be known after a gigabyte has been sent."""
    taken = []

    def pieces():
        for number in range(2000):
            taken.append(number)
            yield b"x" * 1000

    server = serve(STARTED + frame(b"\2feed:end:7\n"))

    def receive():
        if not server.receive() and CLOSE_INPUT in server.received:
            server.sockets[-1].sendall(exited(7))

    server.meanwhile = receive
    assert run(server, Command(["x"], pieces)) == (7, []) and len(taken) < 1000


@pytest.mark.parametrize(("pieces", "frames"), [([bytes(3 << 16)], 3), ([bytes(1 << 16)] * 3, 3), ([bytes(1 << 15)] * 6, 3), ([bytes(1000)] * 66, 2)])
def test_input_is_sent_in_frames_of_64_kib(pieces, frames, serve, monkeypatch):
    sizes, at_first = [], []
    send = WebSocket.send
    monkeypatch.setattr(WebSocket, "send", lambda self, opcode, *parts: (sizes.append(sum(map(len, parts)) - 1), send(self, opcode, *parts))[1])
    taken = []
    server = serve(STARTED)

    def read():
        for piece in pieces:
            taken.append(piece)
            yield piece

    def receive():
        at_first.append(len(taken))
        if not server.receive() and len(server.received) >= sum(map(len, pieces)):
            server.sockets[-1].sendall(SUCCESS)

    server.meanwhile = receive
    run(server, Command(["x"], read, size=5, is_bounded=True))
    assert max(sizes) == 1 << 16 and len([size for size in sizes if size > 0]) == frames
    assert sum(map(len, pieces[: at_first[0]])) < max(1 << 17, len(pieces[0]) + 1), "no more is read than one frame that is not sent yet"


@pytest.mark.parametrize("code", [1, 7, 254, 255])
def test_exit_codes_are_those_of_the_command(code, serve):
    assert run(serve(exited(code)), Command(["x"]))[0] == code


@pytest.mark.parametrize("code", ["256", "-1", "x", "", None, "1.5", "9" * 100])
def test_exit_code_that_no_process_has_is_an_error(code, serve):
    causes = [{"reason": "ExitCode", "message": code}]
    assert fail(serve(failed("exit status", "NonZeroExitCode", details={"causes": causes})), Command(["x"])).reason == "NonZeroExitCode"


def test_exit_code_is_read_from_its_own_cause(serve):
    causes = [{"reason": "Other", "message": "3"}, {"reason": "ExitCode", "message": "7"}]
    assert run(serve(failed("exit", "NonZeroExitCode", details={"causes": causes})), Command(["x"]))[0] == 7
    assert fail(serve(failed("exit", "NonZeroExitCode", details={"causes": causes[:1]})), Command(["x"])).reason == "NonZeroExitCode"
    assert fail(serve(failed("exit", "InternalError", details={"causes": causes})), Command(["x"])).reason == "InternalError"


def test_long_messages_of_a_runtime_are_cut(serve):
    error = fail(serve(failed("m" * 50_000, "R" * 5000)), Command(["x"]))
    assert error.message.endswith(": " + "m" * 10_000) and len(error.reason) == 100
    assert "the server gave no message" in fail(serve(failed("", "")), Command(["x"])).message


@pytest.mark.parametrize(("command", "verb"), [(["x", "y"], "exec"), (None, "attach")])
def test_command_is_executed_and_no_command_attaches(command, verb, serve, monkeypatch):
    requests = []
    server = serve(SUCCESS)
    monkeypatch.setattr(channel, "open_websocket", lambda client, request, protocols: (requests.append(request), server.open(client, request, protocols))[1])
    with channel.Channel(server.client, "n", "p", None, command) as opened:
        assert opened.read() is None
    (request,) = requests
    assert request.path == f"/api/v1/namespaces/n/pods/p/{verb}" and (request.method, request.subresource, request.retryable) == ("POST", verb, False)
    streams = [("stdin", "false"), ("stdout", "true"), ("stderr", "true"), ("tty", "false")]
    assert list(request.query) == [("command", word) for word in command or ()] + streams


def test_ping_of_the_server_is_answered_and_unknown_messages_are_ignored(serve):
    server = serve(frame(b"hello", PING) + frame(b"\7x") + frame(b"\1") + frame(b"") + frame(b"\1out", TEXT) + SUCCESS)
    assert run(server, Command(["x"])) == (0, [("out", b"out")])


def test_input_that_is_read_slowly_is_no_idleness(serve):
    server, received = serve(STARTED), []
    begun, server.step = server.now_at, 1

    def receive():
        if server.now_at >= begun + 3 * (len(received) + 1):
            received.append(len(server.sockets[0].recv(1 << 20)))
            if sum(received) > 12 << 16:
                server.sockets[0].sendall(SUCCESS)

    server.meanwhile = receive
    assert run(server, Command(["x"], lambda: iter([bytes(1 << 16)] * 12), size=5, is_bounded=True, idle_timeout=5))[0] == 0
    assert server.now_at >= begun + 9, "the input took longer than the limit"


@pytest.mark.parametrize("interval", [4, 6])
def test_idle_timeout_is_counted_from_the_last_output(interval, serve):
    server = serve(STARTED)
    server.step, begun = 1, server.now_at

    def write():
        if server.now_at >= begun + interval * (len(server.pauses) + 1):
            server.pauses.append(0)
            server.sockets[0].sendall(SUCCESS if len(server.pauses) == 5 else frame(b"\1."))

    server.answers += [SUCCESS, SUCCESS]
    server.meanwhile = write
    if interval < 5:
        assert run(server, Command(["x"], idle_timeout=5)) == (0, [("out", b".")] * 4)
    else:
        assert fail(server, Command(["x"], idle_timeout=5)).reason == "Timeout"


def test_message_that_tls_has_decrypted_already_is_read_at_once(serve, monkeypatch):
    """The socket is not readable then: a wait for it would last until the next ping."""
    server, hidden = serve(b""), [frame(b"\1out"), SUCCESS]
    fill = WebSocket.fill
    monkeypatch.setattr(WebSocket, "has_pending", property(lambda self: bool(hidden)))
    monkeypatch.setattr(WebSocket, "fill", lambda self: (hidden and server.sockets[0].sendall(hidden.pop(0)), fill(self))[1])
    begun = server.now_at
    assert run(server, Command(["x"])) == (0, [("out", b"out")]) and server.now_at == begun
