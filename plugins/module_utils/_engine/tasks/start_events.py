# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Problems at the start of tasks that only events report: volumes and devices that cannot be prepared, and pods that a Job may not create."""

from __future__ import annotations

from collections.abc import Iterable

from ..cluster.client import Client
from ..cluster.kinds import EVENT
from ..errors import PodwrightError
from ..objects.pod_status import FINAL, FIXABLE, SETTLING, TRANSIENT, Status
from ..objects.readiness import condition
from ..objects.start_hints import FAILED_CLAIM, FAILED_PREPARE
from .task_run import FAILED_CREATE, TaskRun
from .task_secret import STDIN_VOLUME

FIRST_PAUSE, LONGEST_PAUSE = 2.0, 30.0  # seconds between requests for events; each pause is twice the one before
_REASONS = ("Starting", "FailedMount", FAILED_CLAIM, FAILED_PREPARE, FAILED_CREATE)  # of a Status that events may explain


class StartEvents:
    """Reads events while tasks do not start: one LIST request for each namespace and reason."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._next, self._pause = 0.0, FIRST_PAUSE

    def read(self, runs: Iterable[TaskRun], now: float) -> None:
        """Update the status of tasks that have not started for a while, if it is time.

        Args:
            runs: TaskRuns that wait for their pod.
            now: seconds of the monotonic clock.
        """
        if now < self._next or self._client.availability.failing_since is not None:
            return
        self._next = now + self._pause
        slow = [run for run in runs if _may_be_stuck(run) and now - run.timing.created_at > FIRST_PAUSE]
        self._pause = min(self._pause * 2, LONGEST_PAUSE) if slow else FIRST_PAUSE
        for namespace, reason in {(run.plan.change.key.namespace, reason) for run in slow for reason in _reasons_for(run)}:
            try:
                events, _version = self._client.list(EVENT, namespace, field_selector=f"reason={reason}")
            except PodwrightError:
                continue  # without the permission to read events, tasks fail later
            latest = {event["involvedObject"].get("uid"): event.get("message") or "" for event in events}
            for run in slow:
                subject = run.pod or run.live
                message = latest.get(subject["metadata"]["uid"]) if subject else None
                if message and run.plan.change.key.namespace == namespace:
                    run.status = Status("pending", reason, message, grace=_grace_of(reason, message))


def _may_be_stuck(run: TaskRun) -> bool:
    """Whether events may explain the status of a task; those about volumes are outdated once its pod has its sandbox (KEP-3085)."""
    has_sandbox = run.pod is not None and condition(run.pod, "PodReadyToStartContainers").get("status") == "True"
    return run.status is not None and run.status.reason in _REASONS and not has_sandbox


def _reasons_for(run: TaskRun) -> tuple[str, ...]:
    """The reasons of the events that may explain why a task does not start."""
    if not run.pod:
        return (FAILED_CREATE,)
    if not run.pod["spec"].get("resourceClaims"):
        return ("FailedMount",)
    return ("FailedMount", FAILED_PREPARE) if run.pod["spec"].get("nodeName") else (FAILED_CLAIM,)


def _grace_of(reason: str, message: str) -> str:
    if reason in (FAILED_CLAIM, FAILED_PREPARE):
        return FIXABLE  # both are retried: the kubelet, for example, may not have been permitted yet to read the claim
    # The Secret with standard input is created after its pod: the first attempt to mount it may fail, and the event about that stays.
    if "exceeded quota" in message or f'"{STDIN_VOLUME}"' in message:
        return FIXABLE
    if "PodSecurity" in message:
        return FINAL
    return SETTLING if "not found" in message else TRANSIENT
