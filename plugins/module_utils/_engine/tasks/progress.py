# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The progress of a batch of tasks in one line."""

from __future__ import annotations

from collections.abc import Sequence

from ..objects.pod_status import SKIPPED
from .stages import Stage
from .task_run import FAILED, STOPPED, TaskRun

_CLOSING = (Stage.COLLECT, Stage.COLLECTING, Stage.COMPLETE, Stage.COMPLETING)


def progress_line(runs: Sequence[TaskRun]) -> str:
    """The numbers of tasks that are done, running, being deleted, pending and failed, and why the first pending one waits."""
    counts = {"done": 0, "running": 0, "deleting": 0, "pending": 0, FAILED: 0, STOPPED: 0, SKIPPED: 0}
    waiting = None
    for run in runs:
        state = _state_of(run)
        counts[state] += 1
        if state == "pending":
            waiting = waiting or run
    if len(runs) == 1:
        state = _state_of(runs[0])
        is_server = runs[0].spec and not runs[0].spec.completes and not runs[0].plan.is_deletion
        words = {FAILED: "has failed", STOPPED: "was stopped", SKIPPED: "was skipped", "deleting": "is being deleted"}
        word = "is ready" if state == "done" and is_server else words.get(state, f"is {state}")
        attempt = f" (attempt {runs[0].attempt})" if runs[0].attempt > 1 and state in ("running", "pending") else ""
        line = f"{runs[0].plan.change.key.name} {word}{attempt}"
    else:
        line = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    status = waiting.status if waiting else None
    if waiting and status and status.state not in ("running", "succeeded") and (status.grace or status.reason not in ("", "Starting")):
        name = f"{waiting.plan.change.key.name}: " if len(runs) > 1 else ""
        line += f"; {name}{status.explanation}"
    return line


def _state_of(run: TaskRun) -> str:
    if run.error and run.stage in (Stage.DONE, *_CLOSING):
        return run.outcome
    if run.stage is Stage.DONE:
        return SKIPPED if run.status and run.status.state == SKIPPED else "done"
    if run.stage is Stage.DELETING:
        return "deleting"
    if run.stage is Stage.DELETE:
        return "deleting" if run.plan.is_deletion or run.is_stopping else "pending"  # others wait for a turn, or to be retried
    is_running = run.status and run.status.state == "running"
    return "running" if is_running or run.stage in _CLOSING else "pending"
