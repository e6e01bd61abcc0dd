# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Why Kueue does not admit tasks: only their Workloads say that."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import PodwrightError
from ..objects.job_status import SUSPENDED
from ..objects.labels import label_of
from ..objects.pod_status import FIXABLE, GATED, Status
from ..objects.workloads import GROUP, WORKLOAD, describe_workload, owner_uids

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ..cluster.client import Client
    from .task_run import TaskRun

NO_WORKLOAD = "Kueue has no Workload for it"
QUEUED = "Queued"  # the reason of a task that waits for its admission
FIRST_PAUSE, LONGEST_PAUSE = 2.0, 30.0  # seconds between requests for Workloads; each pause is twice the one before
PRIORITY_CLASS = "kueue.x-k8s.io/priority-class"  # label with the name of a WorkloadPriorityClass
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
        reasons = {uid: _explain_absence(run) for uid, run in runs.items()}
        for namespace in sorted({run.plan.change.key.namespace for run in runs.values()}):
            try:
                workloads, _version = self._client.list(self._client.kinds.find_served(GROUP, WORKLOAD), namespace)
            except PodwrightError as error:
                problem = f"to know why, {error.message}"
                reasons |= {uid: problem for uid, run in runs.items() if run.plan.change.key.namespace == namespace}
                continue
            reasons |= {uid: describe_workload(workload) for workload in workloads for uid in owner_uids(workload) & runs.keys()}
        return reasons


def _explain_absence(run: TaskRun) -> str:
    """What to check if Kueue has created no Workload for a task."""
    name = label_of(run.live, PRIORITY_CLASS) if run.live else ""
    also = f", and that the WorkloadPriorityClass '{name}' of its label {PRIORITY_CLASS} exists" if name else ""
    return f"{NO_WORKLOAD}. Check that Kueue runs and manages this kind of object in this namespace{also}"


def _is_held(run: TaskRun) -> bool:
    return bool(run.spec and run.spec.options.get("queue") and run.status and run.status.reason in (GATED, SUSPENDED, QUEUED))
