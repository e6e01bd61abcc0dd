# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Terminates the proxies of service meshes once their tasks have terminated, so that pods and Jobs complete."""

from __future__ import annotations

from typing import TYPE_CHECKING

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


class Proxies:
    """The proxies of a batch that have nothing to do any more.

    Attributes:
        is_open: whether one has not been asked to terminate.
    """

    def __init__(self, client: Client, console: Console) -> None:
        self._client, self._console = client, console
        self._asked: set[str] = set()  # uids of pods
        self._waiting: list[tuple[Manifest, str]] = []

    @property
    def is_open(self) -> bool:
        return bool(self._waiting)

    def note(self, run: TaskRun) -> None:
        """Note the proxies of a task that has terminated."""
        for pod in run.pods.values() if run.spec and run.spec.is_job else [run.live] if run.live else []:
            name = idle_proxy(pod)
            if name and pod["metadata"]["uid"] not in self._asked:
                self._asked.add(pod["metadata"]["uid"])
                self._waiting.append((pod, name))

    def quit(self, pool: Pool) -> None:
        """Ask the proxies that were noted to terminate, in threads of a pool."""
        while self._waiting:
            pool.submit(self._quit, *self._waiting.pop())

    def _quit(self, pod: Manifest, container: str) -> None:
        """Ask a proxy to terminate until it responds or has terminated, and warn if it does neither."""
        metadata, path, client = pod["metadata"], QUIT_ENDPOINTS[container][1], self._client.branch()
        deadline = client.clock.monotonic() + START_SECONDS
        while True:
            status, problem = _ask(client, pod, container)
            if not problem or not self._is_idle(client, pod, container):
                return
            if status or client.clock.monotonic() > deadline:
                break
            client.clock.sleep(PAUSE_SECONDS)
        self._console.warn(
            f"The task of pod '{metadata['name']}' in namespace '{metadata['namespace']}' has terminated, but its proxy '{container}' could not be "
            f"terminated and keeps the pod running: POST {path} {problem} Configure the mesh to inject native sidecars, or exclude the pod from it."
        )

    def _is_idle(self, client: Client, pod: Manifest, container: str) -> bool:
        """Whether a proxy still keeps its pod running, as far as can be read."""
        try:
            live = client.get(POD, pod["metadata"]["namespace"], pod["metadata"]["name"])
        except PodwrightError:
            return True
        return live is not None and live["metadata"]["uid"] == pod["metadata"]["uid"] and idle_proxy(live) == container


def _ask(client: Client, pod: Manifest, container: str) -> tuple[int, str]:
    """(status of the response to a request to terminate, or 0; what is wrong, or an empty string)."""
    from http.client import HTTPException  # few pods have such proxies

    from ..clients.http import HttpRequest, send
    from ..cluster.port_forward import Connection

    metadata, (port, path) = pod["metadata"], QUIT_ENDPOINTS[container]
    request, forward = HttpRequest("http", "POST", path, {"Connection": "close"}, b"", QUIT_SECONDS), None
    try:
        with Connection(client, metadata["namespace"], metadata["name"], port, deadline=client.clock.monotonic() + QUIT_SECONDS) as forward:
            response = send(forward.socket, "localhost", port, request, None, bool)
    except (PodwrightError, OSError, HTTPException) as error:
        return 0, f"failed: {(forward and forward.error) or error}"
    return response.status, f"returned status {response.status}." if response.status >= 400 else ""
