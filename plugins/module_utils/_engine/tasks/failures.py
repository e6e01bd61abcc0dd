# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The message of a batch of which tasks failed."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from ..objects.pod_status import SKIPPED

if TYPE_CHECKING:
    from ..errors import PodwrightError
    from .task_run import TaskRun

DETAILED_FAILURES, LISTED_FAILURES = 3, 20  # in the message: with details, and in one line each


def failure_message(errors: list[PodwrightError], runs: list[TaskRun]) -> str:
    """What failed, in how many of the tasks."""
    if len(runs) == 1:
        return errors[0].message
    others = Counter(outcome for run in runs if not run.has_failed and (outcome := _other_outcome(run)))
    parts = [f"{len(errors)} of {len(runs)} tasks failed{''.join(f', {count} {outcome}' for outcome, count in sorted(others.items()))}."]
    parts += [str(error) for error in errors[:DETAILED_FAILURES]]
    parts += [str(error).splitlines()[0] for error in errors[DETAILED_FAILURES:LISTED_FAILURES]]
    if len(errors) > LISTED_FAILURES:
        parts.append(f"… and {len(errors) - LISTED_FAILURES} more.")
    return "\n".join(parts)


def _other_outcome(run: TaskRun) -> str | None:
    """The state of a task that neither succeeded nor failed."""
    return run.outcome if run.error else SKIPPED if run.status and run.status.state == SKIPPED else None
