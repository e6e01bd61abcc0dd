# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs the scripts of a copy in a container."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from ..cluster.exec import Process
from ..cluster.exec_command import Command
from ..cluster.exec_stream import STDOUT
from ..errors import CONNECTION_LOST, PodwrightError
from ..text import decode
from .scripts import GUARD, Exit

if TYPE_CHECKING:
    from ..cluster.client import Client
    from ..cluster.exec_command import Container

QUERY_ATTEMPTS, TRANSFER_ATTEMPTS = 3, 6
DELETED_HINT = "If another copy writes to the same path at the same time, run one after the other."
IDLE_SECONDS = 60  # without a byte in either direction after which a connection counts as lost
MAX_LISTING, MAX_OUTPUT, MAX_ERRORS = 1 << 28, 1 << 20, 1 << 16  # bytes that are kept of an output, and of standard error
# The reason and the hint of exit codes of the scripts.
_EXPLAINED: dict[int, tuple[str, str]] = {
    Exit.STAGE_DELETED: (CONNECTION_LOST, DELETED_HINT),
    Exit.LACKS_TOOL: ("NoTools", "Set method to helper."),
    Exit.REPLACED: ("Changed", "Run the task again."),
}
_Result = TypeVar("_Result")


class Input(NamedTuple):
    """Standard input of a script.

    Attributes:
        source: called for its bytes, again for each attempt; None for no input.
        size: how many there are, or None if that is unknown.
        is_bounded: whether the script reads just `size` bytes and needs no end of input.
    """

    source: Callable[[], Iterable[bytes]] | None = None
    size: int | None = None
    is_bounded: bool = False


NO_INPUT = Input()


def names_input(paths: Iterable[bytes]) -> Input:
    """Paths as standard input, each with NUL."""
    content = b"".join(path + b"\0" for path in paths)
    return Input(partial(iter, [content]), len(content))


def names_below(paths: Iterable[bytes]) -> Input:
    """Paths below the working directory of a script as its standard input."""
    return names_input(b"./" + path if path else b"." for path in paths)


class Output(NamedTuple):
    """What a script printed."""

    stdout: bytes
    stderr: bytes


class Attributes(NamedTuple):
    """What a file gets with its content.

    Attributes:
        mode: permission bits, or None to keep those of the file that it replaces.
        mtime: modification time in seconds since the epoch, or None.
        owner: `OWNER`, `OWNER:GROUP` or `:GROUP`; empty to leave them unchanged.
    """

    mode: int | None
    mtime: int | None
    owner: str

    def variables(self) -> dict[str, str | int]:
        """The variables of a script."""
        return {"mode": "" if self.mode is None else f"{self.mode:o}", "mtime": "" if self.mtime is None else self.mtime, "owner": self.owner}


def permission_hint(cause: str) -> str:
    """What to do about an error of a tool, or an empty string if that is not about permissions."""
    is_denied = "ermission denied" in cause or "Read-only" in cause
    return "Check the path and the permissions of the container's user." if is_denied else ""


class ScriptFailed(PodwrightError):
    """A script for a path in a container exited with another code than 0, which is `rc`."""

    def __init__(self, path: str, container: Container, rc: int, stderr: bytes) -> None:
        cause = decode(stderr).strip()[:500] or f"exit code {rc}"
        reason, hint = _EXPLAINED.get(rc, ("CopyFailed", permission_hint(cause)))
        super().__init__(f"The copy failed at {path} in {container}: {cause}", reason=reason, hint=hint)
        self.path, self.container, self.rc = path, container, rc


def retry_on_connection_loss(attempt: Callable[[], _Result], attempts: int = TRANSFER_ATTEMPTS) -> _Result:
    """The result of the first attempt that does not lose its connection. Raises: PodwrightError of another failure, or of the last attempt."""
    for _number in range(attempts - 1):
        try:
            return attempt()
        except PodwrightError as error:
            if error.reason != CONNECTION_LOST:
                raise
    return attempt()


@dataclass(frozen=True)
class ScriptRunner:
    """Runs commands in a container. All methods raise PodwrightError.

    Attributes:
        path: the path that is copied, for messages.
        deadline: the time of the client's clock at which a command is terminated, or None.
        identity: that of the container in which commands may run, as `scripts.LIST` prints it; empty for any.
    """

    client: Client
    container: Container
    path: str
    deadline: float | None = None
    identity: str = ""

    def process(self, command: list[str], given: Input = NO_INPUT) -> Process:
        """A command that has not been started."""
        command = [*GUARD.command(expected=self.identity), *command] if self.identity else command
        left = None if self.deadline is None else max(self.deadline - self.client.clock.monotonic(), 0.01)
        return Process(self.client, self.container, Command(command, *given, timeout=left, idle_timeout=IDLE_SECONDS))

    def branch(self) -> ScriptRunner:
        """The same runner with streams that can be cancelled by themselves."""
        return replace(self, client=self.client.branch())

    def run(self, command: list[str], given: Input = NO_INPUT, sink: Callable[[bytes], object] | None = None, limit: int = MAX_OUTPUT) -> Output:
        """Run a command. If there is a sink, it is called with standard output, piece by piece; else that may have `limit` bytes."""
        stdout, stderr = bytearray(), bytearray()
        with self.process(command, given) as process:
            for stream, data in process:
                if stream != STDOUT:
                    stderr += data[: MAX_ERRORS - len(stderr)]
                elif sink:
                    sink(data)
                elif len(stdout) + len(data) > limit:
                    raise PodwrightError(f"A command in {self.container} printed more than {limit} bytes.", reason="Hostile")
                else:
                    stdout += data
        if process.rc:
            raise self.failure(bytes(stderr), process.rc)
        return Output(bytes(stdout), bytes(stderr))

    def failure(self, stderr: bytes, rc: int = 1) -> ScriptFailed:
        """The error of a script that failed."""
        return ScriptFailed(self.path, self.container, rc, stderr)

    def query(self, command: list[str], given: Input = NO_INPUT, limit: int = MAX_OUTPUT) -> Output:
        """Run a command that changes nothing, again after a connection loss."""
        return retry_on_connection_loss(lambda: self.run(command, given, limit=limit), QUERY_ATTEMPTS)
