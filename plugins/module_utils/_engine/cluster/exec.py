# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A command in a container, from its start to its exit code or timeout."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from ..clock import pause_after
from ..errors import PodwrightError, raise_explained
from ..objects.containers import default_container
from . import exec_errors
from .exec_command import OTHER_POD, Command, Container
from .exec_markers import Exited, Markers, Started
from .exec_stream import NOT_YET, STDERR, STDOUT, V4, V5, Channel, StreamClosed, TimedOut, exit_code
from .kinds import POD

if TYPE_CHECKING:
    from .client import Client

START_ATTEMPTS, NODE_ATTEMPTS = 5, 9  # the latter while the node is being restarted
MAX_PAUSE = 5  # seconds between them
TERM_SECONDS, KILL_SECONDS = 2, 5  # in which a command must exit after SIGTERM, and after SIGKILL
EXIT_SECONDS, QUIET_SECONDS = 30, 2  # without output after which the status of a command that has exited is not waited for; at least, at its timeout
ANSWER_SECONDS = 5  # in which a ping must be answered then
SIGNAL_SECONDS = 10  # in which a signal must be sent
END_OF_FILE = b"\x04"  # the EOF character of a terminal


def execute(
    client: Client, container: Container, command: Command, on_stdout: Callable[[bytes], object] = len, on_stderr: Callable[[bytes], object] = len
) -> int | None:
    """Run a command until it exits; `on_stdout` and `on_stderr` are called with each piece of its output.

    Returns: its exit code.
    Raises: PodwrightError, see Process.
    """
    with Process(client, container, command) as process:
        forward(process, on_stdout, on_stderr)
    return process.rc


def forward(process: Process, on_stdout: Callable[[bytes], object], on_stderr: Callable[[bytes], object]) -> None:
    """Run a Process until it exits, and call a function with each piece of its output. Raises: PodwrightError, see Process."""
    for stream, data in process:
        (on_stdout if stream == STDOUT else on_stderr)(data)


def path_exists(client: Client, container: Container, path: str, timeout: float | None) -> bool:
    """Whether a path exists in a container. Raises: PodwrightError, also if its image has no shell."""
    rc = execute(client, container, Command(["sh", "-c", '[ -e "$0" ] || [ -L "$0" ]', path], timeout=timeout))
    if rc not in (0, 1):
        problem = f"Could not check whether {path} exists in {container}: exit code {rc}."
        raise PodwrightError(problem, reason="ExecFailed", hint="Check that the image has a shell.")
    return rc == 0


class Process:
    """A command in a container. Iterating over it runs the command and yields its output, (STDOUT or STDERR, bytes); `rc` is then its exit code.

    Raises while it is iterated over: PodwrightError, whose reason is
        `ConnectionLost` if the connection closed before the status arrived: whether the command finished is unknown;
        `Timeout` after a limit: the message says whether the command was terminated or may still run;
        `NoEndOfInput` if the command needs the end of its input and the server cannot close it;
        else what the server reported. A command is started again only if the server reported that it had not started.
    """

    def __init__(self, client: Client, container: Container, command: Command) -> None:
        self._client = client
        self._container = container
        self._command = command.within(container)
        self._deadline = None if command.timeout is None else client.clock.monotonic() + command.timeout
        self._has_shell = command.needs_shell
        self._attempt = 1
        self._channel: Channel | None = None
        self._received = 0
        self._pid: int | None = None
        self._reported_rc: int | None = None
        self.rc: int | None = None

    @property
    def has_started(self) -> bool:
        """Whether the command reported its start or printed something."""
        return self._received > 0 or self._pid is not None

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *exception: object) -> None:
        self._close()

    def _close(self) -> None:
        if self._channel:
            self._channel.close()

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        while True:
            try:
                self._markers = Markers(secrets.token_hex(8))
                self._channel = self._open()
                yield from self._read(self._channel)
                self.rc = exit_code(self._channel.status) if self._channel.status else self._reported_rc
                if self.rc == 0 and self._is_unconfirmed(self._channel):
                    self.rc = None
                    raise StreamClosed("the shell that ran the command did not report its exit")
                if self._container.uid and self.rc == OTHER_POD:
                    raise exec_errors.pod_replaced(self._container)
                return
            except StreamClosed as error:
                raise exec_errors.connection_lost(self._container, self._received, error) from error
            except TimedOut as error:
                raise exec_errors.timed_out(self._container, self._command, error.limit, self._terminate(), self._reported_rc) from error
            except PodwrightError as error:
                if not self._can_retry(error):
                    raise_explained(exec_errors.explain_failure(error, self._container, self._command, self._client), error)
            finally:
                self._close()

    def _read(self, channel: Channel) -> Iterator[tuple[int, bytes]]:
        """The command's own output, without the markers of its shell."""
        marked = STDOUT if self._command.tty else STDERR
        while (output := self._next_output(channel)) is not None:
            stream, data = output
            for event in self._markers.feed(data) if self._has_shell and stream == marked else (data,):
                if isinstance(event, Started):
                    self._pid = event.pid
                elif isinstance(event, Exited):
                    self._reported_rc = event.exit_code
                    channel.end_input()
                else:
                    self._received += len(event)
                    yield stream, event
            if self._reported_rc is not None and self._command.source is not None and not channel.ends_input:
                return  # the shell waits for an end of file that this protocol cannot send
        rest = self._markers.finish()
        if rest:
            self._received += len(rest)
            yield marked, rest

    def _next_output(self, channel: Channel) -> tuple[int, bytes] | None:
        """The next output; None once the status has arrived, or no longer needs to be waited for. Raises: StreamClosed, TimedOut."""
        if self._reported_rc is None:
            return channel.read(self._deadline, self._command.idle_timeout)
        clock, deadline = self._client.clock, self._deadline
        left = EXIT_SECONDS if deadline is None else min(EXIT_SECONDS, max(deadline - clock.monotonic(), QUIET_SECONDS))
        for seconds in (left, ANSWER_SECONDS):
            try:
                output = channel.read(clock.monotonic() + seconds)
                break
            except TimedOut:
                if not channel.awaits_answer:
                    return None  # a process in the background holds the outputs, or the runtime hangs
        else:
            raise StreamClosed("the server answered no ping")
        if output and deadline is not None and clock.monotonic() > deadline:
            raise TimedOut("timeout")  # the output is incomplete
        return output

    def _is_unconfirmed(self, channel: Channel) -> bool:
        """Whether a status of success may be false, since the shell did not report the exit of the command.

        What decodes the streams of v5 reports success if it loses the node or the container runtime (https://github.com/kubernetes/kubectl/issues/1726).
        """
        command = self._command
        reports = self._has_shell and command.source is not None and not command.tty and not command.is_bounded
        return channel.ends_input and reports and self._reported_rc is None

    def _can_retry(self, error: PodwrightError) -> bool:
        """Whether the command has not started and can be started again, without a shell if the image has none. Waits before a retry."""
        if self.has_started:
            return False
        if self._has_shell and exec_errors.lacks_shell(error) and not self._command.chdir:
            self._has_shell = False
            return True
        attempts = NODE_ATTEMPTS if exec_errors.is_node_restarting(error) else START_ATTEMPTS
        pause = pause_after(self._attempt + 1, 0.2, MAX_PAUSE)
        is_late = self._deadline is not None and self._client.clock.monotonic() + pause > self._deadline
        if not exec_errors.has_not_started(error) or self._attempt >= attempts or is_late or exec_errors.never_starts(error, self._container, self._client):
            return False
        self._attempt += 1
        self._client.clock.sleep(pause)
        return True

    # -- starting -------------------------------------------------------------------------------------------

    def _open(self) -> Channel:
        try:
            return self._open_in(self._container)
        except PodwrightError as error:
            if error.status != 400 or "container name must be specified" not in error.message:
                raise
        self._container = self._with_default_container()
        return self._open_in(self._container)

    def _with_default_container(self) -> Container:
        """The container, with the name of the pod's default one. One GET."""
        container = self._container
        pod = self._client.get(POD, container.namespace, container.pod)
        if pod is None:
            raise exec_errors.pod_not_found(container)
        return Container(container.namespace, container.pod, default_container(pod))

    def _open_in(self, container: Container) -> Channel:
        offers, place = self._offers(), (container.namespace, container.pod, container.name)
        try:
            for protocol, words in offers:
                try:
                    return Channel(self._client, *place, words, self._input(), self._command.tty, (protocol,), self._deadline)
                except PodwrightError as error:
                    if not exec_errors.is_protocol_refused(error):
                        raise
                    refusal = error
            raise refusal if len(offers) > 1 else exec_errors.input_cannot_end(container)
        except PodwrightError as error:
            raise_explained(exec_errors.explain_refusal(error, container, self._client), error)

    def _offers(self) -> list[tuple[str, list[str]]]:
        """[(protocol, words)], in order of preference. Each is offered by itself: a server that does not support it refuses before the command starts.

        The kubelet forwards the bytes of v4 to the container runtime, and decodes and encodes those of v5; but only v5 can close the input (KEP-4006).
        """
        command = self._command
        words = self._markers.wrap(command) if self._has_shell else command.without_shell()
        if command.source is None or command.tty or (command.is_bounded and self._has_shell):
            return [(V4, words), (V5, words)]
        if command.size is not None and self._has_shell:
            return [(V5, words), (V4, self._markers.wrap(command, command.size))]
        return [(V5, words)]

    def _input(self) -> Iterable[bytes | None] | None:
        """Standard input for one start of the command, or None."""
        if self._command.tty:
            return _typed(self._command.source() if self._command.source else ())
        return self._held_open(self._command.source()) if self._command.source else None

    def _held_open(self, pieces: Iterable[bytes | None]) -> Iterator[bytes | None]:
        """Pieces of input, not closed before the command has started: the runtime may lose an end of file that arrives earlier."""
        yield from pieces
        while self._has_shell and not self._markers.has_started:
            yield NOT_YET

    # -- terminating ----------------------------------------------------------------------------------------

    def _terminate(self) -> bool:
        """Terminate the remote process group. Returns: whether the command has certainly exited."""
        channel = self._channel
        if channel is None or self._pid is None:
            return False
        # Other processes of the group may be left after a command that exits on SIGTERM.
        has_exited = self._signal(channel, f"kill -TERM -{self._pid}", TERM_SECONDS) and channel.status is not None
        return self._signal(channel, f"kill -KILL -{self._pid}", KILL_SECONDS) and (has_exited or channel.status is not None)

    def _signal(self, channel: Channel, kill: str, seconds: float) -> bool:
        """Signal the command's process group (runc creates one for each exec) and wait for the status. Returns: whether the signal was sent."""
        clock, container = self._client.clock, self._container
        words, deadline = ["sh", "-c", f"{kill} 2>/dev/null; true"], clock.monotonic() + SIGNAL_SECONDS
        try:
            with Channel(self._client, container.namespace, container.pod, container.name, words, deadline=deadline) as sender:
                while sender.read(deadline) is not None:
                    pass
            while channel.read(clock.monotonic() + seconds) is not None:
                pass
        except TimedOut:
            pass
        except (PodwrightError, StreamClosed):
            return False
        return True


def _typed(pieces: Iterable[bytes | None]) -> Iterator[bytes | None]:
    """Pieces of input as typed at a terminal: the EOF character closes it, at the start of a line only (POSIX, General Terminal Interface).

    The input of the connection stays open.
    """
    last = b"\n"
    for piece in pieces:
        last = (piece or b"")[-1:] or last
        yield piece
    yield END_OF_FILE if last == b"\n" else 2 * END_OF_FILE
