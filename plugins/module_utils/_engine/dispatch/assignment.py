# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which cluster runs which task. Pure functions; a cluster is named by its context."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from ..cluster.kinds import POD
from ..errors import PodwrightError
from ..tasks.observation import owner_job
from ..tasks.record import read_record
from ..tasks.task_run import status_of
from .placement import Placement, find_cluster, read_placement

if TYPE_CHECKING:
    from ..tasks.observation import Observation, TaskName
    from ..tasks.task_plan import Listed
    from ..tasks.task_spec import TaskSpec

Group = tuple["TaskSpec", ...]
"""Tasks that run in one cluster, since they need each other."""


class Sighting(NamedTuple):
    """What one cluster has of a task.

    Attributes:
        created_at: when its latest Pod or Job was created, in the API's format, which can be compared as text; empty if that is unknown.
        cluster: the name of the cluster.
        is_live: whether there is an object rather than a record.
        is_unfinished: whether that has not finished.
    """

    created_at: str
    cluster: str
    is_live: bool
    is_unfinished: bool


def group_by_needs(specs: Sequence[TaskSpec]) -> list[Group]:
    """The tasks in groups of those that need each other, in their order."""
    groups: dict[TaskName, list[TaskSpec]] = {spec.task_name: [spec] for spec in specs}
    for spec in specs:
        for need in spec.needs:
            one, other = groups[need], groups[spec.task_name]
            if one is not other:
                one += other
                groups |= {member.task_name: one for member in other}
    order = {spec.task_name: index for index, spec in enumerate(specs)}
    found = {id(group): tuple(sorted(group, key=lambda spec: order[spec.task_name])) for group in groups.values()}
    return sorted(found.values(), key=lambda group: order[group[0].task_name])


def find_sightings(specs: Iterable[TaskSpec], seen: Mapping[str, Observation]) -> dict[TaskName, list[Sighting]]:
    """What the clusters have of each task, the latest last."""
    found: dict[TaskName, list[Sighting]] = {}
    for cluster, observation in seen.items():
        objects = observation.by_task()
        for spec in specs:
            sighting = _look_for(spec, cluster, observation, objects.get(spec.task_name, []))
            if sighting:
                found.setdefault(spec.task_name, []).append(sighting)
    return {task: sorted(sightings) for task, sightings in found.items()}


def _look_for(spec: TaskSpec, cluster: str, seen: Observation, objects: list[Listed]) -> Sighting | None:
    own = [item for _kind, item in objects if not owner_job(item)] or [item for _kind, item in objects]
    if own:
        latest = max(own, key=lambda item: item["metadata"].get("creationTimestamp") or "")
        pods = [item for kind, item in objects if kind == POD and owner_job(item) == latest["metadata"]["uid"]]
        status = status_of(spec, latest, pods, None) if latest["kind"] == spec.kind.name else None
        return Sighting(latest["metadata"].get("creationTimestamp") or "", cluster, True, not (status and status.is_finished))
    known = seen.records.get(spec.task_name) if spec.keeps_record else None
    return Sighting(read_record(known).created_at or "", cluster, False, False) if known else None


def find_placements(specs: Iterable[TaskSpec], seen: Mapping[str, Observation]) -> dict[TaskName, Placement]:
    """The latest known Placement of each task."""
    found: dict[TaskName, Placement] = {}
    for spec in specs:
        known = [read_placement(item) for observation in seen.values() if (item := observation.placements.get(spec.task_name))]
        if known:
            found[spec.task_name] = max(known)
    return found


class Assignment(NamedTuple):
    """The cluster of a group.

    Attributes:
        cluster: the name of the cluster.
        is_held: whether that is an unreachable one, so that the group does not run anywhere.
        is_found: whether something of them exists there.
    """

    group: Group
    cluster: str
    is_held: bool = False
    is_found: bool = False


def assign(
    groups: Sequence[Group],
    sightings: Mapping[TaskName, Sequence[Sighting]],
    placements: Mapping[TaskName, Placement],
    reachable: Mapping[str, str],
    unreachable: Mapping[str, str],
) -> list[Assignment]:
    """The cluster of each group: that of its tasks, else the one with the fewest unfinished tasks.

    Args:
        sightings: from `find_sightings`.
        placements: from `find_placements`.
        reachable: name -> URL of the API server of each cluster that can be used.
        unreachable: the same of each other cluster.

    Raises: PodwrightError if tasks of a group are in different clusters.
    """
    homes = [(group, _find_home(group, sightings, placements, reachable, unreachable)) for group in groups]
    loads = dict.fromkeys(reachable, 0)
    for group, home in homes:
        if home in loads:
            loads[home] += sum(sightings[spec.task_name][-1].is_unfinished for spec in group if spec.task_name in sightings)
    assigned = []
    for group, home in homes:
        cluster = home or choose(group, loads)
        if not home:
            loads[cluster] += len(group)
        assigned.append(Assignment(group, cluster, cluster not in loads, home is not None))
    return assigned


def _find_home(
    group: Group,
    sightings: Mapping[TaskName, Sequence[Sighting]],
    placements: Mapping[TaskName, Placement],
    reachable: Mapping[str, str],
    unreachable: Mapping[str, str],
) -> str | None:
    """The cluster in which the tasks of a group are, or None."""
    homes: dict[str, TaskSpec] = {}
    for spec in group:
        placement = placements.get(spec.task_name)
        # Another run may be about to start it in the cluster of its placement.
        placed = find_cluster(placement, {**reachable, **unreachable}) if placement else None
        known = sightings.get(spec.task_name)
        home = known[-1].cluster if known and placed not in unreachable else placed
        if home:
            homes.setdefault(home, spec)
    if len(homes) < 2:
        return next(iter(homes), None)
    (one, first), (other, second), *_rest = homes.items()
    raise PodwrightError(
        f"The tasks '{first.name}' and '{second.name}' need each other, or are needed by the same one, but are in different clusters: '{one}' and '{other}'.",
        reason="DifferentClusters",
        hint="Delete one of them first (state: absent), so that it runs again in the cluster of the other.",
    )


def choose(group: Group, loads: Mapping[str, int], full: Iterable[str] = ()) -> str:
    """The cluster for a group: one that is not full, with the lowest load; of several, always the same for tasks of these names.

    Args:
        loads: name of each cluster -> number of tasks; at least one.
        full: the names of those that had no room for other tasks.
    """
    name, full = "/".join(group[0].task_name), set(full)
    return min(loads, key=lambda cluster: (cluster in full, loads[cluster], hashlib.sha256(f"{cluster} {name}".encode()).digest()))
