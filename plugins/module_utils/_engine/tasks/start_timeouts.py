# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The timeouts of a task before its container runs: until its pod is scheduled, its images are pulled, its container has started."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ..objects.containers import TASK_CONTAINER, container_statuses
from ..objects.pod_status import has_started
from ..objects.readiness import condition
from ..objects.start_hints import start_hint

if TYPE_CHECKING:
    from ..values import Manifest
    from .task_run import TaskRun
    from .task_spec import TaskSpec

SCHEDULE, PULL, START = "schedule_timeout", "pull_timeout", "start_timeout"


class Expired(NamedTuple):
    """A timeout that has expired: its reason, the rest of the sentence about the task, and what to do."""

    reason: str
    why: str
    hint: str


_REPORTS = {
    SCHEDULE: ("ScheduleTimeout", "was not scheduled to a node within {} s", "Free resources, correct selectors and tolerations, or raise schedule_timeout."),
    PULL: (
        "PullTimeout",
        "did not get its images within {} s",
        "Check the image, its registry and the pull secrets, or raise pull_timeout.",
    ),
    START: ("StartTimeout", "did not start within {} s after it was scheduled", "Its events name what it waits for; or raise start_timeout."),
}


def read_phase(pod: Manifest | None) -> str | None:
    """The timeout that applies to a pod now, START for what is neither scheduling nor pulling; None once its task's container has started.

    A pod pulls images when its sandbox is ready and its next container is not created (KEP-3085); an old kubelet does not report the sandbox.
    """
    if pod is None or not (pod["spec"].get("nodeName") or condition(pod, "PodScheduled").get("status") == "True"):
        return SCHEDULE
    if has_started(pod, TASK_CONTAINER):
        return None
    statuses = container_statuses(pod)
    is_ready = condition(pod, "PodReadyToStartContainers").get("status", "True") == "True"
    is_initializing = any("running" in (entry.get("state") or {}) and not entry.get("started") for entry in statuses if entry["name"] != TASK_CONTAINER)
    return PULL if is_ready and statuses and not is_initializing else START


def find_expired(run: TaskRun, spec: TaskSpec, now: float) -> Expired | None:
    """The timeout of a task that has expired, or None. Notes in its timing since when it is in its phase, as far as this run has seen it.

    Args:
        now: seconds of the monotonic clock.
    """
    if all(spec.options.get(name) is None for name in _REPORTS):
        return None
    timing, phase = run.timing, read_phase(run.pod)
    if phase is None:
        return None
    if timing.phase != phase:
        timing.phase, timing.phase_since = phase, now
    if phase == SCHEDULE:
        timing.scheduled_since = None
    elif timing.scheduled_since is None:
        timing.scheduled_since = now
    since = {phase: timing.phase_since} | ({START: timing.scheduled_since} if timing.scheduled_since is not None else {})
    for name, moment in since.items():
        seconds = spec.options.get(name)
        if seconds is not None and now - moment >= seconds:
            return _describe(run, name, seconds)
    return None


def _describe(run: TaskRun, name: str, seconds: int) -> Expired:
    reason, why, hint = _REPORTS[name]
    status = run.status
    detail = f": {': '.join(filter(None, (status.reason, status.message)))}" if status else ""
    known = start_hint(status.reason, status.message) if status else ""
    return Expired(reason, why.format(seconds) + f" ({name}){detail}", f"{known.removesuffix('.')}, or raise {name}." if known else hint)
