# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tasks that take too long: problems that last longer than the grace period of their class, and the timeout of the whole batch."""

from __future__ import annotations

from collections.abc import Sequence

from ..cluster.client import Client
from ..objects.pod_status import FINAL, FIXABLE, SETTLING, TRANSIENT
from .executor import Executor
from .stages import Stage
from .start_events import StartEvents
from .task_run import SKIPPED, RunnerOptions, TaskRun

SETTLING_SECONDS = 5


class Problems:
    """Fails tasks that take too long."""

    def __init__(self, client: Client, executor: Executor, options: RunnerOptions) -> None:
        self._clock, self._executor, self._options = client.clock, executor, options
        self._start_events = StartEvents(client)

    def check(self, runs: Sequence[TaskRun]) -> None:
        """Fail tasks whose problem has lasted longer than the grace period of its class."""
        now = self._clock.monotonic()
        self._start_events.read([run for run in runs if run.stage is Stage.WATCH and run.spec], now)
        for run in runs:
            status, timing = run.status, run.timing
            if run.stage is not Stage.WATCH or not run.spec or not status or status.grace in (None, FIXABLE):
                continue
            timing.problem_since = now if timing.problem_since is None else timing.problem_since
            grace = {FINAL: 0, SETTLING: SETTLING_SECONDS, TRANSIENT: run.spec.options["failure_grace"]}[status.grace]
            if now - timing.problem_since >= grace:
                run.fail_because(status.reason, f"cannot start: {status.reason}: {status.message}")

    def give_up(self, runs: Sequence[TaskRun]) -> None:
        """Fail what is not done when the batch's timeout has expired."""
        for run in runs:
            if run.stage is Stage.DONE:
                continue
            if run.stage is Stage.NEEDS:
                run.fail_because("Timeout", f"was not started within {self._options.wait_timeout} s: its needs have not finished", outcome=SKIPPED)
                continue
            status = run.status
            state = f"{status.reason or status.state}: {status.message}" if status else "nothing was seen of it"
            state = self._executor.describe_obstacles(run.to_delete.values()) or state
            is_deletion = run.plan.is_deletion or run.is_stopping
            goal = "deleted" if is_deletion else "completed" if self._options.state == "completed" else "running and ready"
            hint = run.refusal.hint if run.refusal else ""
            run.fail_because(status.reason if status else "Timeout", f"was not {goal} within {self._options.wait_timeout} s: {state}", hint)
