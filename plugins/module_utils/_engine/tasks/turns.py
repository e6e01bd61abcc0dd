# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How many tasks may be in progress: one limit for those of all clusters, each of which gets its share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .task_run import TaskRun


def free_turns(own: Sequence[TaskRun], company: Sequence[Sequence[TaskRun]], concurrency: int) -> int:
    """How many more of its own tasks a Runner may start.

    Args:
        company: the tasks of all Runners that share the limit. Each keeps an equal part of it, as far as it has tasks for that.
    """
    free, share = concurrency - sum(run.is_active for run in own), concurrency // len(company)
    for runs in company:
        if runs is not own:
            active = sum(run.is_active for run in runs)
            free -= max(active, min(share, active + sum(run.stage.needs_turn for run in runs)))
    return free
