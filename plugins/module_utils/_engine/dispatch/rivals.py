# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tasks that other runs start in other clusters at the same time: they are followed there, once."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from ..errors import PodwrightError

if TYPE_CHECKING:
    from ..tasks.observation import TaskName
    from ..tasks.task_spec import TaskSpec
    from .assignment import Group


class Rivals:
    """What is to be followed, and what cannot be.

    Args:
        groups: the group of each task.
    """

    def __init__(self, groups: Mapping[TaskName, Group]) -> None:
        self._groups = groups
        self._waiting: dict[str, list[TaskSpec]] = {}  # by the cluster of the other run
        self._followed: set[TaskName] = set()

    def note(self, found: Mapping[TaskName, str], starting: Collection[TaskName]) -> tuple[set[TaskName], list[tuple[TaskSpec, PodwrightError]]]:
        """Note what a claim found.

        Args:
            found: the cluster in which another run starts a task, by the name of the task.
            starting: the tasks that were about to be started.

        Returns: the names of the tasks that are not started in the cluster of the claim, and those of them that are not started at all, with the reason.
        """
        lost: set[TaskName] = set()
        failed = []
        for task, cluster in found.items():
            group = self._groups[task]
            names = {spec.task_name for spec in group}
            if task in lost:
                continue
            lost |= names
            # One of them that exists already must not be started again, and they need each other in one cluster.
            is_whole = names <= found.keys() | set(starting) and {found.get(name, cluster) for name in names} == {cluster}
            if is_whole and not names & self._followed:
                self._followed |= names
                self._waiting.setdefault(cluster, []).extend(group)
                continue
            message = f"Task '{task[1]}' is started in cluster '{cluster}' by another run at the same time."
            error = PodwrightError(message, reason="Conflict", hint="Run it again: it finds the task there.")
            failed += [(spec, error) for spec in group]
        return lost, failed

    def take(self) -> list[tuple[str, list[TaskSpec]]]:
        """(name of the cluster, tasks to be followed there), each of them once."""
        waiting, self._waiting = self._waiting, {}
        return list(waiting.items())
