# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The logs of running tasks on the console."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple

from ..cluster.log_gaps import describe_gaps
from ..cluster.logs import LogFollower
from ..errors import PodwrightError
from ..objects.containers import TASK_CONTAINER, long_running_containers
from ..objects.pod_status import has_started
from ..text import decode
from ..threads import STOP_SECONDS
from .container_logs import further_containers
from .indexes import named_pods

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..cluster.client import Client
    from ..console import Console
    from ..objects.pod_status import Status
    from ..values import Manifest
    from .task_run import TaskRun
    from .task_spec import TaskSpec

MAX_STREAMS = 100  # a thread and a connection each
FINISHING_SECONDS = 5  # without a line, in which the last lines of finished tasks may arrive: a terminal is slower than a container
SIDECAR_SECONDS = 0.5  # for those of their sidecars, which may use all of their grace period to terminate


class Stream(NamedTuple):
    """A log that is followed in a thread; cancelling the streams of its client stops that."""

    name: str
    thread: threading.Thread
    client: Client
    is_sidecar: bool


class LogStreams:
    """Follows the logs of tasks, a thread each. A context manager that waits for the last lines on exit.

    Args:
        console: the Console, whose `line` gets every line.
        seconds: how long to wait for the next of the last lines; 0 if the tasks keep running.
    """

    def __init__(self, client: Client, console: Console, seconds: float) -> None:
        self._client, self._console, self._seconds = client, console, seconds
        self._streams: dict[tuple[str, str], Stream] = {}  # by the uid of the pod and the container
        self._finished: set[str] = set()  # uids of pods
        self._last_line = 0.0  # of any container but a sidecar, in monotonic seconds
        self._is_closed = False

    def show(self, run: TaskRun, spec: TaskSpec, status: Status) -> None:
        """Follow the logs of a task if that is requested, but not again those of a task that finished in an earlier run."""
        if spec.options["logs"] == "stream" and not (run.is_from_earlier_run and status.is_finished):
            for name, pod in named_pods(run, spec):
                if status.is_finished:
                    self._finished.add(pod["metadata"]["uid"])
                if has_started(pod, TASK_CONTAINER):
                    self.begin(name, pod)
                for container in further_containers(run):
                    if has_started(pod, container):
                        self.begin(f"{name}/{container}", pod, container)

    def begin(self, name: str, pod: Manifest, container: str = TASK_CONTAINER) -> None:
        """Follow the log of a container, unless it is followed already.

        Args:
            name: the prefix of its lines.
        """
        metadata = pod["metadata"]
        key = metadata["uid"], container
        if key in self._streams or self._is_closed:
            return
        if sum(stream.thread.is_alive() for stream in self._streams.values()) >= MAX_STREAMS:
            self._console.warn(f"More than {MAX_STREAMS} containers run at the same time: the logs of the others are not streamed.")
            return

        is_sidecar = container != TASK_CONTAINER and container in [entry["name"] for entry in long_running_containers(pod)]

        def show(line: bytes, _timestamp: str) -> None:
            self._console.line(name, decode(line))
            if not is_sidecar:
                self._last_line = self._client.clock.monotonic()

        client = self._client.branch()
        follower = LogFollower(client, metadata["namespace"], metadata["name"], metadata["uid"], container, show)
        thread = threading.Thread(target=self._follow, args=(name, follower), daemon=True, name=f"podwright-log-{name}")
        self._streams[key] = Stream(name, thread, client, is_sidecar)
        thread.start()

    def _follow(self, name: str, follower: LogFollower) -> None:
        try:
            follower.follow()
        except PodwrightError as error:
            self._console.warn(f"The log of task '{name}' cannot be streamed: {error}")
        if follower.gaps:
            self._console.warn(describe_gaps(follower.gaps, f"task '{name}'"))

    def __enter__(self) -> LogStreams:
        return self

    def __exit__(self, error_type: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._is_closed = True  # answers may be handled afterwards
        seconds = self._seconds if error_type is None else 0
        tasks = {key: stream for key, stream in self._streams.items() if not stream.is_sidecar}
        self._join(seconds, tasks.values())
        stalled = [stream.name for (uid, _container), stream in tasks.items() if uid in self._finished and stream.thread.is_alive()]
        if stalled and seconds:
            self._console.warn(f"The last lines of {', '.join(stalled)} may be missing: none arrived for {seconds} s.")
        self._join(min(seconds, SIDECAR_SECONDS), self._streams.values())
        for stream in self._streams.values():
            stream.client.streams.cancel()
        self._join(STOP_SECONDS, self._streams.values())

    def _join(self, seconds: float, streams: Iterable[Stream]) -> None:
        """Wait for threads, until no line has arrived for that long."""
        clock = self._client.clock
        begun = clock.monotonic()
        for stream in streams:
            while stream.thread.is_alive() and (rest := max(begun, self._last_line) + seconds - clock.monotonic()) > 0:
                stream.thread.join(rest)
