# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Terminates the proxies of service meshes once their tasks have terminated, so that pods and Jobs complete."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from ..cluster.kinds import POD
from ..errors import PodwrightError
from ..objects.meshes import QUIT_ENDPOINTS, idle_proxy

if TYPE_CHECKING:
    from ..cluster.client import Client
    from ..console import Console
    from ..threads import Pool
    from ..values import Manifest
    from .task_run import TaskRun

QUIT_SECONDS = 5  # in which a proxy must respond
START_SECONDS = 30  # in which a proxy must accept requests: that of a short task is started after it
PAUSE_SECONDS = 0.5


class Idle(NamedTuple):
    """A proxy that has nothing to do any more, and when it is asked to terminate: not before one time, and for the last time after another."""

    pod: Manifest
    container: str
    not_before: float
    deadline: float


class Proxies:
    """The proxies of a batch that have nothing to do any more."""

    def __init__(self, client: Client, console: Console) -> None:
        self._client, self._console = client, console
        self._noted: set[str] = set()  # uids of pods
        self._done: set[str] = set()
        self._waiting: deque[Idle] = deque()

    @property
    def is_open(self) -> bool:
        """Whether a proxy has not responded yet to the request to terminate."""
        return len(self._done) < len(self._noted)

    def note(self, run: TaskRun) -> None:
        """Note the proxies of a task that has terminated."""
        for pod in run.pods.values() if run.spec and run.spec.is_job else [run.live] if run.live else []:
            name = idle_proxy(pod)
            if name and pod["metadata"]["uid"] not in self._noted:
                self._noted.add(pod["metadata"]["uid"])
                now = self._client.clock.monotonic()
                self._waiting.append(Idle(pod, name, now, now + START_SECONDS))

    def quit(self, pool: Pool) -> None:
        """Ask the proxies that were noted to terminate, in threads of a pool; those that do not accept requests yet again after a pause."""
        for _number in range(len(self._waiting)):
            idle = self._waiting.popleft()
            if idle.not_before > self._client.clock.monotonic():
                self._waiting.append(idle)
            else:
                pool.submit(self._quit, idle)

    def _quit(self, idle: Idle) -> None:
        pod, container, is_done = idle.pod, idle.container, True
        try:
            status, problem = _ask(self._client, pod, container)
            if not problem or not self._is_idle(pod, container):
                return
            now = self._client.clock.monotonic()
            is_done = bool(status) or now > idle.deadline
            if is_done:
                self._warn(pod["metadata"], container, problem)
            else:
                self._waiting.append(idle._replace(not_before=now + PAUSE_SECONDS))
        finally:
            if is_done:
                self._done.add(pod["metadata"]["uid"])

    def _warn(self, metadata: Manifest, container: str, problem: str) -> None:
        self._console.warn(
            f"The task of pod '{metadata['name']}' in namespace '{metadata['namespace']}' has terminated, but its proxy '{container}' could not be "
            f"terminated and keeps the pod running: POST {QUIT_ENDPOINTS[container][1]} {problem} Configure the mesh to inject native sidecars, or "
            "exclude the pod from it."
        )

    def _is_idle(self, pod: Manifest, container: str) -> bool:
        """Whether a proxy still keeps its pod running, as far as can be read."""
        try:
            live = self._client.get(POD, pod["metadata"]["namespace"], pod["metadata"]["name"])
        except PodwrightError:
            return True
        return live is not None and live["metadata"]["uid"] == pod["metadata"]["uid"] and idle_proxy(live) == container


def _ask(client: Client, pod: Manifest, container: str) -> tuple[int, str]:
    """(status of a response to a request to terminate that is final, or 0; what is wrong, or an empty string)."""
    from http.client import HTTPException  # few pods have such proxies

    from ..clients.http import HttpRequest, send
    from ..cluster.port_forward import Connection

    metadata, (port, path), client = pod["metadata"], QUIT_ENDPOINTS[container], client.branch()
    request, forward = HttpRequest("http", "POST", path, {"Connection": "close"}, b"", QUIT_SECONDS), None
    try:
        with Connection(client, metadata["namespace"], metadata["name"], port, deadline=client.clock.monotonic() + QUIT_SECONDS) as forward:
            response = send(forward.socket, "localhost", port, request, None, bool)
    except (PodwrightError, OSError, HTTPException) as error:
        is_final = isinstance(error, PodwrightError) and error.is_forbidden
        return 403 if is_final else 0, f"failed: {(forward and forward.error) or error}"
    return response.status, f"returned status {response.status}." if response.status >= 400 else ""
