# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Check mode: the plan of a batch as the server's dry runs answer to it."""

from __future__ import annotations

from dataclasses import replace

from ..cluster.client import Client
from ..cluster.kinds import POD
from ..console import Console
from ..errors import PodwrightError
from ..threads import call_in_threads
from ..values import Manifest
from .collected import describe_lack
from .decision import CREATE, NONE, PATCH, REPLACE, RESIZE
from .executor import THREADS, Executor, refuses_resize
from .needs import predict_skips
from .planner import immutable_error, plan_policy
from .task_plan import BatchPlan, TaskPlan, secret_creation
from .task_run import TaskRun
from .task_secret import is_needed
from .task_spec import TaskSpec


def predict(client: Client, batch: BatchPlan, console: Console) -> BatchPlan:
    """The plan after a dry run of each creation, replacement, resize and copy of artifacts. Raises: PodwrightError."""
    executor = Executor(client)
    plans = predict_skips(batch.tasks)
    open_plans = {number: plan for number, plan in enumerate(plans) if plan.change.is_change or _lacks_secret(plan)}
    predicted = dict(zip(open_plans, call_in_threads(lambda plan: _predict_task(executor, plan), open_plans.values(), THREADS)))
    targets: dict[str, str] = {}
    return replace(batch, tasks=tuple(_predict_copies(client, predicted.get(number, plan), console, targets) for number, plan in enumerate(plans)))


def _lacks_secret(plan: TaskPlan) -> bool:
    """Whether a task that stays needs its Secret, which may have been deleted."""
    return plan.spec is not None and plan.live is not None and plan.change.action in (NONE, PATCH) and is_needed(plan.spec, plan.status)


def _predict_copies(client: Client, plan: TaskPlan, console: Console, targets: dict[str, str]) -> TaskPlan:
    pod = TaskRun(plan).pod_to_fetch_from if plan.change.action in (NONE, PATCH) and plan.spec and plan.spec.leaves_files else None
    if not plan.spec or not pod:
        return plan
    from .collector import Collector  # few tasks leave files

    collector = Collector(client, console, is_check=True, targets=targets)
    collected = collector.collect(plan.spec, pod, plan.status is not None and plan.status.state == "succeeded")
    lack = describe_lack(plan.spec, collected) if plan.status and plan.status.state == "succeeded" else None
    if lack:
        console.warn(f"{lack} The task is going to fail.")
    return replace(plan, collected=collected)


def _predict_task(executor: Executor, plan: TaskPlan) -> TaskPlan:
    spec = plan.spec
    if spec and plan.live and plan.change.action == RESIZE:
        try:
            return replace(plan, change=executor.predict_resize(spec, plan.change))
        except PodwrightError as error:
            if not refuses_resize(error):
                raise
            plan = plan_replacement(plan, spec, plan.live, error.message)
    if spec and plan.live and _lacks_secret(plan):
        secret = executor.create_secret(spec, plan.live, dry_run=True)
        return replace(plan, secret=secret_creation(secret) if secret else None)
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
