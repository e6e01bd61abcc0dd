# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The log of a container as it is read: in a file, and its end in memory."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from ..errors import CONNECTION_LOST, PodwrightError
from ..libraries import connection_errors
from ..objects.containers import has_finished
from .kinds import POD
from .log_lines import missing_log
from .logs import log_request
from .transport import pieces_of

if TYPE_CHECKING:
    from ..files import AtomicFile
    from ..values import Manifest
    from .client import Client
    from .log_gaps import Gap
    from .log_lines import Piece
    from .logs import LogFollower

READING_SECONDS = 60  # for the end of a log: that of a container that writes as fast as it is read has none
_TRIES = 2


class ContainerLog:
    """The log of one container, as far as it was read.

    Args:
        limit: bytes to keep in memory, counted from the end.

    Attributes:
        file: receives the complete log, or None.
        is_truncated: whether `content` lacks the beginning.
        follower: what follows it, or None.
        missing: why there is no log, or None.
        error: why it could not be read or written, or None.
    """

    def __init__(self, pod: Manifest, container: str, limit: int) -> None:
        self.pod, self.container = pod, container
        self.file: AtomicFile | None = None
        self._limit = limit
        self.content = bytearray()
        self._is_open = False  # whether a line has begun
        self.is_truncated = False
        self.follower: LogFollower | None = None
        self.missing: PodwrightError | None = None
        self.error: PodwrightError | None = None

    @property
    def pod_name(self) -> str:
        """The name of the pod."""
        name: str = self.pod["metadata"]["name"]
        return name

    @property
    def gaps(self) -> list[Gap]:
        """The gaps in which lines may be missing."""
        return self.follower.gaps if self.follower else []

    def add(self, data: bytes) -> None:
        """Add a piece of the log."""
        if self.file:
            self.file.write(data)
        self.content += data
        if len(self.content) > 2 * self._limit:
            self.truncate()

    def add_line(self, data: bytes, piece: Piece) -> None:
        """Add a line as it is shown, or a piece of one; the last line of a log may lack its line feed."""
        self.add(b"\n" * (self._is_open and piece.begins_line) + data + b"\n" * piece.ends_line)
        self._is_open = not piece.ends_line

    def truncate(self) -> None:
        """Remove the oldest lines beyond the limit."""
        if len(self.content) > self._limit:
            start = self.content.find(b"\n", len(self.content) - self._limit - 1) + 1
            if start in (0, len(self.content)):  # the last line is longer than the limit
                start = len(self.content) - self._limit
            del self.content[:start]
            self.is_truncated = True


def read_end(client: Client, pod: Manifest, container: str, limit: int) -> ContainerLog:
    """The log of a container, or as many bytes of its end, from the begin of a line. Raises: PodwrightError."""
    log = ContainerLog(pod, container, limit)
    content = client.log(pod["metadata"]["namespace"], log.pod_name, container, limit_bytes=limit)
    if len(content) < limit:  # as most are
        log.add(content)
        return log
    for number in range(_TRIES):
        try:
            _read_all(client, log)
            break
        except connection_errors() as error:
            if number == _TRIES - 1:
                raise PodwrightError(f"the connection was lost: {error}", reason=CONNECTION_LOST) from error
    log.truncate()
    return log


def _read_all(client: Client, log: ContainerLog) -> None:
    """Read a log from its begin. Raises: PodwrightError, and connection errors."""
    deadline = client.clock.monotonic() + READING_SECONDS
    log.content.clear()
    with closing(client.stream(log_request(log.pod["metadata"]["namespace"], log.pod_name, log.container))) as response:
        for piece in pieces_of(response, 1 << 16):
            log.add(piece)
            if client.clock.monotonic() > deadline:
                raise PodwrightError(f"its end was not reached within {READING_SECONDS} s", reason="Timeout")
    if missing := missing_log(log.content, log.pod_name, log.container):
        raise missing


def note_unstarted(client: Client, log: ContainerLog) -> str:
    """Note why there is no log of a container that will never start. Returns: the same about one that may still start, as a warning, else nothing."""
    from .diagnosis import explain_container  # most logs do without what reads the status of pods

    metadata = log.pod["metadata"]
    try:
        pod = client.get(POD, metadata["namespace"], log.pod_name)
    except PodwrightError as error:
        return f"Container '{log.container}' of pod '{log.pod_name}' has no log, and its pod could not be read: {error}"
    if pod is None or pod["metadata"]["uid"] != metadata["uid"]:
        problem, hint, is_final = "the pod was deleted before the container started", "Create the pod again.", True
    else:
        problem, hint = explain_container(pod, log.container) or ("the container has not started", "Find the cause with pod_info: events: true.")
        is_final = has_finished(pod)
    text = f"Container '{log.container}' of pod '{log.pod_name}' has no log: {problem.rstrip('.')}."
    found = PodwrightError(text, reason="NotStarted", hint=hint)
    if is_final:
        log.missing = found
    return "" if is_final else str(found)
