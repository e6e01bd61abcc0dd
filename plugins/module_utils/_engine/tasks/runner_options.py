# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How a batch of tasks is run."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class RunnerOptions:
    """How a batch of tasks is run; the names are those of task_pod's options.

    Attributes:
        awaits_deletion: whether tasks that are only deleted are waited for; a replaced one always is.
    """

    state: str = "running"
    wait: bool = True
    awaits_deletion: bool = True
    wait_timeout: float = 300
    concurrency: int = 100
    on_error: str = "continue"
    stop_grace: int | None = None
    prune: bool = False
    check_mode: bool = False
