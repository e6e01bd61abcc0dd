# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which tasks may be started in another cluster: those of which nothing can have run in theirs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..cluster.kinds import POD
from ..errors import PodwrightError
from ..objects.key import Key
from ..reconciler.plan import Change
from ..tasks.decision import NONE
from ..tasks.stages import Stage, StageEvent
from ..tasks.task_plan import TaskPlan
from ..tasks.task_run import TaskRun
from .members import UNREACHABLE

if TYPE_CHECKING:
    from ..cluster.client import Client
    from ..tasks.executor import Executor
    from ..tasks.task_spec import TaskSpec

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
    """Delete the pod of a task, which has not been scheduled, unless it is scheduled in the meantime. Returns: whether the task can run elsewhere."""
    if run.live is None:
        return True
    if client.availability.failing_since is not None:
        return False
    metadata = run.live["metadata"]
    try:
        is_deleted = client.delete(POD, metadata["namespace"], metadata["name"], metadata["uid"], grace_period=0, version=metadata["resourceVersion"])
        return is_deleted and client.get(POD, metadata["namespace"], metadata["name"]) is None
    except PodwrightError:
        return False


def take_away(run: TaskRun, note: str) -> None:
    """Finish a task in its cluster, since it runs in another one."""
    run.live, run.note, run.effects.created = None, note, False
    run.advance(StageEvent.FINISHED)


def hold(spec: TaskSpec, cluster: str) -> TaskRun:
    """A task that does not run, since it may have run in an unreachable cluster."""
    note = f"it was started in cluster '{cluster}', which cannot be reached"
    change = Change(NONE, Key(spec.kind.group, spec.kind.name, spec.namespace, spec.name), spec.kind, {}, note=note)
    run = TaskRun(TaskPlan(change, spec))
    run.fail_because(UNREACHABLE, f"was started in cluster '{cluster}', which cannot be reached, and is not started again elsewhere", _KEPT)
    return run
