# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Check mode: the plan of a batch as the server's dry runs answer to it."""

from __future__ import annotations

from dataclasses import replace

from ..cluster.client import Client
from ..cluster.kinds import POD
from ..errors import PodwrightError
from ..threads import call_in_threads
from ..values import Manifest
from .decision import CREATE, NONE, PATCH, REPLACE, RESIZE
from .executor import THREADS, Executor, refuses_resize
from .planner import immutable_error, plan_policy
from .task_plan import BatchPlan, TaskPlan, stdin_creation
from .task_run import status_of
from .task_spec import TaskSpec


def predict(client: Client, batch: BatchPlan) -> BatchPlan:
    """The plan after a dry run of each creation, replacement and resize. Raises: PodwrightError."""
    executor = Executor(client)
    return replace(batch, tasks=tuple(call_in_threads(lambda plan: _predict_task(executor, plan), batch.tasks, THREADS)))


def _predict_task(executor: Executor, plan: TaskPlan) -> TaskPlan:
    spec = plan.spec
    if spec and plan.live and plan.change.action == RESIZE:
        try:
            return replace(plan, change=executor.predict_resize(spec, plan.change))
        except PodwrightError as error:
            if not refuses_resize(error):
                raise
            plan = plan_replacement(plan, spec, plan.live, error.message)
    if spec and plan.live and plan.change.action in (NONE, PATCH) and spec.options.get("stdin") is not None:
        status = status_of(spec, plan.live, list(plan.pods), None)
        if status and status.state == "pending":
            secret = executor.create_stdin(spec, plan.live, dry_run=True)
            return replace(plan, stdin=stdin_creation(secret) if secret else None)
        return plan
    if spec and plan.change.action in (CREATE, REPLACE):
        return replace(plan, change=executor.predict_creation(spec, plan.change))
    return plan


def plan_replacement(plan: TaskPlan, spec: TaskSpec, live: Manifest, why: str) -> TaskPlan:
    """The plan for a pod that cannot be resized in place. Raises: PodwrightError if it must not be replaced."""
    if spec.options["on_immutable"] == "fail":
        raise immutable_error(spec, f"its pod cannot be resized: {why}")
    note = f"its resources changed, and cannot be resized in place: {why}"
    change = replace(plan.change, action=REPLACE, after=plan.change.desired, patch=[], note=note)
    return replace(plan, change=change, to_delete=((POD, live),), policy=plan_policy(spec))
