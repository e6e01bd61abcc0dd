# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The transfers of files to and from the pods of tasks, which run in threads and can be cancelled. What carries them out is imported for the first one."""

from __future__ import annotations

import random
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

from ..cluster.kinds import POD
from ..errors import as_podwright_error
from .collected import Collected, restore
from .executor import Answer
from .file_containers import can_fetch, has_inputs, holds_files
from .output_errors import lost_error
from .outputs import why_incomplete
from .record import find_fetched

if TYPE_CHECKING:
    from ..cluster.client import Client
    from ..console import Console
    from ..values import Manifest
    from .task_spec import TaskSpec

LOOKS = (0.5, 1.0, 2.0)  # seconds after which it is known, on average, why something could not be fetched
_EXPLAINED = ("Obstacle", "Replaced")  # reasons of failures that do not depend on the state of the pod
PAUSES = (1.0, 2.0, 4.0, 8.0)  # seconds before the inputs of a task are copied again, on average


class Transfers:
    """Transfers files; each answers whatever happens.

    Attributes:
        deadline: the time of the client's clock at which transfers are terminated, or None.
    """

    def __init__(self, client: Client, console: Console) -> None:
        self.deadline: float | None = None
        self._client, self._console = client, console
        self._branches: list[Client] = []
        self._targets: dict[str, str] = {}
        self._is_cancelled = threading.Event()

    def deliver(self, spec: TaskSpec, pod: Manifest) -> Answer:
        """Copy the inputs of a task to its pod. With an error, the `live` of the answer is that pod as it is then, or None if it does not exist.

        Another run may copy them at the same time, and each upload deletes the temporary files of earlier ones: a copy that fails is retried, unless the pod
        has its inputs by then.
        """
        from .delivery import deliver, is_temporary

        pauses = iter(PAUSES)
        while True:
            try:
                deliver(self._branch(), self._console, spec, pod, self.deadline)
                return Answer(live=pod)
            except Exception as error:
                failure = as_podwright_error(error)
            live = self._look_up(spec, pod)
            if live and has_inputs(live):
                return Answer(live=live)
            if live is None or not is_temporary(failure) or not self._pause(next(pauses, None)):
                return Answer(error=failure, live=live)

    def _pause(self, seconds: float | None) -> bool:
        """Pause for so many seconds on average. Returns: whether there is a pause, before the deadline and a cancellation."""
        if seconds is None:
            return False
        pause = seconds * random.uniform(0.5, 1.5)  # noqa: S311 - not a secret
        if self.deadline is not None and self._client.clock.monotonic() + pause > self.deadline:
            return False
        return not self._is_cancelled.wait(pause)

    def _look_up(self, spec: TaskSpec, pod: Manifest) -> Manifest | None:
        try:
            live = self._client.get(POD, spec.namespace, spec.name)
        except Exception:
            return pod
        return live if live and live["metadata"]["uid"] == pod["metadata"].get("uid") else None

    def collect(self, spec: TaskSpec, pod: Manifest, is_success: bool) -> Answer:
        """Fetch what a task has left, or find that another run has fetched it; the answer is empty if neither is possible."""
        if not can_fetch(pod):
            return Answer(collected=self._find_collected(spec, pod, is_success))
        from .collector import Collector

        collector = Collector(self._branch(), self._console, self.deadline, targets=self._targets)
        collected = collector.collect(spec, pod, is_success)
        if all(failure.reason in _EXPLAINED for failure in collected.failures):
            return Answer(collected=collected)
        return self._look_again(spec, pod, is_success, collected)

    def _look_again(self, spec: TaskSpec, pod: Manifest, is_success: bool, collected: Collected) -> Answer:
        """Answer after a failure: another run may have fetched all and deleted the pod, or the pod was terminated, for example at its timeout."""
        pauses = iter(LOOKS)
        while True:
            live = self._look_up(spec, pod)
            found = self._find_collected(spec, pod, is_success)
            if found and not found.failures:
                return Answer(collected=found)
            if live is None or not holds_files(live):
                lost = lost_error(spec.options, live)
                return Answer(collected=replace(collected, failures=[lost] if lost else collected.failures), live=live)
            if not self._pause(next(pauses, None)):
                return Answer(collected=collected)

    def _find_collected(self, spec: TaskSpec, pod: Manifest, is_success: bool) -> Collected | None:
        """What another run has fetched according to the record, if its copies are on this host, or why the record cannot be read; else None."""
        try:
            record = find_fetched(self._client, spec, pod["metadata"]["uid"])
        except Exception as error:
            return Collected(failures=[as_podwright_error(error)])  # another run may have fetched them
        return restore(spec, pod, record, is_success) if record and not why_incomplete(spec.options, record, False) else None

    def cancel(self) -> None:
        """Close the connections, so that threads which wait for them return."""
        self._is_cancelled.set()
        for client in self._branches:
            client.streams.cancel()

    def _branch(self) -> Client:
        self._branches.append(self._client.branch())
        return self._branches[-1]
