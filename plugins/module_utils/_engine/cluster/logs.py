# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Logs of containers, followed until the containers terminate, without losing or repeating a line."""

from __future__ import annotations

import datetime
import re
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Literal, TypeAlias

from ..clock import pause_after
from ..errors import CONNECTION_LOST, PodwrightError
from ..libraries import connection_errors
from ..objects.containers import container_status, has_finished, will_not_run
from ..objects.timestamps import parse_timestamp, read_timestamp
from .kinds import POD
from .log_gaps import Gap
from .log_lines import TIMESTAMP, UNAVAILABLE, KnownLines, Piece, exact_moment, lines_of
from .log_rotation import Rotations
from .request import ANYTHING, READ_TIMEOUT, Request
from .transport import socket_of

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

    from ..values import Manifest
    from .client import Client

IDLE_SECONDS = 30  # after which an idle stream is reopened: some streams stop without an error
LARGE_IDLE_SECONDS = 5  # the same of a log that may have been rotated: the kubelet checks its size every 10 s
FIRST_LINE_BYTES = 64  # of which a timestamp has at most 36
WAITING_SECONDS = 0.5  # between requests for the status of a container that has not started
MAX_FAILURES = 5
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 3.2  # seconds after a failure
WINDOW_SECONDS = 2  # of timestamps whose lines are remembered, to recognize them when they are read again
MAX_KNOWN = 1 << 17  # lines of one second that are remembered

LogOptions: TypeAlias = dict[str, "str | int | None"]
"""Query parameters of the log subresource, such as sinceTime, sinceSeconds and tailLines; None is left out."""

# terminated: for the last time; exited: the log is complete, and the container may start again; finished: there is nothing more to read
_State: TypeAlias = Literal["waiting", "running", "exited", "terminated", "finished"]


def log_request(namespace: str, pod: str, container: str, *, timeout: float = READ_TIMEOUT, **options: str | int | None) -> Request:
    """The Request for the log of a container.

    Args:
        timeout: seconds without a byte.
        options: see LogOptions.
    """
    query = [("container", container)]
    query += [(name, str(value).lower() if isinstance(value, bool) else str(value)) for name, value in options.items() if value is not None]
    path = POD.path(namespace, pod, "log")
    return Request("GET", path, tuple(query), kind=POD, subresource="log", namespace=namespace, name=pod, accept=ANYTHING, timeout=timeout)


class LogFollower:
    """Follows the log of a container over connection losses, rotations and restarts until the container terminates for the last time.

    Args:
        client: cancelling its streams stops `follow`.
        uid: of the pod; another pod of that name is not followed.
        on_line: called with each line as bytes, without its timestamp and line feed, and with its timestamp as the kubelet writes it.
        first: options of the first request.
        deadline: monotonic time of the clock, in seconds, at which to stop, or None.

    Attributes:
        gaps: the gaps found so far.
        piece: that of the line with which `on_line` is called.
        problem: why the log could not be read at the last attempt, or None.
    """

    def __init__(
        self,
        client: Client,
        namespace: str,
        pod: str,
        uid: str,
        container: str,
        on_line: Callable[[bytes, str], object],
        first: LogOptions | None = None,
        deadline: float | None = None,
    ) -> None:
        self._client, self._namespace, self._pod, self._uid, self._container = client, namespace, pod, uid, container
        self._on_line = on_line
        self._first: LogOptions = {name: value for name, value in (first or {}).items() if value is not None}
        self._since = exact_moment(self._first.get("sinceTime"))
        self._deadline = deadline
        self._container_id: str | None = None  # changes with a restart
        self._exited_id: str | None = None  # of the run whose log was read after its exit
        self._complete_id: str | None = None  # the same once it is known that the container had not started again meanwhile
        self._restarts = 0
        self._line_count = 0
        self._recent: dict[bytes, Counter[int]] = {}  # hashes of lines, by the second of their timestamps
        self._line: re.Match[bytes] | None = None  # the timestamp of the line that is read
        self._first_timestamp = self._last_timestamp = ""
        self._end_of_previous = ""  # the timestamp of the last line before the restart
        self._rotations = Rotations()
        self._cancelled = client.streams.cancelled
        self.gaps: list[Gap] = []
        self.piece = Piece(b"", True, True)
        self.problem: PodwrightError | None = PodwrightError("the API server did not respond", reason="Timeout")

    @property
    def has_run(self) -> bool:
        """Whether the container has started, as far as it was seen."""
        return self._container_id is not None

    def follow(self) -> None:
        """Read until the container terminates or the deadline. Raises: PodwrightError if the log cannot be read, and any error of `on_line`."""
        failures = 0
        while not self._is_stopped():
            count = self._line_count
            error = None
            try:
                state = self._check_state()
                if state in ("finished", "waiting"):
                    self.problem = None  # there is nothing to read
                if state == "finished":
                    return
                if state == "waiting":
                    self._cancelled.wait(WAITING_SECONDS)
                    continue
                is_complete = self._read(follow=state == "running", failures=failures)
                if state == "exited" and is_complete:
                    self._exited_id = self._container_id
                if state == "terminated":
                    if is_complete:
                        return
                    raise self._cut_off("")
            except _LineRefused as caught:
                raise caught.error from caught.error.__cause__
            except PodwrightError as caught:
                self.problem = error = caught
                is_complete = False
            if is_complete or self._line_count > count:
                failures = 0
                continue
            failures += 1
            if error and (error.status in (401, 403) or failures > MAX_FAILURES):
                raise error
            self._cancelled.wait(pause_after(failures, FIRST_PAUSE, LONGEST_PAUSE))

    def _is_stopped(self) -> bool:
        return self._cancelled.is_set() or (self._deadline is not None and self._client.clock.monotonic() >= self._deadline)

    def _check_state(self) -> _State:
        """The state of the container. One GET; continues with the next log after a restart."""
        pod = self._client.get(POD, self._namespace, self._pod)
        if pod is None or pod["metadata"]["uid"] != self._uid:
            return "finished"
        status = container_status(pod, self._container)
        state, last_run = status.get("state") or {}, (status.get("lastState") or {}).get("terminated") or {}
        if "running" in state or "terminated" in state or last_run:
            self._note_run(status, is_pending="waiting" in state)
        if "running" in state:
            return "running"
        if "terminated" in state:
            if will_not_run(pod, self._container):
                return "terminated"
        elif not last_run:
            return "finished" if has_finished(pod) else "waiting"
        if self._exited_id != self._container_id:
            return "exited"
        self._complete_id = self._container_id
        return "finished" if has_finished(pod) else "waiting"

    def _note_run(self, status: Manifest, is_pending: bool) -> None:
        """Take note of the run whose log the API server returns: it continues with the next log after a restart.

        Args:
            is_pending: whether the container waits for its next start: the log of the run before cannot be read meanwhile.
        """
        container_id, restarts = status.get("containerID"), status.get("restartCount", 0)
        if self._container_id and container_id != self._container_id:
            self._finish_previous(restarts, is_pending)
        self._container_id, self._restarts = container_id, restarts

    def _finish_previous(self, restarts: int, is_pending: bool) -> None:
        """Read the rest of the log before a restart, and start with the new log. Raises: PodwrightError if it was cut off."""
        if self._complete_id != self._container_id:
            if is_pending:
                self._add_gap(self._last_timestamp, "")
            else:
                self._read_previous()
        if restarts > self._restarts + 1:
            self._add_gap(self._last_timestamp, "")
        self._end_of_previous = max(self._last_timestamp, self._end_of_previous)
        self._recent, self._first_timestamp, self._last_timestamp, self._first = {}, "", "", {}
        self._rotations = Rotations()

    def _read_previous(self) -> None:
        """Read the rest of the log before a restart. Raises: PodwrightError if it was cut off."""
        if not self._first and "" < self._read_begin(previous=True) < self._first_timestamp:
            self._add_gap(self._end_of_previous, self._first_timestamp)  # the container restarted between its status and its log: that of the next run was read
        if not self._read(follow=False, previous=True):
            raise self._cut_off(" before its restart")

    def _cut_off(self, which: str) -> PodwrightError:
        return PodwrightError(f"The log of pod '{self._pod}'{which} was cut off.", reason=CONNECTION_LOST, hint="Run it again.")

    def _read(self, follow: bool, previous: bool = False, failures: int = 0) -> bool:
        """Read the log after the last line, and new lines if it is followed. Returns: False if the log was cut off."""
        options: LogOptions = {"sinceTime": self._overlap()} if self._last_timestamp else self._first
        timeout: float = min(IDLE_SECONDS, LARGE_IDLE_SECONDS << failures) if self._rotations.is_large else IDLE_SECONDS
        if self._deadline is not None:
            timeout = max(min(timeout, self._deadline - self._client.clock.monotonic()), 0.01)
        options = {"timestamps": True, "follow": follow, "previous": previous or None, **options}
        try:
            response = self._client.stream(log_request(self._namespace, self._pod, self._container, timeout=timeout, **options))
        except PodwrightError as error:
            if error.status == 400 and (previous or "waiting to start" in error.message):
                self.problem = None
                if previous:  # the kubelet has deleted it
                    self._add_gap(self._last_timestamp, "")
                return True
            raise
        self.problem = None
        known = KnownLines(self._recent if self._last_timestamp else {})
        try:
            for piece in lines_of(response):
                self._handle(piece, known)
                if self._rotations.is_due:
                    self._check_rotation(previous)
                    _limit_idleness(response, min(timeout, LARGE_IDLE_SECONDS))
            if self._rotations.may_be_missed:
                self._check_rotation(previous)
            if known.has_only_rest:
                self._add_gap(self._last_timestamp, "")
            return True
        except connection_errors():
            return False  # a closed stream does not mean that the log is complete
        finally:
            response.close()

    def _check_rotation(self, previous: bool) -> None:
        """Find a rotation that the response does not show."""
        between = self._rotations.check(self._read_begin(previous))
        if between:
            self._add_gap(*between)

    def _read_begin(self, previous: bool) -> str:
        """The timestamp of the first line of the log, or "" if it is not known. One GET of its first bytes."""
        request = log_request(self._namespace, self._pod, self._container, timestamps=True, previous=previous or None, limitBytes=FIRST_LINE_BYTES)
        begin = b""
        with suppress(PodwrightError, *connection_errors()):  # reading the log shows why
            response = self._client.stream(request)
            begin = b"".join(piece.content for piece in lines_of(response))
            response.close()
        match = TIMESTAMP.match(begin)
        return match[0].strip().decode() if match else ""

    def _add_gap(self, after: str, before: str) -> None:
        gap = Gap(self._pod, self._container, after, before)
        if gap not in self.gaps[-1:]:
            self.gaps.append(gap)

    def _overlap(self) -> str:
        """The time from which to read again, in whole seconds: the API server ignores fractions."""
        try:
            moment = int(parse_timestamp(self._last_timestamp)) - WINDOW_SECONDS + 1  # which may be in the time zone of the node
            return datetime.datetime.fromtimestamp(moment, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        except (ValueError, OverflowError, OSError):
            return self._last_timestamp  # no date; the server explains it

    def _handle(self, piece: Piece, known: KnownLines) -> None:
        if piece.begins_line:
            self._line = TIMESTAMP.match(piece.content)
        match = self._line
        if piece.begins_line and UNAVAILABLE.fullmatch(piece.content):
            self._add_gap(self._last_timestamp, "")
            return
        if match:
            key = hash((piece.begins_line, match[0], piece.content))
            timestamp = match[0].strip().decode()
            if known.contains(key) or timestamp <= self._end_of_previous:  # the container may restart before its log is read
                return
            if self._since is not None and (read_timestamp(timestamp) or 0) < self._since:
                return
            if known.is_empty:
                self._first_timestamp = min(timestamp, self._first_timestamp or timestamp)
            elif timestamp < self._first_timestamp:
                if not self._first:
                    self._add_gap(self._end_of_previous, self._first_timestamp)  # the container restarted twice before its log was read
                return  # excluded by the options of the first request
            if timestamp < self._last_timestamp and known.is_rest(piece.begins_line):
                return
            is_missed = known.is_missed()
            if is_missed:
                self._rotations.begin(timestamp)
            if self._rotations.add(timestamp, len(piece.content)) or is_missed:
                self._add_gap(self._last_timestamp, timestamp)
            self._remember(match[1], key)
            self._last_timestamp = timestamp
        self._line_count += 1
        self.piece = piece
        try:
            self._on_line(piece.content[match.end() :] if match and piece.begins_line else piece.content, self._last_timestamp)
        except Exception as error:
            raise _LineRefused(error) from error

    def _remember(self, second: bytes, key: int) -> None:
        lines = self._recent.setdefault(second, Counter())
        if len(lines) >= MAX_KNOWN:
            lines.clear()
        lines[key] += 1
        for earlier in sorted(self._recent)[:-WINDOW_SECONDS]:
            del self._recent[earlier]


def _limit_idleness(response: BaseHTTPResponse, seconds: float) -> None:
    connection = socket_of(response)
    if connection:
        connection.settimeout(seconds)


class _LineRefused(Exception):
    """`on_line` raised `error`: no reason to read the log again."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error
