# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Logs of containers, followed to their end without losing or repeating a line."""

from __future__ import annotations

import datetime
import re
import threading
from collections import Counter
from dataclasses import dataclass

from ..errors import PodwrightError
from ..libraries import load
from ..objects.containers import container_status, restart_policy
from .kinds import POD
from .request import Request
from .transport import shut_down, socket_of

SILENCE_SECONDS = 30  # after which a stream that says nothing is opened again: some end without a word
STARTING_SECONDS = 0.5
FAILURES = 5
LONGEST_LINE = 1 << 22
WINDOW_SECONDS = 2  # of lines that are remembered, to know them again
_STAMP = re.compile(rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?(Z|[+-]\d\d:\d\d) ")


@dataclass(frozen=True)
class Gap:
    """Where lines may be lost: the log was rotated away while nobody could read it.

    Attributes:
        after, before: the times of the last line before and the first line after, as the kubelet wrote them.
    """

    pod: str
    container: str
    after: str
    before: str


def log_request(namespace, pod, container, *, timeout=90, **options):
    """The Request for a container's log; `options` are the API's own (tailLines, sinceSeconds, …), None left out."""
    query = [("container", container)]
    query += [(name, str(value).lower() if isinstance(value, bool) else str(value)) for name, value in options.items() if value is not None]
    path = POD.path(namespace, pod, "log")
    return Request("GET", path, tuple(query), kind=POD, subresource="log", namespace=namespace, name=pod, accept="*/*", timeout=timeout)


class LogFollower:
    """Follows one container's log, over dropped connections, rotations and restarts, until the container has ended for good.

    Args:
        client: a Client.
        namespace, pod, uid, container: whose log; another pod of that name is not followed.
        on_line: called with each line as bytes, without its time and line feed, and with its time as text.
        first: options of the first request, as the API names them (sinceTime, sinceSeconds, tailLines).
        deadline: the clock's time by which to end, or None.

    Attributes:
        gaps: a list of Gap.
    """

    def __init__(self, client, namespace, pod, uid, container, on_line, first=None, deadline=None):
        self._client, self._namespace, self._pod, self._uid, self._container = client, namespace, pod, uid, container
        self._on_line = on_line
        self._first = first or {}
        self._deadline = deadline
        self._instance = None  # the container's id, which a restart changes
        self._restarts = 0
        self._count = 0  # lines handed out
        self._seen = {}  # second -> Counter of whole lines
        self._begin = self._last = None  # the times of the first line and of the last, as the kubelet wrote them
        self._stopped = threading.Event()
        self._socket = None
        self.gaps = []

    def stop(self):
        """End `follow`, from another thread."""
        self._stopped.set()
        shut_down(self._socket)

    def follow(self):
        """Read to the container's end, the deadline or `stop`. Raises: PodwrightError where the log cannot be read."""
        failures = 0
        while not self._is_late():
            read_before = self._count
            try:
                state = self._look()
                if state == "gone":
                    return
                if state == "waiting":
                    self._stopped.wait(STARTING_SECONDS)
                    continue
                is_whole = self._read(follow=state == "running")
                if is_whole and state == "ended":
                    return
                error = None
            except PodwrightError as caught:
                error, is_whole = caught, False
            if is_whole or self._count > read_before:
                failures = 0
                continue
            failures += 1
            if error and (error.status in (401, 403) or failures > FAILURES):
                raise error
            self._stopped.wait(0.1 * 2 ** min(failures, FAILURES))

    def _is_late(self):
        return self._stopped.is_set() or (self._deadline is not None and self._client.clock.monotonic() >= self._deadline)

    def _look(self):
        """Where the container stands: `waiting`, `running`, `ended` or `gone`. Notices a restart."""
        pod = self._client.get(POD, self._namespace, self._pod)
        if pod is None or pod["metadata"]["uid"] != self._uid:
            return "gone"
        status = container_status(pod, self._container)
        state, instance = status.get("state") or {}, status.get("containerID")
        if self._instance and instance != self._instance and ("running" in state or "terminated" in state):
            self._turn_to_next(status.get("restartCount", 0))
        self._restarts = status.get("restartCount", 0)
        if "running" in state:
            self._instance = instance
            return "running"
        if "terminated" in state:
            self._instance = instance
            policy = restart_policy(pod, self._container)
            is_final = policy == "Never" or pod["status"].get("phase") in ("Succeeded", "Failed")
            return "ended" if is_final or (policy == "OnFailure" and state["terminated"]["exitCode"] == 0) else "waiting"
        return "gone" if pod["status"].get("phase") in ("Succeeded", "Failed") else "waiting"

    def _turn_to_next(self, restarts):
        """Read what is left of the instance before, and begin with the log of the new one."""
        if not self._read(follow=False, previous=True):
            raise PodwrightError(f"The log of pod '{self._pod}' before its restart was cut off.", reason="ConnectionLost")
        if restarts > self._restarts + 1:
            self.gaps.append(Gap(self._pod, self._container, self._last or "", ""))
        self._seen, self._begin, self._last, self._first = {}, None, None, {}

    def _read(self, follow, previous=False):
        """Read what there is from where the last reading ended, and, where it is followed, what comes. Returns whether it was not cut off."""
        options = {"sinceTime": self._overlap()} if self._last else self._first
        seconds = SILENCE_SECONDS
        if self._deadline is not None:
            seconds = max(min(seconds, self._deadline - self._client.clock.monotonic()), 0.01)
        request = log_request(
            self._namespace, self._pod, self._container, timeout=seconds, timestamps=True, follow=follow, previous=previous or None, **options
        )
        try:
            response = self._client.stream(request)
        except PodwrightError as error:
            if error.status == 400 and (previous or "waiting to start" in error.message):
                return True
            raise
        self._socket = socket_of(response)
        known = Counter()
        if self._last:
            for lines in self._seen.values():
                known.update(lines)
        sorting = _Sorting(known)
        try:
            for line in lines_of(response, self._stopped):
                self._take(line, sorting)
            return True
        except (load("urllib3").exceptions.HTTPError, OSError):
            return False  # an ended stream is not an end: it is opened again where it stopped
        finally:
            self._socket = None
            response.close()

    def _overlap(self):
        """The time from which to read again: whole seconds, since the API server cuts off the rest."""
        moment = datetime.datetime.fromisoformat(self._last[:19]) - datetime.timedelta(seconds=WINDOW_SECONDS - 1)
        return moment.isoformat() + "Z"

    def _take(self, line, sorting):
        stamp = _STAMP.match(line)
        if stamp and sorting.is_known(line):
            return
        if stamp:
            moment = stamp[0].strip().decode()
            if sorting.is_first:
                self._begin = min(moment, self._begin or moment)
            elif moment < self._begin:
                return  # from before what was asked for, which only the first reading asks for
            if sorting.lost_its_place() and self._last:
                self.gaps.append(Gap(self._pod, self._container, self._last, moment))
            second = stamp[1]
            self._seen.setdefault(second, Counter())[line] += 1
            for old in sorted(self._seen)[:-WINDOW_SECONDS]:
                del self._seen[old]
            self._last = moment
        self._count += 1
        self._on_line(line[stamp.end() :] if stamp else line, self._last or "")


class _Sorting:
    """Tells lines that were read before from new ones, in one reading."""

    def __init__(self, known):
        self.is_first = not known
        self._known = known
        self._expects_known = bool(known)
        self._is_told = False

    def is_known(self, line):
        """Whether the line was read before; each may be known as often as it was."""
        if self._known.get(line, 0) <= 0:
            return False
        self._known[line] -= 1
        self._expects_known = False
        return True

    def lost_its_place(self):
        """Whether a new line came where some known before it should have come again; told once."""
        told, self._is_told = self._is_told, True
        return self._expects_known and not told


def lines_of(response, stopped):
    """Lines of a response without their line feeds, as they come; the last also without one.

    A line longer than LONGEST_LINE comes in parts, so that a container cannot fill the memory.
    """
    begun, size = [], 0
    for chunk in response.stream(1 << 16):
        if stopped.is_set():
            return
        first, *rest = chunk.split(b"\n")
        begun.append(first)
        size += len(first)
        if rest:
            yield b"".join(begun)
            yield from rest[:-1]
            begun, size = [rest[-1]], len(rest[-1])
        if size >= LONGEST_LINE:
            yield b"".join(begun)
            begun, size = [], 0
    if size:
        yield b"".join(begun)
