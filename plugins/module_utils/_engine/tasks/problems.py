# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tasks that take too long: problems that last longer than the grace period of their class, and the timeout of the whole batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from ..cluster.client import Client
from ..objects.containers import TASK_CONTAINER, container_status, long_running_containers
from ..objects.pod_status import DELETED, FINAL, FIXABLE, SETTLING, SKIPPED, TRANSIENT, Status, read_pod
from ..objects.start_hints import start_hint
from ..values import Manifest
from .admissions import HINT, NO_WORKLOAD, QUEUED, Admissions
from .executor import Executor
from .retries import names_reason
from .runner_options import RunnerOptions
from .stages import Stage
from .start_events import StartEvents
from .start_timeouts import Expired, find_expired
from .task_run import TaskRun
from .task_secret import secret_name
from .task_spec import TaskSpec

SETTLING_SECONDS = 5
NOT_REQUESTED = "no request was sent for it in that time"


class Problems:
    """Fails tasks that take too long.

    Args:
        retry: what starts the next attempt of a task whose attempt failed, if it has one.
    """

    def __init__(self, client: Client, executor: Executor, options: RunnerOptions, retry: Callable[[TaskRun, TaskSpec, Status], bool]) -> None:
        self._clock, self._availability = client.clock, client.availability
        self._executor, self._options, self._retry = executor, options, retry
        self._start_events, self._admissions = StartEvents(client), Admissions(client)

    def check(self, runs: Sequence[TaskRun]) -> None:
        """Fail tasks whose problem has lasted longer than the grace period of its class, and those one of whose timeouts has expired."""
        now = self._clock.monotonic()
        waiting = [run for run in runs if run.stage is Stage.WATCH and run.spec]
        self._start_events.read(waiting, now)
        self._admissions.read(waiting, now)
        for run in runs:
            if run.stage is Stage.WATCH and run.spec and run.status:
                expired = find_expired(run, run.spec, now)
                if expired:
                    self._expire(run, run.spec, expired)
                elif run.status.grace not in (None, FIXABLE):
                    self._check_problem(run, run.spec, run.status, now)

    def _expire(self, run: TaskRun, spec: TaskSpec, expired: Expired) -> None:
        """Fail an attempt that has not started. Its pod counts as finished, so that `cleanup` applies to it."""
        run.status = Status("failed", expired.reason, expired.why)
        if not self._retry(run, spec, run.status):
            run.fail_because(*expired)

    def _check_problem(self, run: TaskRun, spec: TaskSpec, status: Status, now: float) -> None:
        timing = run.timing
        timing.problem_since = now if timing.problem_since is None else timing.problem_since
        grace = {FINAL: 0, SETTLING: SETTLING_SECONDS, TRANSIENT: spec.options["failure_grace"]}[status.grace or FINAL]
        if status.grace == SETTLING and run.live and (name := secret_name(run.live)) and name in status.message:
            grace = spec.options["failure_grace"]  # it is created right after the pod, and kubelets look for it again after a while
        if now - timing.problem_since < grace:
            return
        # It would most likely fail again: only what retry_on names is retried.
        is_retried = names_reason(spec, status.reason) and self._retry(run, spec, replace(status, state="failed"))
        if not is_retried:
            hint = start_hint(status.reason, status.message)
            run.fail_because(status.reason, f"cannot start: {status.reason}: {status.message}", hint)

    def give_up(self, runs: Sequence[TaskRun]) -> None:
        """Fail what is not done when the batch's timeout has expired."""
        for run in runs:
            if run.stage in (Stage.DONE, Stage.COMPLETE, Stage.COMPLETING):
                continue
            if run.stage is Stage.NEEDS:
                run.fail_because("Timeout", f"was not started within {self._options.wait_timeout} s: its needs have not finished", outcome=SKIPPED)
                continue
            status = run.status
            unseen = NOT_REQUESTED if run.stage.is_queued else "nothing was seen of it"
            state = ": ".join(filter(None, (status.reason or status.state, status.message))) if status else unseen
            obstacle = self._executor.describe_obstacles(run.to_delete.values())
            state = (obstacle or state) + self._availability.describe()
            is_deletion = run.plan.is_deletion or run.is_stopping
            goal = "deleted" if is_deletion else "completed" if self._options.state == "completed" else "running and ready"
            # While its predecessor is being deleted, the status is still that of the predecessor.
            hint = run.refusal.hint if run.refusal else _obstacle_hint(obstacle) if obstacle else _waiting_hint(run, goal)
            reason = status.reason if status and not obstacle else ""
            run.fail_because(reason or "Timeout", f"was not {goal} within {self._options.wait_timeout} s: {state}", hint)


def failure_hint(spec: TaskSpec, status: Status, pod: Manifest | None = None) -> str:
    """What to do about a task that failed for this reason in that pod; empty if its log says more."""
    deadline = pod["spec"].get("activeDeadlineSeconds") if pod and status.reason == "DeadlineExceeded" else None
    if deadline and (spec.timeout is None or deadline < spec.timeout):
        return f"The namespace limits the lifetime of pods to {deadline} s: speed up the task, or raise quota_pod_lifetime_seconds of the role quota."
    if status.reason == "DeadlineExceeded" and spec.timeout:
        return f"Raise timeout, which is {spec.timeout} s, or speed up the task."
    if status.is_interrupted and spec.options.get("queue"):
        return "Set retries, so that the task is queued again, or set kind to Job, which Kueue queues again by itself."
    if status.reason == "StartError" and spec.options.get("stdin") is not None and 'exec: "sh"' in status.message:
        return "The option stdin requires a shell in the image: use an image that has one, or give the task a file by inputs."
    if status.reason == "BackoffLimitExceeded" and pod and _was_deleted(spec, pod):
        return "Its pod was deleted, which counts as a failure: find out by whom, or set retries."
    if status.reason.startswith("OutOf"):
        return "The node was full when it got the pod: set retries, so that another is chosen, or lower resources.requests."
    if status.is_interrupted and spec.completes and not (spec.is_job or spec.options["retries"]):
        return "It was interrupted from outside: run it again, or set retries, with which the run itself starts it again."
    if status.reason == "InitOOMKilled":
        return "Raise resources.limits.memory of the init container."
    return "Raise resources.limits.memory." if status.reason == "OOMKilled" else start_hint(status.reason, status.message)


def _was_deleted(spec: TaskSpec, pod: Manifest) -> bool:
    """Whether the pod of a Job was certainly deleted while it ran by something other than the Job controller, which deletes pods that still run at the limit.

    With the restart policy Never, a Job with one pod at a time has none that still runs then.
    """
    is_alone = (spec.options.get("completions") or 1) == (spec.options.get("parallelism") or 1) == 1
    return is_alone and pod["spec"].get("restartPolicy") == "Never" and bool(pod["metadata"].get("deletionTimestamp")) and read_pod(pod).reason == DELETED


def _obstacle_hint(obstacle: str) -> str:
    return "Only the owner of a finalizer can remove it." if "finalizer" in obstacle else "Raise wait_timeout, or delete it with force."


def _waiting_hint(run: TaskRun, goal: str) -> str:
    status = run.status
    if status is None:
        return "Set wait to false not to wait, or raise wait_timeout, and concurrency if other tasks took its turn."
    if status.state == "running" and not status.reason and goal != "deleted":
        remedy = "run it again to wait for it" if goal == "completed" else _unready_remedy(run)
        return f"It still runs: raise wait_timeout{', or ' if remedy else ''}{remedy}."
    if status.reason == QUEUED:
        return "" if NO_WORKLOAD in status.message else HINT
    return start_hint(status.reason, status.message)


def _unready_remedy(run: TaskRun) -> str:
    """What to correct of a pod that runs and is not ready, if that is known."""
    pod = run.pod
    if not pod or not run.spec:
        return ""
    names = [container["name"] for container in long_running_containers(pod)]
    unready = [name for name in names if container_status(pod, name).get("ready") is False]
    if TASK_CONTAINER in unready:
        has_started = container_status(pod, TASK_CONTAINER).get("started") is not False
        probe = "readiness_probe" if has_started else "startup_probe"
        if run.spec.options.get(probe):
            return f"correct its {probe}"
    others = [f"'{name}'" for name in unready if name != TASK_CONTAINER]
    return f"find out why its container {others[0]} is not ready" if others else ""
