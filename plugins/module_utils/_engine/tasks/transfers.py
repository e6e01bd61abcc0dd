# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The transfers of files to and from the pods of tasks, which run in threads and can be cancelled. What carries them out is imported for the first one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..cluster.kinds import POD
from ..errors import as_podwright_error
from .executor import Answer

if TYPE_CHECKING:
    from ..cluster.client import Client
    from ..console import Console
    from ..values import Manifest
    from .task_spec import TaskSpec


class Transfers:
    """Transfers files; each answers whatever happens.

    Attributes:
        deadline: the time of the client's clock at which transfers are terminated, or None.
    """

    def __init__(self, client: Client, console: Console) -> None:
        self.deadline: float | None = None
        self._client, self._console = client, console
        self._branches: list[Client] = []

    def deliver(self, spec: TaskSpec, pod: Manifest) -> Answer:
        """Copy the inputs of a task to its pod. With an error, the `live` of the answer is that pod as it is then, or None if it does not exist."""
        from .delivery import deliver

        try:
            deliver(self._branch(), self._console, spec, pod, self.deadline)
        except Exception as error:
            return Answer(error=as_podwright_error(error), live=self._look_up(spec, pod))
        return Answer(live=pod)

    def _look_up(self, spec: TaskSpec, pod: Manifest) -> Manifest | None:
        try:
            live = self._client.get(POD, spec.namespace, spec.name)
        except Exception:
            return pod
        return live if live and live["metadata"]["uid"] == pod["metadata"].get("uid") else None

    def collect(self, spec: TaskSpec, pod: Manifest, is_success: bool) -> Answer:
        """Fetch what a task has left."""
        from .collector import Collector

        return Answer(collected=Collector(self._branch(), self._console, self.deadline).collect(spec, pod, is_success))

    def cancel(self) -> None:
        """Close the connections, so that threads which wait for them return."""
        for client in self._branches:
            client.streams.cancel()

    def _branch(self) -> Client:
        self._branches.append(self._client.branch())
        return self._branches[-1]
