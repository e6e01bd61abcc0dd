# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Restores what others deleted or edited of tasks that stay."""

from __future__ import annotations

from collections.abc import Iterable

from ..errors import PodwrightError
from ..threads import call_in_threads
from ..values import Manifest
from .decision import NONE, PATCH, RESIZE
from .executor import THREADS, Executor
from .live_state import restorable
from .task_run import TaskRun
from .task_secret import is_needed
from .task_spec import TaskSpec


def restore(executor: Executor, runs: Iterable[TaskRun]) -> None:
    """Restore the policies, labels and annotations of tasks that stay, and the Secrets of those that need them."""
    kept = [(run, run.spec, run.live) for run in runs if run.spec and run.live and not run.plan.to_delete and not run.plan.is_deletion]
    incomplete = [entry for entry in kept if entry[0].policy or entry[0].plan.change.is_change or is_needed(entry[1], entry[0].status)]
    call_in_threads(lambda entry: _restore(executor, *entry), incomplete, THREADS)


def _restore(executor: Executor, run: TaskRun, spec: TaskSpec, live: Manifest) -> None:
    try:
        if run.policy:
            run.effects.policy = executor.apply_policy(spec, live)
        if run.plan.change.action in (PATCH, RESIZE):
            desired = restorable(spec, live, run.plan.change.desired or {}, run.status is not None and run.status.is_finished)
            run.effects.corrected = executor.correct(spec, live, desired)
            run.live = run.effects.corrected or live  # the result shows what it is now
        if run.plan.change.action in (NONE, PATCH) and is_needed(spec, run.status):
            run.effects.secret = executor.create_secret(spec, live)
    except PodwrightError as error:
        run.fail_because(error.reason, f"lacks an object that belongs to it: {error}")
