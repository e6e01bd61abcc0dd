# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Why Kueue does not admit tasks: only their Workloads say that."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import PodwrightError
from ..objects.job_status import SUSPENDED
from ..objects.pod_status import FIXABLE, GATED, Status
from ..objects.workloads import GROUP, WORKLOAD, describe_workload, owner_uids

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ..cluster.client import Client
    from .task_run import TaskRun

QUEUED = "Queued"  # the reason of a task that waits for its admission
FIRST_PAUSE, LONGEST_PAUSE = 2.0, 30.0  # seconds between requests for Workloads; each pause is twice the one before
HINT = "Raise the quota of its ClusterQueue, lower the requests of the task, or raise wait_timeout or schedule_timeout."


class Admissions:
    """Reads Workloads while tasks are not admitted: one LIST request for each namespace."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._next, self._pause = 0.0, FIRST_PAUSE
        self._reasons: dict[str, str] = {}  # uid of a pod or Job that was not admitted at the last request -> why

    def read(self, runs: Iterable[TaskRun], now: float) -> None:
        """Update the status of tasks that are not admitted.

        Args:
            runs: TaskRuns that wait for their pod.
            now: seconds of the monotonic clock.
        """
        held = {run.live["metadata"]["uid"]: run for run in runs if run.live and _is_held(run)}
        slow = {uid: run for uid, run in held.items() if now - run.timing.created_at > FIRST_PAUSE}
        if not slow.keys() <= self._reasons.keys():
            self._next, self._pause = min(self._next, now + FIRST_PAUSE), FIRST_PAUSE
        if slow and now >= self._next and self._client.availability.failing_since is None:
            self._reasons = self._read_reasons(slow)
            self._pause = min(self._pause * 2, LONGEST_PAUSE)
            self._next = now + self._pause
        for uid, run in held.items():
            queue, reason = run.spec.options["queue"] if run.spec else "", self._reasons.get(uid, "")
            run.status = Status("pending", QUEUED, f"LocalQueue '{queue}' has not admitted it{': ' if reason else ''}{reason}", grace=FIXABLE)

    def _read_reasons(self, runs: Mapping[str, TaskRun]) -> dict[str, str]:
        reasons = dict.fromkeys(runs, "Kueue has no Workload for it. Check that Kueue runs and manages this kind of object in this namespace")
        for namespace in sorted({run.plan.change.key.namespace for run in runs.values()}):
            try:
                workloads, _version = self._client.list(self._client.kinds.find_served(GROUP, WORKLOAD), namespace)
            except PodwrightError as error:
                problem = f"to know why, {error.message}"
                reasons |= {uid: problem for uid, run in runs.items() if run.plan.change.key.namespace == namespace}
                continue
            reasons |= {uid: describe_workload(workload) for workload in workloads for uid in owner_uids(workload) & runs.keys()}
        return reasons


def _is_held(run: TaskRun) -> bool:
    return bool(run.spec and run.spec.options.get("queue") and run.status and run.status.reason in (GATED, SUSPENDED, QUEUED))
