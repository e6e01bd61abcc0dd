# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The ready pods of workloads, which a status counts too late."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..cluster.kinds import POD, REPLICA_SET
from ..errors import PodwrightError
from ..objects.controllers import controller_reference, workload_of
from ..objects.pod_status import is_serving
from ..objects.readiness import PROGRESSING, READY, Readiness, counted_pods
from ..objects.selectors import pod_selector

if TYPE_CHECKING:
    from ..cluster.client import Client
    from ..console import Console
    from ..objects.key import Key
    from ..values import Manifest

LONGEST_PAUSE = 2  # seconds between two counts of the pods of a workload; the first pause is a second
BELIEVED_AFTER = 30  # seconds in which a controller has seen every deletion; some API servers have workloads, but not their pods


@dataclass
class _Shortage:
    """A workload with fewer ready pods than its status says; times are of the monotonic clock, in seconds."""

    item: Manifest
    since: float
    next: float
    pause: float = 1
    problem: str = ""


class PodCounter:
    """Counts the pods of workloads that are ready by their status: right after pods were deleted, their controller still counts them."""

    def __init__(self, client: Client, console: Console) -> None:
        self._client, self._console = client, console
        self._shortages: dict[Key, _Shortage] = {}

    def confirm(self, key: Key, item: Manifest, readiness: Readiness) -> Readiness:
        """The Readiness of an object by its status, or that of its pods if it is ready without those that its status counts. At most a LIST."""
        wanted = counted_pods(item) if readiness.state == READY else 0
        if not wanted:
            self._shortages.pop(key, None)
            return readiness
        now = self._client.clock.monotonic()
        shortage = self._shortages.setdefault(key, _Shortage(item, now, now))
        shortage.item = item
        if now >= shortage.next:
            shortage.problem = self._find_problem(item, wanted)
            if shortage.problem and now >= shortage.since + BELIEVED_AFTER:
                self._console.warn(f"{key.title} is reported as ready, although for {BELIEVED_AFTER} s {shortage.problem}.")
                shortage.problem = ""
            shortage.next, shortage.pause = now + shortage.pause, min(2 * shortage.pause, LONGEST_PAUSE)
        if shortage.problem:
            return Readiness(PROGRESSING, shortage.problem)
        del self._shortages[key]
        return readiness

    def due(self) -> list[tuple[Key, Manifest]]:
        """The workloads whose pods are to be counted again, by Key."""
        now = self._client.clock.monotonic()
        return [(key, shortage.item) for key, shortage in self._shortages.items() if now >= shortage.next]

    def _find_problem(self, item: Manifest, wanted: int) -> str:
        """What the pods of a workload lack, or an empty string."""
        try:
            count = self._count(item, wanted)
        except PodwrightError as error:
            if not error.is_refusal or error.status == 429:
                return f"its pods cannot be listed: {error}"
            self._console.warn(f"Ready pods could not be counted, so that the status of their workload is believed: {error}")
            return ""
        return f"its status counts {wanted} ready pods, but only {count} exist" if count < wanted else ""

    def _count(self, item: Manifest, wanted: int) -> int:
        """The number of ready pods of a workload: another one may select the same. Raises: PodwrightError."""
        namespace, uid, selector = item["metadata"]["namespace"], item["metadata"]["uid"], pod_selector(item)
        workload = item["kind"], item["metadata"]["name"]
        pods = [pod for pod in self._client.list(POD, namespace, label_selector=selector, transform=_find_owner)[0] if pod]
        count = sum(1 for owner, named in pods if owner == uid or named == workload)
        if count >= wanted or len(pods) < wanted or item["kind"] != "Deployment":
            return count
        # A ReplicaSet that a Deployment has adopted can have any name.
        sets = self._client.list(REPLICA_SET, namespace, label_selector=selector, metadata_only=True)[0]
        adopted = {each["metadata"]["uid"] for each in sets if (controller_reference(each) or {}).get("uid") == uid}
        return sum(owner in adopted for owner, _named in pods)


def _find_owner(pod: Manifest) -> tuple[str, tuple[str, str] | None] | None:
    """The uid of the controller of a pod that is ready, and its workload."""
    controller = controller_reference(pod)
    return (controller["uid"], workload_of(pod)) if controller and is_serving(pod) else None
