# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which placements are pruned with a set: those of tasks that belong to it, wherever they are; a placement may have the set of an earlier run."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING

from ..objects.labels import SET, label_of
from ..tasks.observation import owner_job
from ..tasks.record import move_record

if TYPE_CHECKING:
    from ..tasks.observation import Observation, TaskName
    from .members import Member


def settle_sets(members: Sequence[Member], requested: Collection[TaskName], pruned: Collection[tuple[str, str]]) -> None:
    """Let what was seen of the placements of other tasks have the sets of what exists of these; without those that must stay.

    Args:
        requested: the tasks of the run, whose placements are not pruned, or deleted whatever their sets are.
        pruned: (namespace, set name) of the sets that are pruned.
    """
    sets: dict[TaskName, set[str | None]] = {}
    for member in members:
        for task, name in _find_sets(member.seen):
            sets.setdefault(task, set()).add(name)
    for member in members:
        placements = member.seen.placements
        for task in sets.keys() & placements.keys() - set(requested):
            if any((task[0], name) not in pruned for name in sets[task]):
                del placements[task]
            else:
                placements[task] = move_record(placements[task], max(filter(None, sets[task])))


def _find_sets(seen: Observation) -> Iterable[tuple[TaskName, str | None]]:
    """(task, its set) of each task of which something exists in a cluster."""
    objects = ((task, item) for task, items in seen.by_task().items() for _kind, item in items if not owner_job(item))
    found: dict[TaskName, str | None] = {}
    for task, item in (*objects, *seen.records.items()):  # a record may be that of an earlier run
        found.setdefault(task, label_of(item, SET))
    return found.items()
