# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A command in a container from its start to its exit code, also where its time runs out."""

from __future__ import annotations

import re
import secrets as random_words
from collections.abc import Callable
from dataclasses import dataclass, field

from ..errors import PodwrightError, raise_explained
from ..objects.containers import default_container
from ..text import scalar_text
from .exec_stream import NOT_YET, STDERR, STDOUT, V4, V5, Channel, ConnectionEnded, TimedOut, exit_code
from .kinds import POD

START_ATTEMPTS = 5
KEPT = 1 << 16  # bytes in which the marker must come
GENTLY, SURELY = 2, 5  # seconds for a command to end after SIGTERM, and after SIGKILL
END_OF_FILE = b"\x04"  # as a terminal knows it
_SIGNALLING = 10  # seconds for the sending of a signal
# What the runtime says where it had not begun the command yet.
_TOO_EARLY = re.compile(r"container not found|error dialing backend|unable to upgrade connection|is not created or running|container is in CONTAINER_CREATED")
# What it says where it did not know in time whether the container runs (containerd gives itself 2 s).
_NO_ANSWER = re.compile(r"failed to load task: .*deadline exceeded")
_NO_SHELL = re.compile(r"""["`']sh["`']""")
_NO_PROGRAM = re.compile(r"executable file.*not found|no such file or directory|stat .*: not found", re.IGNORECASE)


@dataclass(frozen=True)
class Container:
    """Where a command runs; a name of None is for the server to choose, which it does in a pod with one container."""

    namespace: str
    pod: str
    name: str | None = None

    def __str__(self):
        container = f"container '{self.name}' of " if self.name else ""
        return f"{container}pod '{self.pod}' in namespace '{self.namespace}'"


@dataclass(frozen=True)
class Command:
    """What is run, and how.

    Attributes:
        words: the program and its arguments; a list.
        source: called for an iterable of bytes (or NOT_YET) that becomes its standard input, followed by end of file; called again
            if the command has to be started again. None for no input.
        size: bytes of the input where known; lets it end on servers that cannot end it (v4).
        is_bounded: whether the program reads just `size` bytes and needs no end of file.
        chdir: folder to run it in, or None; needs a shell in the image.
        env: mapping of variables; needs `env` in the image.
        timeout: seconds for the whole, or None.
        idle_timeout: seconds in which something must move in either direction, or None.
        tty: whether it gets a terminal, which makes its errors and the echo of its input part of its output.
    """

    words: list
    source: Callable | None = None
    size: int | None = None
    is_bounded: bool = False
    chdir: str | None = None
    env: dict = field(default_factory=dict)
    timeout: float | None = None
    idle_timeout: float | None = None
    tty: bool = False

    @property
    def wants_shell(self):
        """Whether it is run by a shell where there is one.

        A shell tells its process id, to be ended by when the time is over; and it keeps the outputs open, without which
        containerd drops the input of a command that closes or redirects its own.
        """
        return self.source is not None or self.timeout is not None or self.idle_timeout is not None or self.chdir is not None

    def with_environment(self):
        """Its words with its variables before them."""
        variables = [f"{name}={scalar_text(value)}" for name, value in self.env.items()]
        return ["env", "--", *variables, *self.words] if variables else list(self.words)

    @property
    def _directory(self):
        """Where to run, never an option of cd nor a name that it looks up in CDPATH."""
        return f"./{self.chdir}" if self.chdir and not self.chdir.startswith("/") else self.chdir

    def in_shell(self, marker, bound=None):
        """Its words run by a shell that writes a line with the marker and its process id to the error stream first.

        Where there is input, a line with the marker, `end` and the exit code follows the command, and what it left of its input is read:
        a server that still has input for a command that is gone never says how it ended.

        Args:
            bound: bytes after which its input ends, or None.
        """
        script = f"echo {marker}:$$ >&2; " + ('cd -- "$0" || exit; ' if self.chdir is not None else "")
        rest = f"echo {marker}:end:$rc >&2; cat > /dev/null 2>&1; "
        if self.source is None:
            script += '"$@"; exit $?'
        elif self.tty:
            script += f'"$@"; rc=$?; echo {marker}:end:$rc >&2; exit $rc'  # the terminal itself takes what the command leaves
        elif self.is_bounded:
            script += f'"$@"; rc=$?; [ $rc = 0 ] || {{ {rest}}}; exit $rc'
        elif bound is None:
            script += f'"$@"; rc=$?; {rest}exit $rc'
        else:
            script += f'head -c {bound} | {{ "$@"; rc=$?; cat > /dev/null 2>&1; exit $rc; }}'
        return ["sh", "-c", script, self._directory or "sh", *self.with_environment()]


def execute(client, container, command, on_stdout=len, on_stderr=len):
    """Run a command to its end; `on_stdout` and `on_stderr` are called with each piece of its output.

    Returns: its exit code.
    Raises: PodwrightError, see Process.
    """
    with Process(client, container, command) as process:
        for stream, data in process:
            (on_stdout if stream == STDOUT else on_stderr)(data)
    return process.rc


class Process:
    """A command in a container: iterate over it for its output, (STDOUT or STDERR, bytes); `rc` is then its exit code.

    Raises while it is iterated over: PodwrightError, whose reason is
        `ConnectionLost` where the connection ended before the status came: whether the command ended is unknown;
        `Timeout` after a limit: the message says whether the command was ended or may still run;
        `NoEndOfInput` where the server cannot end standard input and nothing else can;
        else what the server said. A command is started again only where the server
        said that it had not begun.
    """

    def __init__(self, client, container, command):
        self._client = client
        self._container = container
        self._command = command
        self._deadline = None if command.timeout is None else client.clock.monotonic() + command.timeout
        self._has_shell = command.wants_shell
        self._channel = None
        self._arrived = 0
        self._pid = None
        self.rc = None

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        if self._channel:
            self._channel.close()

    def __iter__(self):
        attempt = 1
        while True:
            try:
                self._channel = self._open()
                yield from self._outputs()
                self.rc = exit_code(self._channel.status) if self._channel.status else self._told
                return
            except ConnectionEnded as error:
                raise self._lost(error) from error
            except TimedOut as error:
                raise self._end_late(error.limit) from error
            except PodwrightError as error:
                if self._arrived == 0 and self._has_shell and _lacks_shell(error.message) and not self._command.chdir:
                    self._has_shell = False
                elif self._arrived == 0 and (_TOO_EARLY.search(error.message) or _NO_ANSWER.search(error.message)) and attempt < START_ATTEMPTS:
                    attempt += 1
                    self._client.clock.sleep(0.1 * 2**attempt)
                else:
                    raise_explained(self._explain(error), error)
            finally:
                if self._channel:
                    self._channel.close()

    def _outputs(self):
        """The command's own output: what the shell says first is taken out."""
        while (output := self._channel.read(self._deadline, self._command.idle_timeout)) is not None:
            stream, data = output
            if self._has_shell and stream == (STDOUT if self._command.tty else STDERR):
                data = self._take_end(self._take_marker(data) if self._before_marker is not None else data)
            if data:
                yield self._note(stream, data)
            if self._told is not None and not self._channel.ends_input:
                return  # it waits for the end of its input, which cannot be said
        rest = (self._before_marker or b"") + self._held
        if rest:
            yield self._note(STDERR, rest)

    def _note(self, stream, data):
        self._arrived += len(data)
        return stream, data

    def _take_marker(self, data):
        """The data without the shell's first line."""
        self._before_marker += data
        line = re.search(rb"%s:(\d{1,10})\r?\n" % self._marker, self._before_marker)
        if not line and len(self._before_marker) < KEPT:
            return b""
        data, self._before_marker = self._before_marker, None
        if line:
            self._pid = int(line[1])
            data = data[: line.start()] + data[line.end() :]
        return data

    def _take_end(self, data):
        """The data without the line after a command that had input; what may be a part of it waits for the rest."""
        start = self._marker + b":end:"
        data, self._held = self._held + data, b""
        line = re.search(rb"%s(\d{1,3})\r?\n" % start, data)
        if line:
            self._told = int(line[1])
            self._channel.end_input()
            return data[: line.start()] + data[line.end() :]
        at = data.find(start)
        if at < 0:
            size = next((size for size in range(min(len(start) - 1, len(data)), 0, -1) if data.endswith(start[:size])), 0)
            at = len(data) - size
        data, self._held = data[:at], data[at:]
        return data

    # -- starting -------------------------------------------------------------------------------------------

    def _open(self):
        try:
            return self._open_at(self._container)
        except PodwrightError as error:
            if error.status != 400 or "container name must be specified" not in error.message:
                raise
        place = self._container
        self._container = Container(place.namespace, place.pod, choose_container(self._client, place.namespace, place.pod))
        return self._open_at(self._container)

    def _open_at(self, place):
        command = self._command
        marker = random_words.token_hex(8)
        self._marker, self._before_marker, self._held = marker.encode(), b"", b""
        self._told = None
        ways = self._ways(marker)
        try:
            for protocol, words in ways:
                try:
                    return Channel(self._client, place.namespace, place.pod, place.name, words, self._input(), command.tty, (protocol,))
                except PodwrightError as error:
                    is_other_protocol = error.status in (400, 403, 500, 501) and error.reason.startswith("HTTP ") and not _TOO_EARLY.search(error.message)
                    if not is_other_protocol:
                        raise
                    refusal = error
            if len(ways) > 1:
                raise refusal  # of both, which is no matter of the protocol
            raise PodwrightError(
                f"The API server cannot end the standard input of a command in {place}: it speaks only {V4}.",
                reason="NoEndOfInput",
                hint="Use Kubernetes 1.30 or later, an image with a shell, or give the input as a file with pod_copy.",
            )
        except PodwrightError as error:
            raise_explained(self._explain_refusal(error), error)

    def _ways(self, marker):
        """[(protocol, words)], the better ones first. Each is offered alone: who does not speak it refuses before the command is started.

        By v4 the bytes pass through the kubelet to the container's runtime, those of v5 it unpacks and packs again; but only v5
        can end the input (KEP-4006).
        """
        command = self._command
        words = command.in_shell(marker) if self._has_shell else command.with_environment()
        if command.source is None or command.tty or (command.is_bounded and self._has_shell):
            return [(V4, words), (V5, words)]
        if command.size is not None and self._has_shell:
            return [(V5, words), (V4, command.in_shell(marker, command.size))]
        return [(V5, words)]

    def _input(self):
        """What is sent to the command, anew for each start, or None."""
        source = self._command.source and self._command.source()
        if self._command.tty:
            return _type(source or ())
        return None if source is None else self._end_once_it_runs(source)

    def _end_once_it_runs(self, pieces):
        """Pieces of input that do not end before the shell has spoken: an end that comes while the runtime starts the command may be lost."""
        yield from pieces
        while self._has_shell and self._before_marker is not None:
            yield NOT_YET

    def _explain_refusal(self, error):
        if error.is_not_found:
            return _no_pod(self._container.namespace, self._container.pod)
        if error.status == 400 and "host assigned" in error.message:
            return PodwrightError(f"The {self._container} is on no node yet.", reason="NotRunning", hint="Wait for it with pod_info: wait_for: running.")
        return error

    # -- ending ---------------------------------------------------------------------------------------------

    def _explain(self, error):
        if error.hint or (error.status is not None and not _TOO_EARLY.search(error.message)):
            return error  # it says all there is to say
        text, hint, reason = error.message, "", error.reason
        if _NO_PROGRAM.search(text):
            if '"env"' in text:
                hint = "The option env needs the program env in the image, which is not there."
            elif _lacks_shell(text) and self._command.chdir:
                hint, reason = "The option chdir needs a shell in the image, and there is none.", "NoShell"
            elif _lacks_shell(text):
                hint, reason = "The image has no shell.", "NoShell"
            else:
                hint = "Check that the program exists in the image."
        elif _TOO_EARLY.search(text):
            hint = "The container does not run: wait for it, or look at its state with pod_info."
        elif _NO_ANSWER.search(text):
            hint = "The container's runtime does not answer on the node (pod_info names it): look there, or make the pod anew."
        message = f"The command in {self._container} could not be run: {text}"
        return PodwrightError(message, reason=reason, causes=error.causes, hint=hint)

    def _lost(self, error):
        return PodwrightError(
            f"The connection to {self._container} was lost before the command's exit status came, after {self._arrived} bytes of output ({error}).",
            reason="ConnectionLost",
            hint="Whether the command ended is unknown: check before running it again.",
        )

    def _end_late(self, limit):
        seconds = getattr(self._command, limit)
        what = f"did not end within {seconds:g} s" if limit == "timeout" else f"neither read nor wrote anything for {seconds:g} s"
        fate, hint = self._kill()
        return PodwrightError(f"The command in {self._container} {what}; {fate}.", reason="Timeout", hint=f"Raise {limit}, or {hint}")

    def _kill(self):
        """End the remote process. Returns what became of it and what to do, for a person."""
        # Even where the command ended gently, others of its group may be left.
        is_finished = self._signal("TERM", GENTLY) and self._channel.status is not None
        is_finished = self._signal("KILL", SURELY) and (is_finished or self._channel.status is not None)
        if is_finished:
            return "it was ended there", "make the command end by itself."
        return "its state is unknown: it may still run there", "look for it in the container."

    def _signal(self, name, seconds):
        """Signal the command's process group (runc makes each exec one of its own) and wait for its status. Returns whether that could be done."""
        if self._pid is None:
            return False
        clock = self._client.clock
        words = ["sh", "-c", f"kill -{name} -{self._pid} 2>/dev/null; true"]
        try:
            with Channel(self._client, self._container.namespace, self._container.pod, self._container.name, words) as sender:
                while sender.read(clock.monotonic() + _SIGNALLING) is not None:
                    pass
            while self._channel.read(clock.monotonic() + seconds) is not None:
                pass
        except TimedOut:
            pass
        except (PodwrightError, ConnectionEnded):
            return False
        return True


def _type(pieces):
    """Pieces of input as they are typed at a terminal: its end of file is a character, which counts at the beginning of a line (POSIX, General Terminal
    Interface). The input itself stays open."""
    last = b"\n"
    for piece in pieces:
        last = (piece or b"")[-1:] or last
        yield piece
    yield END_OF_FILE if last == b"\n" else 2 * END_OF_FILE


def _no_pod(namespace, name):
    return PodwrightError(f"There is no pod '{name}' in namespace '{namespace}'.", status=404, reason="NotFound", hint="Check pod and namespace.")


def _lacks_shell(message):
    return bool(_NO_PROGRAM.search(message) and _NO_SHELL.search(message))


def choose_container(client, namespace, pod_name):
    """The default container of a pod: the task's own, the one annotated as default, else the first. One GET.

    Raises: PodwrightError where there is no such pod.
    """
    pod = client.get(POD, namespace, pod_name)
    if pod is None:
        raise _no_pod(namespace, pod_name)
    return default_container(pod)
