# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a batch that stops does with its other tasks when one fails."""

from __future__ import annotations

from collections.abc import Iterable

from ..objects.pod_status import SKIPPED
from .stages import Stage
from .task_run import STOPPED, TaskRun

_WHY = "because another task failed and on_error is stop"


def stop_others(runs: Iterable[TaskRun]) -> None:
    """Do not start what is not started, and delete what has not finished; what was running before this run and must keep running is left alone."""
    for run in runs:
        if not run.spec or run.is_stopping:
            continue
        if run.stage in (Stage.COLLECT, Stage.COMPLETE, Stage.DELIVER):
            continue  # it has finished, or cannot be stopped before its inputs are on their way
        if run.stage.is_queued and run.attempt > run.plan.attempt:
            run.fail_because("Stopped", f"was stopped before attempt {run.attempt}, {_WHY}", outcome=STOPPED)
        elif run.stage is Stage.NEEDS or run.stage.is_queued:
            run.fail_because("NotStarted", f"was not started, {_WHY}", outcome=SKIPPED)
        elif run.stage is Stage.WATCH and run.live and (run.spec.completes or run.effects.created):
            run.stop()
