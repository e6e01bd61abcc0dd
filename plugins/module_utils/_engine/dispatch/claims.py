# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Before a task is started, its placement is written into every cluster: later runs find it, and runs at the same time do not start the task elsewhere."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from ..cluster.client import MANAGER
from ..cluster.kinds import CONFIG_MAP
from ..errors import PodwrightError
from ..objects.labels import SET, label_of
from ..tasks.executor import THREADS
from ..threads import call_in_threads
from .members import UNREACHABLE, Member, is_outage
from .placement import Placement, build_placement, find_cluster, place_at, read_placement

if TYPE_CHECKING:
    from ..console import Console
    from ..tasks.observation import TaskName
    from ..tasks.task_spec import TaskSpec


class Noted(NamedTuple):
    """What became of the placement of a task.

    Attributes:
        clusters: how many of them have it.
        rival: the cluster in which another run starts the task at the same time, or None.
    """

    clusters: int
    rival: str | None


def claim(
    members: Collection[Member], own: Member, specs: Sequence[TaskSpec], starting: Collection[TaskName], minimum: int, console: Console
) -> dict[TaskName, str]:
    """Write the placements of tasks into all clusters that can be reached.

    Args:
        own: the cluster of the tasks.
        starting: those that are about to be started; the placement of any other one is only written if it is unknown, or of another set.
        minimum: how many clusters must have the placement.

    Returns: the cluster of each task that another run starts elsewhere at the same time. Raises: PodwrightError if too few clusters have a placement.
    """
    # All runs write in the same order: of two that start a task in different clusters at the same time, one finds the placement of the other.
    reachable = sorted((member for member in members if not member.problem), key=lambda member: member.server)
    servers = {member.name: member.server for member in members}
    writer = _Writer(reachable, servers, place_at(own.client.clock.now(), own.name, own.server), console)
    noted = call_in_threads(lambda spec: writer.note(spec, spec.task_name in starting), specs, THREADS)
    missing = [spec.name for spec, entry in zip(specs, noted) if entry.clusters < minimum and not entry.rival]
    if missing:
        message = f"Task '{missing[0]}' is not started, because fewer than {minimum} clusters (min_clusters) can note its cluster."
        raise PodwrightError(message, reason=UNREACHABLE, hint="Wait until the clusters can be reached, and check the permission to write ConfigMaps.")
    return {spec.task_name: entry.rival for spec, entry in zip(specs, noted) if entry.rival}


@dataclass
class _Writer:
    """Writes one Placement of tasks.

    Attributes:
        members: the clusters that can be reached, in the order in which they are written.
        servers: name -> URL of the API server of each cluster.
        lost: the names of those that do not respond any more.
    """

    members: Sequence[Member]
    servers: Mapping[str, str]
    placement: Placement
    console: Console
    lost: set[str] = field(default_factory=set)

    def note(self, spec: TaskSpec, is_starting: bool) -> Noted:
        """Write the placement of a task into the clusters."""
        count = 0
        for member in self.members:
            live = member.seen.placements.get(spec.task_name)
            if member.name in self.lost:
                continue
            is_known = live and find_cluster(read_placement(live), self.servers) == self.placement.cluster and label_of(live, SET) == (spec.set_name or None)
            if is_known and not is_starting:
                count += 1
                continue
            try:
                rival = self._write(member, spec)
            except PodwrightError as error:
                self.lost |= {member.name} if is_outage(error) else set()
                lack = f"does not know that tasks run in '{self.placement.cluster}', and may run them again later"
                self.console.warn(f"Cluster '{member.name}' {lack}: {error}")
                continue
            if rival:
                return Noted(count, rival)
            count += 1
        return Noted(count, None)

    def _write(self, member: Member, spec: TaskSpec) -> str | None:
        """Write it into one, if the placement there is still the one that was seen. Returns: as Noted.rival. Raises: PodwrightError."""
        client, manifest, live = member.client, build_placement(spec, self.placement), member.seen.placements.get(spec.task_name)
        name = manifest["metadata"]["name"]
        try:
            if live:
                version = {"resourceVersion": live["metadata"]["resourceVersion"]}
                written = client.apply(CONFIG_MAP, spec.namespace, name, manifest | {"metadata": manifest["metadata"] | version}, MANAGER)
            else:
                written = client.create(CONFIG_MAP, spec.namespace, manifest, MANAGER)
        except PodwrightError as error:
            # Who may run tasks may list ConfigMaps, and need not get them.
            others = client.list(CONFIG_MAP, spec.namespace, field_selector=f"metadata.name={name}")[0] if error.status == 409 else []
            if not others:
                raise
            member.seen.placements[spec.task_name] = others[0]
            placement = read_placement(others[0])
            rival = find_cluster(placement, self.servers) or placement.cluster
            return None if rival == self.placement.cluster else rival
        member.seen.placements[spec.task_name] = written
        return None
