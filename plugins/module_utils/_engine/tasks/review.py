# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The plan of a batch of tasks for its review: with what is deleted for a task, and with fixed names in place of generated ones."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from dataclasses import replace

from ..reconciler.manifest import key_of
from ..reconciler.plan import Change, creation_patch
from .decision import CREATE, REPLACE
from .planner import plan_policy
from .pod_template import build_manifest
from .task_plan import DELETE, TaskPlan
from .task_secret import rename_secret, secret_name

GENERATED = "generated"


def reviewed_changes(plans: Iterable[TaskPlan]) -> Iterator[Change]:
    """The changes of each task, the same in each run that plans the same."""
    for plan in plans:
        yield from _deletions(plan)
        fixed = _with_fixed_names(plan)
        yield from fixed.changes


def _deletions(plan: TaskPlan) -> list[Change]:
    """The deletions of what belongs to a task beside its pod or Job: the object of another kind, the pods of a deleted Job."""
    others = [(kind, item) for kind, item in plan.to_delete if item is not plan.change.before and not item["metadata"].get("deletionTimestamp")]
    return [Change(DELETE, key_of(item, kind), kind, before=item) for kind, item in others]


def _with_fixed_names(plan: TaskPlan) -> TaskPlan:
    """The plan without random names: of a task with `generate_name`, and of the Secret with standard input and variables."""
    change, spec, desired = plan.change, plan.spec, plan.change.desired
    if spec is None or desired is None or change.action not in (CREATE, REPLACE):
        return plan
    if not spec.options.get("name") and spec.options.get("generate_name"):
        spec = replace(spec, name=f"{spec.options['generate_name'].rstrip('-')}-{GENERATED}")
        desired = build_manifest(spec, plan.profile, plan.attempt, plan.parent)
        change = replace(change, key=change.key._replace(name=spec.name))
        plan = replace(plan, policy=plan.policy and plan_policy(spec))
    elif change.action == CREATE and not secret_name(desired):
        return plan
    desired = rename_secret(copy.deepcopy(desired), f"{spec.name}-private-{GENERATED}")
    return replace(plan, change=replace(change, desired=desired, after=desired, patch=creation_patch(desired)))
