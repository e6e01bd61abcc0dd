# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which tasks may be started in another cluster: those of which nothing can have run in theirs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..cluster.kinds import NETWORK_POLICY, POD
from ..errors import PodwrightError
from ..objects.key import Key
from ..reconciler.plan import Change
from ..tasks.decision import NONE
from ..tasks.stages import Stage, StageEvent
from ..tasks.task_plan import TaskPlan
from ..tasks.task_run import TaskRun
from .members import UNREACHABLE, is_outage

if TYPE_CHECKING:
    from ..cluster.client import Client
    from ..console import Console
    from ..tasks.executor import Executor
    from ..tasks.runner import Runner
    from ..tasks.task_spec import TaskSpec
    from ..values import Manifest

UNSCHEDULABLE = "Unschedulable"
_KEPT = "Wait until it can be reached again. If it will not return, remove it from clusters, so that the tasks run in the others."
PATIENCE = 10.0  # seconds for which a pod is unschedulable before it counts as one without room; half of schedule_timeout if that is less


def is_untouched(run: TaskRun, executor: Executor) -> bool:
    """Whether certainly no pod or Job of a task exists in its cluster, or will."""
    if run.stage not in (Stage.CREATE, Stage.NEEDS) or run.live or run.to_delete or run.effects.created or not run.spec:
        return False
    return run.spec.task_name not in executor.unanswered


def is_unscheduled(run: TaskRun) -> bool:
    """Whether its pod waits for a node with room."""
    # A later attempt would be the first one elsewhere.
    is_waiting = run.stage is Stage.WATCH and run.attempt == 1 and run.status is not None and run.status.reason == UNSCHEDULABLE
    return is_waiting and run.spec is not None and not run.spec.is_job and run.live is not None and not run.live["spec"].get("nodeName")


def why_move(run: TaskRun, executor: Executor, unscheduled_for: float, is_out: bool) -> str:
    """Why a task should be started in another cluster, or an empty text.

    Args:
        unscheduled_for: for how many seconds its pod has been unschedulable.
        is_out: whether its cluster has not responded for a while.
    """
    if is_untouched(run, executor):
        if run.refusal and run.refusal.exceeds_quota:
            return "a quota is exceeded"
        return "it cannot be reached" if is_out or (run.refusal and run.refusal.is_unreachable) else ""
    limit = run.spec.options.get("schedule_timeout") if run.spec else None
    patience = PATIENCE if limit is None else min(PATIENCE, limit / 2)
    return "no node has room" if is_unscheduled(run) and unscheduled_for >= patience else ""


def withdraw(run: TaskRun, client: Client) -> bool:
    """Delete the pod of a task, which has not been scheduled, unless it is scheduled in the meantime; what was deleted is created again if the task stays.

    Returns: whether the task can run elsewhere.
    """
    if run.live is None:
        return True
    if client.availability.failing_since is not None:
        return False
    metadata = run.live["metadata"]
    try:
        if not client.delete(POD, metadata["namespace"], metadata["name"], metadata["uid"], grace_period=0, version=metadata["resourceVersion"]):
            return False
    except PodwrightError:
        return False
    is_gone = _is_gone(client, metadata)
    run.live, run.effects.created = None if is_gone else run.live, False
    run.replace_pod(run.manifest or {}, run.attempt, run.policy, "its pod was deleted, so that it could run in another cluster")
    run.read_status()
    return is_gone


def _is_gone(client: Client, metadata: Manifest) -> bool:
    try:
        return client.get(POD, metadata["namespace"], metadata["name"]) is None
    except PodwrightError:
        return False


def take_away(run: TaskRun, client: Client, note: str, console: Console) -> None:
    """Finish a task in its cluster, since it runs in another one."""
    policy = run.effects.policy
    run.live, run.note, run.effects.created, run.effects.policy = None, note, False, None
    run.advance(StageEvent.FINISHED)
    if not policy:
        return
    metadata = policy["metadata"]
    why = "The cluster does not respond."
    try:
        # Without its pod nothing owns it, and it would isolate a later task of that name. A request would wait for a cluster that is lost.
        if client.availability.failing_since is None:
            client.delete(NETWORK_POLICY, metadata["namespace"], metadata["name"], metadata["uid"])
            return
    except PodwrightError as error:
        why = str(error)
    place = f"in namespace '{metadata['namespace']}' of {client.configuration.server}"
    console.warn(f"NetworkPolicy '{metadata['name']}' {place} was not deleted, although its task runs in another cluster. {why} Delete it.")


def fail_unwatched(runner: Runner, cluster: str, error: PodwrightError) -> None:
    """Fail what has not finished in a cluster that cannot be watched; what is untouched there can run elsewhere if the cluster is lost."""
    is_lost = is_outage(error)
    reason = UNREACHABLE if is_lost else error.reason
    hint = "It is unknown whether it has finished: the next run finds out once the cluster can be reached." if is_lost else error.hint
    for run in runner.runs:
        can_run_elsewhere = is_untouched(run, runner.executor)
        if run.stage is not Stage.DONE and not (is_lost and can_run_elsewhere):
            what = "started" if can_run_elsewhere else "watched until it finished"
            run.fail_because(reason, f"was not {what} in cluster '{cluster}': {error.message}", hint)
            run.advance(StageEvent.FINISHED)  # no Runner completes it


def hold(spec: TaskSpec, cluster: str) -> TaskRun:
    """A task that does not run, since it may have run in an unreachable cluster."""
    note = f"it was started in cluster '{cluster}', which cannot be reached"
    change = Change(NONE, Key(spec.kind.group, spec.kind.name, spec.namespace, spec.name), spec.kind, {}, note=note)
    run = TaskRun(TaskPlan(change, spec))
    run.fail_because(UNREACHABLE, f"was started in cluster '{cluster}', which cannot be reached, and is not started again elsewhere", _KEPT)
    return run
